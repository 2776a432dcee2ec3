"""The example of an application with a database, done as its README says, by root and by an ordinary user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import IO

import pytest

from support import bases, cli, ordinary, programs, readme
from support.cli import Wherry
from support.containers import monitor_of, process_of, processes_of
from support.ports import free, until
from wherry.store.store import Store

pytestmark = pytest.mark.needs("curl", "docker-registry", "skopeo", "mmdebstrap")

README = Path(__file__).parents[2] / "examples" / "guestbook" / "README.md"


@pytest.fixture(scope="module")
def owner() -> Iterator[ordinary.User]:
    """An ordinary user, in whose home root has a store with what the example builds, and he a copy of it."""
    programs.require("root", "newuidmap", "setpriv")
    with ordinary.user() as user:
        of_root, own = (_wherry(user, param) for param in ("root", "user"))
        with Store.open(str(of_root.root)) as store:
            for name in ("debian:bookworm-slim", "python:3.11-slim"):
                bases.seed(store, name)
        of_root.ok("build", "-q", "-t", "db", README.parent / "database")
        of_root.ok("build", "-q", README.parent / "app")
        subprocess.run(["cp", "-a", of_root.root, own.root], check=True)
        ordinary.hand_over(own.root)
        yield user


def _wherry(owner: ordinary.User, whose: str) -> Wherry:
    prefix = owner.prefix if whose == "user" else ()
    return Wherry(owner.home / whose, owner.home / "docker", cli.behind_proxy(), prefix)


@pytest.fixture(params=["root", "user"])
def somebody(request: pytest.FixtureRequest, owner: ordinary.User) -> Wherry:
    return _wherry(owner, request.param)


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
        assert somebody.ok("ps", "-aq") == somebody.ok("volume", "ls", "-q") == ""
        until(lambda: processes_of(somebody) == [])
    finally:
        left = somebody("ps", "-aq").out.split()
        if left:
            somebody("rm", "-f", *left)


DATABASE = ("--network=none", "-v", "kept:/var/lib/postgresql", "-v", "kept-socket:/run/postgresql")
CLIENT = ("run", "--rm", "-i", "--network=none", "-v", "kept-socket:/run/postgresql", "db", "psql", "-qtA")


@pytest.mark.parametrize("victim", ["process", "monitor"])
def test_a_killed_server_has_what_it_has_confirmed(somebody: Wherry, victim: str) -> None:
    """Killed while another container writes; then run by a new container, in the old one's place."""
    serve = ("run", "-d", "--name", "db", *DATABASE, "-e", "POSTGRES_PASSWORD=open", "db")
    try:
        somebody.ok(*serve)
        until(lambda: somebody("exec", "db", "pg_isready", "-q").code == 0)
        count = int(somebody.ok(*CLIENT, "-c", "SELECT count(*) FROM entry"))
        writer = Popen(
            [*somebody.command, *CLIENT], env=somebody.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert writer.stdin
        assert writer.stdout
        insert = b"INSERT INTO entry (words) VALUES ('more') RETURNING id;\n"
        Thread(target=_feed, args=(writer.stdin, insert * 100_000), daemon=True).start()
        confirmed = [int(writer.stdout.readline()) for _ in range(20)]
        os.kill((process_of if victim == "process" else monitor_of)(somebody, "db"), signal.SIGKILL)
        confirmed += map(int, writer.stdout.read().split())
        writer.kill()
        writer.wait()
        writer.stdout.close()

        somebody.ok("rm", "-f", "db")
        somebody.ok(*serve)
        until(lambda: somebody("exec", "db", "pg_isready", "-q").code == 0)
        kept = somebody.ok(*CLIENT, "-c", "SELECT id FROM entry").split()
        assert set(confirmed) <= set(map(int, kept))
        assert count + len(confirmed) <= len(kept) <= count + len(confirmed) + 1
    finally:
        somebody("rm", "-f", "db")
        somebody("volume", "rm", "-f", "kept", "kept-socket")


def _feed(target: IO[bytes], words: bytes) -> None:
    with suppress(BrokenPipeError), target:
        target.write(words)
