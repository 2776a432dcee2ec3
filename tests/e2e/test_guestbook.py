"""The example of an application with a database, done as its README says, by root and by an ordinary user."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import bases, cli, ordinary, programs, readme
from support.cli import Wherry
from support.ports import free
from wherry.store.store import Store

pytestmark = pytest.mark.needs("curl", "docker-registry", "skopeo", "mmdebstrap")

README = Path(__file__).parents[2] / "examples" / "guestbook" / "README.md"


@pytest.fixture(scope="module")
def owner() -> Iterator[ordinary.User]:
    programs.require("root", "newuidmap", "setpriv")
    with ordinary.user() as user:
        with Store.open(str(user.home / "wherry")) as store:
            for name in ("debian:bookworm-slim", "python:3.11-slim"):
                bases.seed(store, name)
        yield user


@pytest.fixture(params=["root", "user"])
def somebody(request: pytest.FixtureRequest, owner: ordinary.User) -> Wherry:
    """The command line on one store, root's first: so what root has built is built once."""
    if request.param == "user":
        shutil.rmtree(owner.home / "wherry" / "volumes", ignore_errors=True)
        ordinary.hand_over(owner.home)
    prefix = owner.prefix if request.param == "user" else ()
    return Wherry(owner.home / "wherry", owner.home / "docker", cli.behind_proxy(), prefix)


def test_it_is_as_its_readme_says(somebody: Wherry) -> None:
    here = os.path.dirname(sys.executable)
    environment = somebody.environment | {"PATH": f"{here}:{somebody.environment['PATH']}"}
    port = free()
    try:
        readme.follow(
            README,
            environment,
            {"-p 8000:": f"-p 127.0.0.1:{port}:", "localhost:8000": f"127.0.0.1:{port}"},
            prefix=somebody.prefix,
        )
        assert somebody.ok("ps", "-aq") == ""
    finally:
        left = somebody("ps", "-aq").out.split()
        if left:
            somebody("rm", "-f", *left)
