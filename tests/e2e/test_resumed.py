"""Pulls and pushes that are killed: the next one goes on where they were."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support import remote
from support.cli import Wherry
from support.remote import Made
from wherry.store.store import Store
from wherry.testing.registry import Drip, Fault, Registry, Stall

SENT = 3_000_000
"""Bytes of the large layer that come before the registry falls silent."""


@pytest.fixture(scope="module")
def made() -> Made:
    return remote.make({"large": random.Random(1).randbytes(5_000_000)}, {"small": b"x"})


def _wait_for(root: Path, size: int) -> int:
    """Until the large layer's file has that many bytes: how many it has."""
    for _ in range(500):
        sizes = [path.stat().st_size for path in root.glob("blobs/partial/*")]
        if max(sizes, default=0) >= size:
            return max(sizes)
        time.sleep(0.02)
    raise AssertionError("nothing came")


def test_a_killed_pull_is_taken_up(wherry: Wherry, made: Made) -> None:
    with Registry() as server:
        remote.publish(server, "app:v1", made)
        digest = remote.sha256(made.layers[0])
        server.faults.append(Fault("GET", digest, Stall(SENT, 60)))
        name = f"{server.host}/app:v1"
        with wherry.start("pull", name) as pull:
            _wait_for(wherry.root, 1 << 20)
            pull.kill()
        there = _wait_for(wherry.root, 1 << 20)
        assert there < len(made.layers[0])
        with Store.open(str(wherry.root)) as store:
            assert store.images.all() == []
        assert "Upkeep" in wherry.ok("system", "df")
        wherry.ok("pull", name)
        ranges = [item.headers.get("Range") for item in server.asked("GET", digest)]
        assert ranges == [None, f"bytes={there}-"]
        assert list(wherry.root.glob("blobs/partial/*")) == []
        with Store.open(str(wherry.root)) as store:
            assert store.images.find(name).id == made.id


def test_two_pulls_at_once_fetch_a_layer_once(wherry: Wherry, made: Made) -> None:
    with Registry() as server:
        remote.publish(server, "app:v1", made)
        digest = remote.sha256(made.layers[0])
        server.faults.append(Fault("GET", digest, Drip(1 << 20, 0.2)))
        with wherry.start("pull", f"{server.host}/app:v1") as first:
            _wait_for(wherry.root, 1)
            wherry.ok("pull", f"{server.host}/app:v1")
            assert first.wait() == 0
        assert len(server.asked("GET", digest)) == 1
