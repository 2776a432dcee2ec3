"""A container's environment variables: `-e`, `--env-file`, the image's ENV, and docker's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wherry.base.errors import Location, UsageError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def from_option(word: str, own: Mapping[str, str]) -> str:
    """`-e NAME=value` as it is; `-e NAME` with the caller's value, or `NAME` alone where the caller has none.

    A name alone takes the variable away that the image sets, as docker does.
    """
    name, equals, _ = word.partition("=")
    if not name:
        raise UsageError(f"invalid environment variable: {word}", hint="write -e NAME=value or -e NAME")
    if "\0" in word:
        raise UsageError(f"invalid environment variable: {name} contains a NUL byte")
    return word if equals or name not in own else f"{name}={own[name]}"


def from_options(words: Iterable[str], files: Iterable[str], own: Mapping[str, str]) -> tuple[str, ...]:
    """Of all `-e` and `--env-file`; what `-e` says counts."""
    return (
        *(item for path in files for item in from_file(path, own)),
        *(from_option(word, own) for word in words),
    )


def from_file(path: str, own: Mapping[str, str]) -> list[str]:
    """The variables in an `--env-file`. A `NAME` that the caller has not is left out."""
    pairs = [
        (name, own.get(name) if value is None else value) for name, value in read_pairs(path, "env file")
    ]
    return [f"{name}={value}" for name, value in pairs if value is not None]


def read_pairs(path: str, what: str) -> list[tuple[str, str | None]]:
    """A file with one `NAME=value` or `NAME` (None) a line; `#` lines are comments. `what` it is called.

    Docker's rules: no quoting, no escapes, the value is all behind the `=`; spaces in front of the name
    are dropped.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}") from None
    lines = enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
    pairs = (_pair(line.rstrip(b"\r"), what, Location(path, number)) for number, line in lines)
    return [pair for pair in pairs if pair]


def _pair(raw: bytes, what: str, where: Location) -> tuple[str, str | None] | None:
    try:
        line = raw.decode().lstrip()
    except UnicodeDecodeError:
        raise UsageError(f"not UTF-8 text in the {what}", where=where) from None
    if not line or line.startswith("#"):
        return None
    name, equals, value = line.partition("=")
    if not name:
        raise UsageError(f"no name in {line!r}", where=where)
    if any(map(str.isspace, name)):
        raise UsageError(f"the name {name!r} contains white space", where=where)
    return name, value if equals else None


def merge(image: Iterable[str], options: Iterable[str]) -> tuple[str, ...]:
    """The image's variables with the options' on top; a later one wins, a bare name removes."""
    variables: dict[str, str] = {}
    for item in (*image, *options):
        name, equals, value = item.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)
    return tuple(f"{name}={value}" for name, value in variables.items())


def complete(
    variables: tuple[str, ...], *, hostname: str, home: str, terminal: bool, extra: Iterable[str] = ()
) -> tuple[str, ...]:
    """`variables` with what docker sets for a process where neither image nor user did.

    `extra` (the host's CA bundle, proxies) is for this process only and also gives way to the user's.
    """
    defaults = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if terminal:
        defaults["TERM"] = "xterm"
    defaults |= dict(item.partition("=")[::2] for item in extra)
    chosen = dict(item.partition("=")[::2] for item in variables)
    merged = defaults | chosen
    merged.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in merged.items())
