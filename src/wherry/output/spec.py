"""`-o`: the words that say where a build's result goes."""

from __future__ import annotations

import csv

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.oci import reference as references
from wherry.oci.reference import Reference

IMAGE, DOCKER, OCI, TAR, LOCAL = "image", "docker", "oci", "tar", "local"
_KEYS = {
    IMAGE: {"name"},
    DOCKER: {"name", "dest"},
    OCI: {"name", "dest", "tar"},
    TAR: {"dest"},
    LOCAL: {"dest"},
}
_HINT = "types: image, docker, oci, tar, local; as in -o type=oci,dest=app.tar"


class Spec(NamedTuple):
    """One `-o`. `dest` is a path, `-` for standard output, or "" for the store; `tar` False: a folder."""

    kind: str
    dest: str = ""
    names: tuple[Reference, ...] = ()
    tar: bool = True


def parse(text: str) -> Spec:
    """`type=oci,dest=app.tar`; a path alone is type=local, `-` alone a tar on standard output.

    Unsupported for types and keys that are not done here, by name: none is passed over.
    """
    if text == "-":
        return Spec(TAR, "-")
    if "=" not in text:
        if not text:
            raise UsageError("-o without a destination", hint=_HINT)
        return Spec(LOCAL, text)
    fields = _fields(text)
    kind = fields.pop("type", "")
    if not kind:
        raise UsageError(f"-o {text}: type= is missing", hint=_HINT)
    if kind == "registry":
        raise Unsupported(
            "the output type registry is not supported", hint="build with -t, then `wherry push`"
        )
    if kind not in _KEYS:
        raise Unsupported(f"no output type {kind!r}", hint=_HINT)
    for key in fields:
        if key not in _KEYS[kind]:
            known = ", ".join(sorted(_KEYS[kind]))
            raise Unsupported(f"the output type {kind} takes no {key!r}", hint=f"it takes: {known}")
    return _spec(kind, fields)


def _fields(text: str) -> dict[str, str]:
    """`key=value` pairs between commas; a pair in double quotes may hold commas, as in CSV."""
    fields: dict[str, str] = {}
    for pair in next(csv.reader([text], skipinitialspace=True), []):
        key, equals, value = pair.partition("=")
        key = key.strip().lower()
        if not equals:
            raise UsageError(f"-o {text}: {pair!r} is not key=value", hint=_HINT)
        if key in fields:
            raise UsageError(f"-o {text}: {key!r} is there twice")
        fields[key] = value
    return fields


def _spec(kind: str, fields: dict[str, str]) -> Spec:
    dest, names = fields.get("dest", ""), _names(fields.get("name", ""))
    tar = fields.get("tar", "true")
    if tar not in ("true", "false"):
        raise UsageError(f"tar={tar}: write true or false")
    if kind in (OCI, TAR, LOCAL) and not dest:
        raise UsageError(f"the output type {kind} needs dest=PATH", hint=_HINT)
    if dest == "-" and (kind == LOCAL or tar == "false"):
        raise UsageError("a folder cannot be written to standard output", hint="name it: dest=FOLDER")
    return Spec(kind, dest, names, tar == "true")


def _names(text: str) -> tuple[Reference, ...]:
    found = [references.parse(name).with_default_tag() for name in text.split(",") if name]
    for reference in found:
        if reference.digest:
            raise UsageError(f"name={reference.familiar}: a digest cannot be chosen, only a tag")
    return tuple(found)
