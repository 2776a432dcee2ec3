"""docker's words for mounts: `-v`, `--mount`, `--tmpfs` and `--volumes-from`."""

from __future__ import annotations

import os
import re

from wherry.base import sizes
from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.container.names import NAME
from wherry.container.options.mounting import Inheritance, Volume

_MODES = {
    **dict.fromkeys(("ro", "rw"), "access"),
    **dict.fromkeys(("z", "Z"), "label"),
    **dict.fromkeys(("private", "rprivate", "shared", "rshared", "slave", "rslave"), "propagation"),
    **dict.fromkeys(("consistent", "cached", "delegated"), "consistency"),
    "nocopy": "copy",
}
"""The options behind a target, and what each is about: one of a kind may be given (moby, linux_parser.go)."""

_KEYS = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly",
    **{key: key for key in (
        "type", "source", "target", "readonly", "consistency", "bind-propagation", "bind-nonrecursive",
        "bind-recursive", "volume-subpath", "volume-nocopy", "volume-label", "volume-driver", "volume-opt",
        "tmpfs-size", "tmpfs-mode", "image-subpath",
    )},
}  # fmt: skip
_SWITCHES = ("readonly", "volume-nocopy", "bind-nonrecursive")
"""Keys that need no value."""

_KINDS = ("bind", "volume", "tmpfs")

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")

_PAIRS = {
    **dict.fromkeys(("ro", "rw"), "ro"),
    **dict.fromkeys(("exec", "noexec"), "exec"),
    **dict.fromkeys(("noatime", "relatime", "strictatime"), "atime"),
}
"""Flags of a tmpfs, and which of them exclude each other: the last one counts."""

_NUMBER = r"[0-9]{1,18}"
_VALUES = {
    "size": rf"{_NUMBER}[kKmMgG%]?",
    "nr_inodes": rf"{_NUMBER}[kKmMgG]?",
    "nr_blocks": rf"{_NUMBER}[kKmMgG]?",
    "mode": "[0-7]{1,4}",
    "uid": "[0-9]{1,10}",
    "gid": "[0-9]{1,10}",
}
"""What a tmpfs can be told besides (tmpfs(5))."""


def parse_volume(word: str) -> Volume:
    """`host path:target[:options]`, `name:target[:options]` or `target` alone (an anonymous volume).

    A source that begins with `/`, `./` or `../` (or is `.` or `..`) is a host path, taken from the working
    directory; any other is a volume's name.
    """
    flag = f"-v {word}"
    parts = word.split(":")
    if len(parts) == 1:
        return Volume("volume", "", _target(parts[0], flag), anonymous=True)
    if len(parts) > 3 or not parts[0]:
        raise UsageError(f"invalid volume: {word}", hint="write -v source:/target or -v source:/target:ro")
    read_only, copy = _modes(parts[2] if len(parts) == 3 else "", flag)
    target = _target(parts[1], flag)
    source = parts[0]
    if source in (".", "..") or source.startswith(("/", "./", "../")):
        return Volume("bind", os.path.abspath(source), target, read_only, copy=False)
    return Volume("volume", _volume_name(source, flag), target, read_only, copy)


def parse_tmpfs(word: str) -> Volume:
    """`target[:options]`, options such as size=64m,mode=1777,uid=5,exec. Else it is noexec, as docker's."""
    flag = f"--tmpfs {word}"
    path, _, text = word.partition(":")
    options = _tmpfs_options(text.split(",") if text else [], flag)
    return Volume("tmpfs", "", _target(path, flag), "ro" in options, copy=False, options=options)


def parse_inheritance(word: str) -> Inheritance:
    """`container[:ro|rw]`; the labels `z` and `Z` are not needed here."""
    name, _, text = word.partition(":")
    if not name:
        raise UsageError("--volumes-from needs the name of a container", hint="such as --volumes-from web:ro")
    modes = text.split(",") if text else []
    if any(_MODES.get(mode) not in ("access", "label") for mode in modes) or {"ro", "rw"} <= set(modes):
        raise UsageError(f"invalid mode in --volumes-from {word}: {text!r}", hint="it is ro or rw")
    return Inheritance(name, "ro" in modes)


