"""What the linter said of a Dockerfile, remembered with all that it looked at.

The linter is a pure function of a file, the options of the build, and the answers to two questions: which
image has this name, and is there a file of this name. So a verdict holds as long as the first two are the
same, which its key says, and as the questions that were asked have the same answers, which are kept with
it. A build with nothing to do asks them again and imports no rule.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping

import wherry
from wherry.base import memory
from wherry.base.tuples import NamedTuple
from wherry.dockerfile.parser import Dockerfile

MOST = 64
"""Verdicts that are kept; the oldest goes first."""

LONGEST = 16_384
"""Characters of a verdict that is kept."""

_CODE = ("lint", "lint/rules", "dockerfile")
"""Folders whose modules decide what is found."""


class Verdict(NamedTuple):
    """What a build tells of its Dockerfile. `violation` is why it must not be built, "" where it may.

    `bases` are the images that were asked for, name and ID ("" for one that is not there), `files` the paths
    in the context that were looked for, and whether they were there.
    """

    lines: tuple[str, ...]
    violation: str = ""
    bases: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, bool], ...] = ()


def key(
    dockerfile: Dockerfile,
    given: Mapping[str, str],
    predefined: Mapping[str, str],
    target: str,
    patterns: list[str] | None,
) -> str:
    """A digest of everything that a verdict depends on and that is known before the linter is asked.

    `patterns` are those of the ignore file, None where there is no context folder.
    """
    inputs = [
        *(wherry.__version__, _code()),
        *(dockerfile.file, dockerfile.text, target, patterns),
        *(sorted(given.items()), sorted(predefined.items())),
    ]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _code() -> list[tuple[str, int, int, int]]:
    """The linter's own modules: two commits of wherry may call themselves by one version."""
    root = os.path.dirname(os.path.abspath(wherry.__file__))
    found = []
    for folder in _CODE:
        try:
            with os.scandir(f"{root}/{folder}") as entries:
                files = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py")]
        except OSError:
            continue  # not installed as files
        found += [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in sorted(files)]
    return found


class Verdicts:
    """Those that are remembered in the folder `cache` of a store."""

    def __init__(self, cache: str) -> None:
        self._path = memory.path(cache, "lint")

    def get(self, key: str, base: Callable[[str], str], exists: Callable[[str], bool]) -> Verdict | None:
        """The verdict of `key`, where `base` and `exists` still answer as they did."""
        try:
            found = Verdict(*memory.load(self._path)[key])
            holds = all(base(name) == image for name, image in found.bases)
            holds = holds and all(exists(name) is there for name, there in found.files)
        except (KeyError, TypeError, ValueError):
            return None
        return found if holds else None

    def put(self, key: str, verdict: Verdict) -> None:
        size = sum(map(len, verdict.lines)) + sum(len(name) for name, _ in (*verdict.bases, *verdict.files))
        if size > LONGEST:
            return
        known = memory.load(self._path)
        known.pop(key, None)
        known[key] = tuple(verdict)
        for oldest in list(known)[:-MOST]:
            del known[oldest]
        memory.save(self._path, known)
