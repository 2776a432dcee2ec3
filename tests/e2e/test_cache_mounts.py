"""Caches of RUN: who shares them at one time, what they begin with, whose they are; the size of a tmpfs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support import busybox
from support.cli import Wherry

pytestmark = pytest.mark.needs("root", "busybox")

Context = Callable[[Mapping[str, str | bytes]], Path]

MEET = (
    "touch /meet/{0}; for i in $(seq 100); do test -e /meet/{1} && break; sleep 0.1; done; test -e /meet/{1}"
)
"""Ends well only where the other step runs at the same time, and sees the same folder."""


@pytest.fixture
def box(wherry: Wherry) -> Wherry:
    busybox.put(wherry.root, "base")
    return wherry


def two(first: str, second: str) -> dict[str, str | bytes]:
    """Two steps that do not stand on each other."""
    return {
        "Dockerfile": f"FROM base AS a\nRUN {first}\nFROM base AS b\nRUN {second}\n"
        "FROM base\nRUN --mount=from=a,target=/a --mount=from=b,target=/b true\n"
    }


def test_shared_by_steps_at_the_same_time(box: Wherry, context: Context) -> None:
    mount = "--mount=type=cache,target=/meet"
    box.ok(
        "build", "--jobs", "2", context(two(f"{mount} {MEET.format(1, 2)}", f"{mount} {MEET.format(2, 1)}"))
    )


def test_private_to_each_of_them(box: Wherry, context: Context) -> None:
    mounts = "--mount=type=cache,target=/meet --mount=type=cache,sharing=private,target=/own"
    first, second = (
        f"{mounts} mkdir /own/taken && {MEET.format(*names)} && rmdir /own/taken"
        for names in ((1, 2), (2, 1))
    )
    box.ok("build", "--jobs", "2", context(two(first, second)))


def test_locked_by_one_of_them(box: Wherry, context: Context) -> None:
    step = "--mount=type=cache,sharing=locked,target=/c mkdir /c/taken && sleep 0.5 && rmdir /c/taken"
    box.ok("build", "--jobs", "2", context(two(step, step)))


def test_shared_by_two_builds(box: Wherry, context: Context, tmp_path: Path) -> None:
    """Each has one step: they meet only where two processes are given one folder."""
    mount = "RUN --mount=type=cache,id=both,target=/meet"
    folder = context(
        {
            name: f"FROM base\n{mount} {MEET.format(*names)}\n"
            for name, names in (("one", (1, 2)), ("two", (2, 1)))
        }
    )
    builds = [box.start("build", "-f", folder / name, folder) for name in ("one", "two")]
    for build in builds:
        _, err = build.communicate(timeout=60)
        assert build.returncode == 0, err


def test_what_a_cache_begins_with_and_whose_it_is(box: Wherry, context: Context) -> None:
    text = (
        "FROM base AS seed\nRUN mkdir /d && echo seed > /d/file\nFROM base\n"
        "RUN --mount=type=cache,from=seed,source=/d,target=/c cat /c/file; echo more >> /c/file\n"
        "RUN --mount=type=cache,from=seed,source=/d,target=/c cat /c/file > /kept\n"
        "RUN --mount=type=cache,target=/o,uid=1000,gid=44,mode=0751 stat -c '%u:%g %a' /o > /owner\n"
        "RUN --mount=from=seed,source=/d,target=/d cat /d/file > /seed; cat /kept /owner /seed; false\n"
    )
    done = box("build", context({"Dockerfile": text}))
    assert "seed\nmore\n1000:44 751\nseed\n" in done.err, done.err


def test_a_tmpfs_of_a_size(box: Wherry, context: Context) -> None:
    fill = "dd if=/dev/zero of=/t/x bs=1k count=100 2> /dev/null"
    text = f"FROM base\nRUN --mount=type=tmpfs,target=/t,size=64k ! {fill} && ! test -e /t/y\n"
    text += f"RUN --mount=type=tmpfs,target=/t,size=1m {fill} && echo x > /t/y\n"
    text += "RUN test ! -e /t\n"
    box.ok("build", context({"Dockerfile": text}))