def parse_mount(word: str) -> Volume:
    """`type=bind,source=/a,target=/b,readonly` and docker's other keys, as one record of CSV.

    A bind's source must exist when the container is created or started. Unsupported for what is docker's and
    not done here, UsageError for what is nothing.
    """
    flag = f"--mount {word}"
    given = _fields(word, flag)
    kind = given.one("type", "volume").lower()
    if kind not in _KINDS:
        raise Unsupported(f"{flag}: the type {kind!r} is not supported", hint=f"{', '.join(_KINDS)} are")
    for key in given.values:
        family = key.partition("-")[0]
        if family in (*_KINDS, "image") and family != kind:
            raise UsageError(f"{flag}: {key} does not go with type={kind}")
    if given.one("consistency", "default") not in ("default", "consistent", "cached", "delegated"):
        raise UsageError(f"{flag}: invalid consistency", hint="consistent, cached or delegated")
    if not given.one("target", ""):
        raise UsageError(f"{flag}: there is no target", hint="such as type=bind,source=/a,target=/b")
    target = _target(given.one("target", ""), flag)
    read_only = given.truth("readonly")
    if kind == "bind":
        return _bind(given, target, read_only)
    if kind == "tmpfs":
        return _tmpfs(given, target, read_only)
    return _volume(given, target, read_only)


class _Given(NamedTuple):
    """The keys of a `--mount`, by docker's first name for each, with all their values."""

    flag: str
    values: dict[str, list[str]]

    def one(self, key: str, default: str) -> str:
        return self.values[key][-1] if key in self.values else default

    def truth(self, key: str) -> bool:
        text = self.one(key, "false")
        if text not in (*_TRUE, *_FALSE):
            raise UsageError(f"{self.flag}: {key}={text} is neither true nor false")
        return text in _TRUE


def _fields(word: str, flag: str) -> _Given:
    import csv

    values: dict[str, list[str]] = {}
    try:
        fields = next(csv.reader([word], strict=True), [])
    except csv.Error as error:
        raise UsageError(f"{flag}: {error}", hint="what holds a comma stands in double quotes") from None
    for field in fields:
        name, equals, value = field.partition("=")
        key = _KEYS.get(name.lower())
        if key is None:
            raise UsageError(
                f"{flag}: there is no key {name!r}", hint="such as type=bind,source=/a,target=/b"
            )
        if not equals and key not in _SWITCHES:
            raise UsageError(f"{flag}: {name} needs a value: {name}=...")
        values.setdefault(key, []).append(value if equals else "true")
    return _Given(flag, values)


def _bind(given: _Given, target: str, read_only: bool) -> Volume:
    source = given.one("source", "")
    if not source:
        raise UsageError(f"{given.flag}: a bind mount needs a source")
    if source == "." or source.startswith("./"):
        source = os.path.abspath(source)
    if not source.startswith("/"):
        raise UsageError(f"{given.flag}: the source must be an absolute path, or begin with ./")
    _check_propagation(given.one("bind-propagation", "rprivate"), given.flag)
    recursion = given.one("bind-recursive", "enabled")
    if recursion == "writable":
        raise Unsupported(
            f"{given.flag}: bind-recursive=writable is not supported",
            hint="what is mounted below a read-only source is read-only too",
        )
    if recursion not in ("enabled", "disabled", "readonly"):
        raise UsageError(f"{given.flag}: bind-recursive is enabled, disabled or readonly")
    if recursion == "readonly" and not read_only:
        raise UsageError(f"{given.flag}: bind-recursive=readonly needs readonly")
    recursive = recursion != "disabled" and not given.truth("bind-nonrecursive")
    normal = os.path.normpath(source)
    return Volume("bind", normal, target, read_only, copy=False, recursive=recursive, must_exist=True)


