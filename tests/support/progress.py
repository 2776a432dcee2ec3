"""What `--progress plain` says of each step."""

from __future__ import annotations

from pathlib import Path

from support.cli import Wherry


def words(wherry: Wherry, context: Path, *more: str) -> dict[str, str]:
    """What became of each instruction of a build, by its text: DONE, CACHED or more; FROM is left out."""
    result = wherry("build", "--progress", "plain", *more, context)
    assert result.code == 0, result.err
    texts: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in result.err.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("["):
            texts[number] = rest.partition("] ")[2]
        elif texts.get(number, "FROM").startswith("FROM"):
            continue
        elif rest.startswith(("CACHED", "DONE")):
            found[texts[number]] = "DONE" if rest.startswith("DONE") else rest
    return found
