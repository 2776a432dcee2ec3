"""Fixtures for all tests.

`registry`   host:port of a docker-registry on loopback that has the bases, one a worker: push what you like
`store`      an empty store, opened in this process
`wherry`     the command line on an empty store: `wherry.ok("images")`
`ordinary_wherry`  the same as a user without rights, with subordinate ids
`shared`     the command line on a store with the bases, shared by a worker's tests: use tags of your own
`context`    makes a build context: `context({"Dockerfile": "FROM scratch\\n", "app/a.txt": "a"})`

`@pytest.mark.needs("root", "skopeo")` skips a test where something is missing; in CI (`CI=true`) it fails.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import hypothesis
import pytest

from support import bases, cli, folders, modes, ordinary, programs
from support.cli import Wherry
from wherry.store.store import Store

# pytest's own temporary folders, stores among them, in memory where that is possible.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folders.fast())

# A slow machine is no failure; and what CI says of a commit does not depend on luck.
hypothesis.settings.register_profile(
    "wherry",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("wherry")

# A shell starts what it puts into the background with Ctrl-C ignored, and so would run what tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_as_by_ctrl_c(process: int, number: int, _frame: object) -> None:
    if os.getpid() == process:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)  # a process that a test has forked
    os.kill(os.getpid(), number)


# Whoever ends pytest in this way, as timeout(1) does, gets back what fixtures take away: containers run on by
# themselves.
signal.signal(signal.SIGTERM, partial(_end_as_by_ctrl_c, os.getpid()))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): programs that a test uses, or root")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := modes.not_promised(item.nodeid):
        pytest.skip(f"{modes.CHOSEN}: {reason}")
    for mark in item.iter_markers("needs"):
        programs.require(*mark.args)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    programs.require("docker-registry", "skopeo", "mmdebstrap")
    scratch = tmp_path_factory.mktemp("registry")
    with bases.served(scratch) as address:
        yield address
    shutil.rmtree(scratch)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def wherry(tmp_path: Path) -> Wherry:
    return Wherry(tmp_path / "wherry", tmp_path / "docker")


@pytest.fixture
def ordinary_wherry() -> Iterator[Wherry]:
    programs.require("root", "newuidmap")
    with ordinary.user() as user:
        yield Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wherry]:
    programs.require("docker-registry", "skopeo", "mmdebstrap")
    scratch = tmp_path_factory.mktemp("shared")
    with Store.open(str(scratch / "wherry")) as opened:
        for name in bases.BASES:
            bases.seed(opened, name)
    yield Wherry(scratch / "wherry", scratch / "docker", cli.behind_proxy())
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture
def context(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    def make(files: Mapping[str, str | bytes]) -> Path:
        return cli.write_files(tmp_path / "context", files)

    return make
