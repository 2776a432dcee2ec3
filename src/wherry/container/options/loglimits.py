"""How much is kept of what a container writes, and what `logs --details` shows: docker's `--log-opt`."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base import sizes
from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple

FILE, NONE = "json-file", "none"

_REFUSED = {
    "compress": "older files are kept as they are",
    "env-regex": "name the variables: --log-opt env=NAME,NAME",
    "labels-regex": "name the labels: --log-opt labels=KEY,KEY",
    "max-buffer-size": "a container waits until what it writes is in the log",
    "tag": "the log is read by container",
}
"""Options of docker's for a log in a file that are not there, and why."""


class LogLimits(NamedTuple):
    """`driver` is json-file, or none. A file of `size` bytes is turned over (0: never), `files` are kept.

    `labels` and `env` name what `logs --details` shows in front of each line.
    """

    driver: str = FILE
    size: int = 10_000_000
    files: int = 3
    labels: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


def parse(driver: str, words: Iterable[str]) -> LogLimits:
    """Of `--log-driver` and the words of `--log-opt`. Raises UsageError, and Unsupported for what else docker
    has."""
    limits = LogLimits(driver=driver or FILE)
    if limits.driver not in (FILE, NONE):
        raise Unsupported(
            f"--log-driver {driver} is not supported",
            hint=f"{FILE} and {NONE} are; `wherry logs -f` can be piped",
        )
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"invalid --log-opt {word}", hint="write --log-opt max-size=10m")
        if limits.driver == NONE:
            raise UsageError(f"--log-opt {word} is for --log-driver {FILE}: {NONE} keeps nothing")
        limits = _with(limits, key, value)
    return limits


def _with(limits: LogLimits, key: str, value: str) -> LogLimits:
    if key == "max-size":
        return limits._replace(size=_size(value))
    if key == "max-file":
        return limits._replace(files=_files(value))
    if key in ("labels", "env"):
        names = tuple(filter(None, value.split(",")))
        return limits._replace(labels=names) if key == "labels" else limits._replace(env=names)
    if (key, value) in (("mode", "blocking"), ("compress", "false")):
        return limits
    if key == "mode":
        raise Unsupported(f"--log-opt mode={value} is not supported", hint=_REFUSED["max-buffer-size"])
    raise Unsupported(
        f"--log-opt {key} is not supported", hint=_REFUSED.get(key, "max-size, max-file, labels and env are")
    )


def _size(text: str) -> int:
    """-1 is no bound, as in docker."""
    size = 0 if text == "-1" else sizes.parse(text)
    if size is None or (size < 1 and text != "-1"):
        raise UsageError(f"invalid --log-opt max-size={text}", hint=f"{sizes.FORM}; -1 is no bound")
    return size


def _files(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise UsageError(f"invalid --log-opt max-file={text}", hint="write a number from 1 to 1000")
    return int(text)
