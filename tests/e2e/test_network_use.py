"""Whether a RUN may have used the network: observed in every mode of the built-in runtime, and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, calls, cli, ordinary
from support.calls import Call
from support.cli import Wherry
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "newuidmap")

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


@pytest.mark.needs("crun")
def test_where_nobody_hears_of_sockets_it_may_have_been_used(shared: Wherry, tmp_path: Path) -> None:
    place = shared, tmp_path / "context"
    dockerfile = f"FROM busybox\nRUN true {tmp_path}\n"
    assert networked(*place, dockerfile, "--runtime=crun")
    assert not networked(*place, dockerfile, "--runtime=native")