def _tmpfs(given: _Given, target: str, read_only: bool) -> Volume:
    if "source" in given.values:
        raise UsageError(f"{given.flag}: a tmpfs has no source")
    options = ["ro"] if read_only else []
    if "tmpfs-size" in given.values:
        size = sizes.parse(given.one("tmpfs-size", ""), thousand=1024)
        if size is None:
            raise UsageError(f"{given.flag}: invalid tmpfs-size", hint="write it as 64m, or in bytes")
        options += [f"size={size}"] if size else []
    if "tmpfs-mode" in given.values:
        options.append(f"mode={given.one('tmpfs-mode', '')}")
    return Volume("tmpfs", "", target, read_only, copy=False, options=_tmpfs_options(options, given.flag))


def _volume(given: _Given, target: str, read_only: bool) -> Volume:
    if given.one("volume-driver", "local") != "local":
        raise Unsupported(f"{given.flag}: the only driver of volumes is local")
    if "volume-opt" in given.values:
        raise Unsupported(
            f"{given.flag}: volume-opt is not supported",
            hint="a folder that is mounted already can be a bind",
        )
    name, subpath = given.one("source", ""), given.one("volume-subpath", "")
    if subpath and (not name or subpath.startswith("/") or ".." in subpath.split("/")):
        raise UsageError(f"{given.flag}: volume-subpath is a path inside a volume that has a name")
    if read_only and not name:
        raise UsageError(f"{given.flag}: an anonymous volume that cannot be written would stay empty")
    labels = dict(item.partition("=")[::2] for item in given.values.get("volume-label", ()))
    return Volume(
        "volume",
        _volume_name(name, given.flag) if name else "",
        target,
        read_only,
        copy=not given.truth("volume-nocopy"),
        anonymous=not name,
        subpath=os.path.normpath(subpath) if subpath else "",
        labels=tuple((key, value) for key, value in labels.items() if key),
    )


def _volume_name(text: str, flag: str) -> str:
    if not NAME.fullmatch(text):
        raise UsageError(
            f"invalid volume name in {flag}: {text!r}",
            hint="a name has two or more letters, digits, _ . -; a host path begins with / or ./",
        )
    return text


def _modes(text: str, flag: str) -> tuple[bool, bool]:
    """Read-only, and whether to copy the image's content.

    `z` and `Z` (SELinux labels) are not needed here, the consistencies have no meaning on Linux.
    """
    modes = text.split(",") if text else []
    kinds = [_MODES.get(mode) for mode in modes]
    for mode, kind in zip(modes, kinds, strict=True):
        if kind is None:
            raise Unsupported(f"{flag}: the option {mode!r} is not supported", hint="ro, rw and nocopy are")
        if kinds.count(kind) > 1:
            raise UsageError(f"{flag}: the option {mode!r} has its like beside it")
        if kind == "propagation":
            _check_propagation(mode, flag)
    return "ro" in modes, "nocopy" not in modes


def _check_propagation(word: str, flag: str) -> None:
    if word in ("shared", "rshared", "slave", "rslave"):
        raise Unsupported(
            f"{flag}: the propagation {word} is not supported",
            hint="a container's mounts are its own (rprivate): it sees none that the host makes later",
        )
    if word not in ("private", "rprivate"):
        raise UsageError(f"{flag}: there is no propagation {word!r}")


def _tmpfs_options(words: list[str], flag: str) -> tuple[str, ...]:
    """With docker's defaults, of several that exclude each other the last; UsageError or Unsupported."""
    chosen = {"exec": "noexec"}
    for word in words:
        name, equals, value = word.partition("=")
        if word in _PAIRS:
            chosen[_PAIRS[word]] = word
        elif equals and name in _VALUES:
            if not re.fullmatch(_VALUES[name], value):
                raise UsageError(f"{flag}: invalid {name} {value!r}")
            chosen[name] = word
        elif word not in ("nosuid", "nodev", "defaults", "private", "rprivate"):
            raise Unsupported(
                f"{flag}: the option {word!r} is not supported",
                hint="ro, exec, noatime, size=, mode=, uid=, gid=, nr_inodes= and nr_blocks= are",
            )
    return tuple(word for word in chosen.values() if word not in ("rw", "exec", "relatime"))


def _target(path: str, flag: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"{flag}: the path in the container must be absolute")
    normal = "/" + os.path.normpath(path).lstrip("/")
    if normal == "/":
        raise UsageError(f"{flag}: the target cannot be /")
    return normal
