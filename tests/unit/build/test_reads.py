"""Paths as they are shown: what a mount shows, and folders in place of all that is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.build.reads import in_short, shown_at
from wherry.build.step import Mount

PATHS = st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), max_size=12)


@pytest.mark.parametrize(
    ("target", "source", "path", "shown"),
    [
        ("/src", "", "a/b", "src/a/b"),
        ("/src", "", "", "src"),
        ("/src/x", "lib", "lib/a", "src/x/a"),
        ("/f", "lib/f", "lib/f", "f"),
        ("/src", "lib", "library/a", "src/library/a"),
    ],
)
def test_what_is_mounted_is_shown_where_it_is_seen(target: str, source: str, path: str, shown: str) -> None:
    assert shown_at(Mount("bind", target), source, path) == shown


def test_a_folder_stands_for_all_that_was_copied_there() -> None:
    copied = {"src/a", "src/d/1", "src/d/2", "src/d/e/3", "src/f/1", "src/f/2"}
    chosen = copied - {"src/a", "src/f/2"}
    assert list(in_short(copied, chosen)) == [("src/d/", 3), ("src/f/1", 1)]
    assert list(in_short(copied, copied)) == [("src/", 6)]


@given(PATHS, st.randoms())
def test_it_tells_all_that_is_chosen_and_nothing_else(paths: set[str], random: object) -> None:
    files = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
    chosen = {path for path in sorted(files) if random.random() < 0.7}  # type: ignore[attr-defined]
    told = list(in_short(files, chosen))
    assert sum(count for _, count in told) == len(chosen)
    for path, count in told:
        covered = {file for file in files if file == path or (path.endswith("/") and file.startswith(path))}
        assert covered <= chosen
        assert len(covered) == count
