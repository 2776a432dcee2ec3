"""`RUN --mount=type=bind|cache|tmpfs|secret|ssh,...` and `RUN --device=...`."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from wherry.base.tuples import NamedTuple
from wherry.dockerfile import values
from wherry.dockerfile.errors import DockerfileError, did_you_mean

KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
_EXPANDS = ("$", "'", '"', "\\", "`")


class Mount(NamedTuple):
    """One mount. `origin` is its `from=`: a stage, an image or a named context; "" is the build context.

    `mode`, `uid` and `gid` are None and `id`, `sharing`, `target` are "" where the file does not say.
    `size` is in bytes, 0 is no limit. `env` is the variable that a secret is put into.
    `unexpanded` is the option's text as long as it has variables or quotes; until `expanded` has
    replaced them, only `origin` means something.
    """

    kind: str = "bind"
    source: str = ""
    target: str = ""
    origin: str = ""
    read_only: bool = True
    id: str = ""
    sharing: str = ""
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int = 0
    env: str = ""
    unexpanded: str = ""

    @property
    def lent(self) -> str:
        """The name by which a build is given this secret (`--secret id=`) or agent (`--ssh`)."""
        if self.kind == "ssh":
            return self.id or "default"
        return self.source or self.id or posixpath.basename(self.target)


class Device(NamedTuple):
    """A CDI device; only where `required` is its absence an error."""

    name: str
    required: bool = False


def mount(text: str) -> Mount:
    """What `--mount=` says; where it has variables, the checks wait until they are expanded."""
    options = _options(text)
    origin = next((value for key, value in options if key == "from"), "") or ""
    if "$" in origin.rstrip("$"):
        raise DockerfileError(
            "'from' doesn't support variable expansion, define alias stage instead",
            hint=f"FROM {origin} AS alias (with a global ARG), then from=alias",
        )
    if any(char in value for _, value in options if value for char in _EXPANDS):
        return Mount(origin=origin, unexpanded=text)
    return _checked(options, text)


def expanded(unexpanded: Mount, expand: Callable[[str], str]) -> Mount:
    """The mount with the values of its options expanded, and checked."""
    if not unexpanded.unexpanded:
        return unexpanded
    text = unexpanded.unexpanded
    options = [(key, None if value is None else expand(value)) for key, value in _options(text)]
    return _checked(options, text)


def _options(text: str) -> list[tuple[str, str | None]]:
    options: list[tuple[str, str | None]] = []
    for field in values.fields(text):
        key, equals, value = field.partition("=")
        options.append((key.lower(), value if equals else None))
    return options


_NAMES = {
    "type": "kind",
    "from": "origin",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "read_only",
    "ro": "read_only",
    "readwrite": "writable",
    "rw": "writable",
    "required": "required",
    "size": "size",
    "id": "id",
    "sharing": "sharing",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "env": "env",
}
_FLAGS = ("read_only", "writable", "required")
# Which options belong to some kinds of mounts only.
_ONLY = {
    "required": ("secret", "ssh"),
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("secret", "ssh", "cache"),
    "uid": ("secret", "ssh", "cache"),
    "gid": ("secret", "ssh", "cache"),
    "env": ("secret",),
}


def _checked(options: list[tuple[str, str | None]], text: str) -> Mount:
    given: dict[str, Any] = {}
    for key, value in options:
        name = _NAMES.get(key)
        if name is None:
            raise DockerfileError(f"unexpected key '{key}' in '{text}'", hint=did_you_mean(key, _NAMES))
        given[name] = _value(name, key, value)
    kind = str(given.pop("kind", "bind"))
    for name in given:
        if kind not in _ONLY.get(name, KINDS):
            raise DockerfileError(f"unexpected key '{name}' for mount type '{kind}'")
    writable = given.pop("writable", None)
    if writable is not None:
        given["read_only"] = not writable
    given.setdefault("read_only", kind not in ("cache", "tmpfs"))
    found = Mount(kind)._replace(**given)
    _check_secret(found)
    return found


def _value(name: str, key: str, text: str | None) -> str | int | bool:
    if text is None:
        if name in _FLAGS:
            return True
        raise DockerfileError(f"invalid field '{key}' must be a key=value pair")
    value: str | int | bool | None = text
    if name in _FLAGS:
        value = values.boolean(text)
    elif name == "size":
        value = values.size(text)
    elif name in ("mode", "uid", "gid"):
        value = values.number(text, 8 if name == "mode" else 10)
    elif name == "kind":
        value = _one_of("mount type", text, KINDS)
    elif name == "sharing":
        value = _one_of("sharing value", text, SHARING)
    if value is None:
        raise DockerfileError(f"invalid value for {key}: {text}")
    return value


def _one_of(what: str, text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        hint = did_you_mean(text, choices) or f"one of {', '.join(choices)}"
        raise DockerfileError(f"unsupported {what} {text!r}", hint=hint)
    return text.lower()


def _check_secret(found: Mount) -> None:
    if found.kind != "secret":
        return
    if found.origin:
        raise DockerfileError("secret mount should not have a from")
    if not (found.source or found.target or found.id):
        raise DockerfileError("invalid secret mount. one of source, target required", hint="add id=NAME")
    if found.source and found.id:
        raise DockerfileError("both source and id can't be set", hint="in a secret mount they mean the same")


def device(text: str) -> Device:
    """What `--device=` says: `vendor.com/class=name[,required]`."""
    name, required = "", False
    for field in values.fields(text):
        key, equals, value = field.partition("=")
        if key.lower() == "required":
            given = values.boolean(value) if equals else True
            if given is None:
                raise DockerfileError(f"invalid value for {key}: {value}")
            required = given
        elif key.lower() == "name" and equals:
            if name:
                raise DockerfileError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field  # a device's own name has an equals sign: vendor.com/class=name
        elif equals:
            hint = did_you_mean(key, ("name", "required"))
            raise DockerfileError(f"unexpected key '{key}' in '{field}'", hint=hint)
        else:
            hint = did_you_mean(field, ("required",))
            raise DockerfileError(f"invalid field '{field}' must be a key=value pair", hint=hint)
    return Device(name, required)
