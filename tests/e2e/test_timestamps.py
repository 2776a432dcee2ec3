"""`--timestamps=keep`: files keep their own times, and results depend on those of what is copied."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support import busybox
from support.cli import Wherry
from support.progress import words
from wherry.layer.layers import Layers
from wherry.snapshot.view import View
from wherry.store.store import Store

Make = Callable[[Mapping[str, str | bytes]], Path]

KEEP = "--timestamps=keep"
LINES = "FROM scratch\nCOPY <<E /text\nE\nCOPY src /made/src\n"
OLD, NEW = 1_500_000_000, 1_600_000_000
FIXED = 315532800


def project(context: Make, dockerfile: str = LINES, **times: int) -> Path:
    """`src/a` and `src/d/b` with the given times, OLD where there is none; folders have OLD."""
    folder = context({"Dockerfile": dockerfile, "src/a": "a", "src/d/b": "b"})
    for name in ("src/d/b", "src/d", "src/a", "src"):
        os.utime(folder / name, (0, times.get(name[-1], OLD) + 0.25))
    return folder


def built(wherry: Wherry, folder: Path, *more: str) -> dict[str, int]:
    """The times of all that is in the image, in seconds; all are whole ones."""
    result = wherry("build", "-q", *more, folder)
    assert result.code == 0, result.err
    with Store.open(str(wherry.root)) as store:
        config = store.images.find(result.out.strip()).config
        found = list(View(Layers(store), config.diff_ids).walk())
    assert all(one.entry.mtime % 1_000_000_000 == 0 for one in found)
    return {one.entry.path: one.entry.mtime // 1_000_000_000 for one in found if one.entry.path}


def test_files_and_folders_keep_their_times(wherry: Wherry, context: Make) -> None:
    """What is written in the Dockerfile, and a folder on the way, has none of its own."""
    times = built(wherry, project(context, a=NEW), KEEP)
    assert times == {
        "text": FIXED,
        "made": FIXED,
        "made/src": FIXED,
        "made/src/a": NEW,
        "made/src/d": OLD,
        "made/src/d/b": OLD,
    }


def test_without_it_all_times_are_one(wherry: Wherry, context: Make) -> None:
    assert set(built(wherry, project(context, a=NEW)).values()) == {FIXED}
    assert set(built(wherry, project(context, a=NEW), "--timestamps=fixed").values()) == {FIXED}


def test_an_epoch_limits_them(wherry: Wherry, context: Make) -> None:
    between = (OLD + NEW) // 2
    times = built(wherry, project(context, a=NEW), KEEP, "--build-arg", f"SOURCE_DATE_EPOCH={between}")
    assert times["made/src/a"] == times["text"] == between
    assert times["made/src/d/b"] == OLD


def test_a_time_alone_makes_a_new_layer(wherry: Wherry, context: Make) -> None:
    copy = "COPY src /made/src"
    folder = project(context)
    assert words(wherry, folder, KEEP)[copy] == "DONE"
    assert words(wherry, folder, KEEP)[copy] == "CACHED"
    os.utime(folder / "src/a", (NEW, NEW))
    assert words(wherry, folder, KEEP)[copy] == "DONE"
    assert built(wherry, folder, KEEP)["made/src/a"] == NEW
    assert words(wherry, folder)[copy] == "DONE"
    os.utime(folder / "src/a", (OLD, OLD))
    assert words(wherry, folder)[copy] == "CACHED"


def test_both_ways_have_results_of_their_own(wherry: Wherry, context: Make) -> None:
    """Nor does the epoch of one stand for that of the other, which is no limit there."""
    folder = project(context, a=NEW)
    for _ in range(2):
        assert built(wherry, folder, KEEP)["made/src/a"] == NEW
        assert built(wherry, folder)["made/src/a"] == FIXED
        limited = built(wherry, folder, KEEP, "--build-arg", f"SOURCE_DATE_EPOCH={FIXED}")
        assert limited["made/src/a"] == FIXED


def test_what_is_copied_from_a_stage_keeps_the_stage_s_times(wherry: Wherry, context: Make) -> None:
    lines = "FROM scratch AS one\nCOPY src /from\nFROM scratch\nCOPY --from=one /from/a /a\n"
    folder = project(context, lines, a=NEW)
    assert built(wherry, folder, KEEP) == {"a": NEW}
    os.utime(folder / "src/a", (OLD, OLD))
    assert built(wherry, folder, KEEP) == {"a": OLD}


def test_another_word_is_refused(wherry: Wherry, context: Make) -> None:
    result = wherry("build", "--timestamps=old", project(context))
    assert result.code == 125
    assert '"old"' in result.err
    assert "fixed" in result.err and "keep" in result.err


@pytest.mark.needs("root")
def test_what_a_run_writes_keeps_its_time(wherry: Wherry, context: Make) -> None:
    busybox.put(wherry.root, "busybox")
    run = f"RUN touch -d @{NEW} /new; touch -d @{OLD} /old"
    folder = project(context, f"FROM busybox\nCOPY src /src\n{run}\n")
    assert {name: time for name, time in built(wherry, folder, KEEP).items() if name in ("new", "old")} == {
        "new": NEW,
        "old": OLD,
    }
    assert built(wherry, folder)["new"] == FIXED


@pytest.mark.needs("root")
def test_a_run_does_not_depend_on_times(wherry: Wherry, context: Make) -> None:
    """As always (docs/cache.md, "What counts as looking")."""
    busybox.put(wherry.root, "busybox")
    run = "RUN cat /src/a > /copy"
    folder = project(context, f"FROM busybox\nCOPY src /src\n{run}\n")
    words(wherry, folder, KEEP)
    os.utime(folder / "src/a", (NEW, NEW))
    found = words(wherry, folder, KEEP)
    assert found["COPY src /src"] == "DONE"
    assert found[run].startswith("CACHED, REUSED")
