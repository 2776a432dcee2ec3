"""Fixtures for builds on a store with bases, and for the runtimes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import hosts, programs
from support.cli import Wherry
from support.hosts import HOSTS, Host
from support.places import PLACES, Place
from support.places import place as made_place
from support.running import make_rootfs
from support.victim import Victim
from support.victim import victim as made_victim
from wherry.runtime.native import Native
from wherry.runtime.runtime import Runtime

Context = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def built(shared: Wherry, context: Context) -> Callable[..., str]:
    """Build a Dockerfile, `a_txt="x"` being a file a.txt; what was printed, with --progress plain."""

    def build(dockerfile: str, *flags: str, **files: str) -> str:
        named = {name.replace("_", "."): text for name, text in files.items()}
        folder = context({"Dockerfile": dockerfile, **named})
        result = shared("build", "--progress", "plain", *flags, folder)
        assert result.code == 0, result.err
        return result.err

    return build


@pytest.fixture(scope="module")
def native() -> Iterator[Native]:
    with Native() as runtime:
        yield runtime


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Each runtime, as root and for an ordinary user: a test that takes it is run through all of them."""
    with hosts.host(request.param, tmp_path_factory.mktemp("runtime")) as opened:
        yield opened


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each mode and runtime of `wherry run`, with a store that all tests of a module share."""
    with made_place(request.param) as found:
        yield found


@pytest.fixture
def runtime(host: Host) -> Runtime:
    return host.runtime


@pytest.fixture
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that the containers of `host` can be shown."""
    host = request.getfixturevalue("host") if "host" in request.fixturenames else None
    if host is None or host.home is None:
        return tmp_path
    folder: Path = host.home / tmp_path.name
    folder.mkdir()
    return folder


@pytest.fixture
def rootfs(ground: Path) -> Path:
    """A root filesystem with all of busybox."""
    return make_rootfs(ground / "rootfs")


@pytest.fixture(params=["root", "user"])
def victim(request: pytest.FixtureRequest) -> Iterator[Victim]:
    """Whoever builds what an attacker wrote, as root and as an ordinary user."""
    programs.require("root", "newuidmap", "busybox")
    with made_victim(request.param) as someone:
        yield someone
