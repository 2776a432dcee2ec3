"""`wherry build --call=METHOD[,format=FORMAT]`: a question to the Dockerfile; nothing is built."""

from __future__ import annotations

import argparse
import json
import os

from wherry.base import events
from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple
from wherry.build import definition as definitions
from wherry.build import linting, scope
from wherry.build.options import Options
from wherry.cli import check
from wherry.dockerfile import parser
from wherry.store.store import Store

METHODS = ("build", "check", "outline", "targets")
_FORMATS = ("text", "json")


class Call(NamedTuple):
    """`form` is how to print the answer; with `strict`, `check` counts advice as it counts warnings."""

    method: str
    form: str = "text"
    strict: bool = False


def asked(args: argparse.Namespace) -> Call | None:
    """What `--call`, `--check`, `--format` and `--strict` ask for together; None: to build."""
    call = parse(args.call) if args.call else Call("check" if args.check else "build")
    if args.check and call.method != "check":
        raise UsageError(f"--check and --call={call.method} ask for different things")
    if (args.strict or args.format) and call.method != "check":
        raise UsageError("--strict and --format belong to --check")
    if call.method == "build":
        return None
    return call._replace(form=args.format or call.form, strict=args.strict)


def parse(text: str) -> Call:
    """What `--call` says. Raises UsageError."""
    method, form = "", "text"
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if key == "format" and equals:
            form = value
        elif equals or method:
            raise UsageError(f"--call {text}: {field!r} is not understood", hint="write METHOD,format=FORMAT")
        else:
            method = field
    if method not in METHODS:
        raise UsageError(f"--call: unknown method {method!r}", hint=f"the methods are {', '.join(METHODS)}")
    return Call(method, form)


def run(call: Call, options: Options) -> int:
    """Prints the answer. The exit code is 0, with `check` as `--check` has it."""
    if call.method != "check" and call.form not in _FORMATS:
        raise UsageError(f"invalid format {call.form!r}", hint=f"the formats are {', '.join(_FORMATS)}")
    with Store.open() as store:
        if call.method == "check":
            return check.run(store, options, call.form, strict=call.strict)
        with definitions.opened(store, options, events.ignore) as definition:
            dockerfile = parser.parse(definition.text, definition.name)
        answer = _outline if call.method == "outline" else _targets
        print(answer(store, options, dockerfile, definition.text, as_json=call.form == "json"), end="")
    return 0


def _outline(
    store: Store, options: Options, dockerfile: parser.Dockerfile, source: bytes, *, as_json: bool
) -> str:
    from wherry.build import outline
    from wherry.lint.walk import walk
    from wherry.ui import outline as shown

    given = scope.given(options.arguments, os.environ)
    found = outline.outline(walk(dockerfile, linting.surroundings(store, options, given, None)))
    return _json(shown.outline_document(found, source)) if as_json else shown.outline_text(found)


def _targets(
    _store: Store, _options: Options, dockerfile: parser.Dockerfile, source: bytes, *, as_json: bool
) -> str:
    from wherry.build import outline
    from wherry.dockerfile.typed import program
    from wherry.ui import outline as shown

    found = outline.targets(program(dockerfile))
    return _json(shown.targets_document(found, source)) if as_json else shown.targets_text(found)


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, indent=2) + "\n"
