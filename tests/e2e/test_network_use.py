"""Whether a RUN may have used the network: observed in every mode of the built-in runtime, and kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, calls, cli, listening, ordinary
from support.calls import Call
from support.cli import Wherry
from support.progress import words
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "newuidmap")

DAY = 86400
SOCKET = 41
UNIX, INET, NETLINK, INET6, PACKET = 1, 2, 16, 10, 17
ASKS = "ifconfig lo"


@pytest.fixture(params=["root", "userns", "single-id"], scope="module")
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Wherry, Path]]:
    if request.param == "root":
        folder = tmp_path_factory.mktemp("network")
        wherry = Wherry(folder / "wherry", folder / "docker")
        busybox.put(wherry.root, "busybox")
        yield wherry, folder / "context"
        return
    with ordinary.user(subordinate=request.param == "userns") as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        ordinary.put_busybox(user, wherry.root, "busybox")
        yield wherry, user.home.parent / "context"


def networked(wherry: Wherry, context: Path, dockerfile: str, *options: str, program: bytes = b"") -> bool:
    """What is kept of the last step."""
    cli.write_files(context, {"Dockerfile": dockerfile, "program": program, ".dockerignore": "Dockerfile"})
    context.chmod(0o755)
    (context / "program").chmod(0o755)
    wherry.ok("build", "--no-cache", *options, context)
    with Store.open(str(wherry.root)) as store:
        return store.records.all()[-1].result.networked


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("true", False),
        ("sh -c 'sh -c ls'", False),
        (ASKS, True),
        (f"sh -c '({ASKS}) & wait'", True),
    ],
)
def test_a_socket_that_leads_to_a_network_counts(
    place: tuple[Wherry, Path], command: str, expected: bool, watched: bool
) -> None:
    copy = "COPY program /\n" if watched else ""
    assert networked(*place, f"FROM busybox\n{copy}RUN {command}\n") == expected


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
@pytest.mark.parametrize(
    ("family", "expected"), [(UNIX, False), (NETLINK, False), (INET, True), (INET6, True), (PACKET, True)]
)
def test_of_which_family(place: tuple[Wherry, Path], family: int, expected: bool, watched: bool) -> None:
    program = calls.program([Call(SOCKET, (family, 2, 0))])
    option = "--cache=observed" if watched else "--cache=exact"
    dockerfile = "FROM busybox\nCOPY program /\nRUN /program > /out\n"
    assert networked(*place, dockerfile, option, program=program) == expected


def test_without_a_network_none_is_used(place: tuple[Wherry, Path]) -> None:
    assert not networked(*place, f"FROM busybox\nRUN --network=none {ASKS}\n")
    assert not networked(*place, f"FROM busybox\nCOPY program /\nRUN --network=none {ASKS}\n")


def test_where_somebody_else_listens_it_may_have_been_used(shared: Wherry, tmp_path: Path) -> None:
    below = Wherry(shared.root, tmp_path / "docker", prefix=listening.PREFIX)
    place = below, tmp_path / "context"
    assert networked(*place, f"FROM busybox\nRUN true {tmp_path}\n")
    assert networked(*place, f"FROM busybox\nCOPY program /\nRUN true {tmp_path}\n")


@pytest.mark.needs("crun")
def test_what_crun_starts_may_have_used_it(shared: Wherry, tmp_path: Path) -> None:
    place = shared, tmp_path / "context"
    dockerfile = f"FROM busybox\nRUN true {tmp_path}\n"
    assert networked(*place, dockerfile, "--runtime=crun")
    assert not networked(*place, dockerfile, "--runtime=native")


FETCH = "RUN ifconfig lo > /dev/null; cat /proc/sys/kernel/random/uuid > /fetched"
SAME = "RUN ifconfig lo > /dev/null; echo same > /fetched"
USE = "RUN cat /fetched > /used"
DONE, CACHED = "DONE", "CACHED"


class Project:
    """A folder that is built; its name makes its results its own."""

    def __init__(self, place: tuple[Wherry, Path], name: str) -> None:
        self.wherry, folder = place
        self.folder = folder.with_name(name)
        cli.write_files(self.folder, {".dockerignore": "Dockerfile", "name": name, "other": "1"})
        self.folder.chmod(0o755)

    def built(self, *instructions: str, more: tuple[str, ...] = ()) -> list[str]:
        """What became of the instructions behind `COPY`."""
        lines = ("FROM busybox", "COPY . /", *(f"{line} # {self.folder.name}" for line in instructions))
        (self.folder / "Dockerfile").write_text("\n".join(lines))
        return list(words(self.wherry, self.folder, *more).values())[1:]

    def pass_by(self, seconds: float) -> None:
        """All that was made until now is so much older."""
        with sqlite3.connect(self.wherry.root / "store.db") as tables:
            for table in ("records", "traces"):
                tables.execute(f"UPDATE {table} SET made = made - ?", (seconds,))
        tables.close()


@pytest.fixture
def project(request: pytest.FixtureRequest, place: tuple[Wherry, Path]) -> Project:
    return Project(place, request.node.name.partition("[")[0])


@pytest.mark.parametrize("cache", ["observed", "exact"])
def test_a_result_is_made_anew_when_it_is_old(project: Project, cache: str) -> None:
    steps = FETCH, USE, f"RUN echo {cache}"
    option = f"--cache={cache}"
    assert project.built(*steps, more=(option, "--no-cache")) == [DONE, DONE, DONE]
    project.pass_by(2 * DAY)
    assert project.built(*steps, more=(option,)) == [CACHED, CACHED, CACHED]
    assert project.built(*steps, more=(option, "--refresh=3d")) == [CACHED, CACHED, CACHED]
    fetched, used, _ = project.built(*steps, more=(option, "--refresh=47h59m"))
    assert (fetched, used) == (DONE, DONE)
    assert project.built(*steps, more=(option, "--refresh=47h59m")) == [CACHED, CACHED, CACHED]


def test_the_same_result_once_more_changes_nothing_behind_it(project: Project) -> None:
    project.built(SAME, USE)
    for _ in range(2):
        assert project.built(SAME, USE, more=("--refresh=0",)) == [DONE, CACHED]


def test_what_holds_on_another_parent_is_as_old_as_before(project: Project) -> None:
    project.built(FETCH)
    project.pass_by(2 * DAY)
    (project.folder / "other").write_text("2")
    assert project.built(FETCH)[0].startswith("CACHED, REUSED")
    assert project.built(FETCH, more=("--refresh=1d",)) == [DONE]
    (project.folder / "other").write_text("3")
    assert project.built(FETCH, more=("--refresh=1d",))[0].startswith("CACHED, REUSED")


def test_what_used_no_network_stays(project: Project) -> None:
    quiet = FETCH.replace("RUN", "RUN --network=none"), "RUN cat name > /copy"
    project.built(*quiet)
    project.pass_by(1000 * DAY)
    assert project.built(*quiet, more=("--refresh=0",)) == [CACHED, CACHED]


def test_a_result_of_the_future_was_made_by_a_clock_that_went_wrong(project: Project) -> None:
    project.built(FETCH)
    project.pass_by(-2 * DAY)
    assert project.built(FETCH, more=("--refresh=1d",)) == [DONE]


def test_the_age_can_be_set_for_every_build(project: Project) -> None:
    project.built(SAME)
    project.wherry.environment["WHERRY_REFRESH"] = "0"
    try:
        assert project.built(SAME) == [DONE]
        assert project.built(SAME, more=("--refresh=1h",)) == [CACHED]
    finally:
        del project.wherry.environment["WHERRY_REFRESH"]


@pytest.mark.parametrize("age", ["", "soon", "7", "1h 30m", "7D", "-1h", "1e9h"])
def test_what_is_no_age_is_refused(shared: Wherry, tmp_path: Path, age: str) -> None:
    flag = shared("build", f"--refresh={age}", tmp_path)
    assert flag.err.startswith(f"error: --refresh {age!r}: not an age\nhint: write it as 30m, 12h")
    if age:
        setting = shared("build", tmp_path, env={"WHERRY_REFRESH": age})
        assert f"error: WHERRY_REFRESH must be an age: 12h, 7d, not {age!r}" in setting.err
