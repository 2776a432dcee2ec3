"""Pulls and pushes that are killed: the next one goes on where they were."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from support import remote
from support.cli import Wherry
from support.ports import until
from support.registry import serve
from support.remote import Made
from wherry.base import sizes
from wherry.store.store import Store
from wherry.testing.registry import Drip, Fault, Registry, Stall

SENT = 2_500_000
"""Bytes of an answer that come before the registry falls silent."""


@pytest.fixture(scope="module")
def made() -> Made:
    return remote.make({"large": random.Random(1).randbytes(8_000_000)}, {"small": b"x"})


def _wait_for(root: Path, size: int) -> int:
    """Until the large layer's file has that many bytes: how many it has."""

    def there() -> int:
        found = [0]
        for path in root.glob("blobs/partial/*"):
            with suppress(FileNotFoundError):  # the small one is whole meanwhile
                found.append(path.stat().st_size)
        return max(found)

    until(lambda: there() >= size)
    return there()


def _upkeep(wherry: Wherry) -> tuple[float, float]:
    """The size and what is reclaimable of the row `Upkeep`, in bytes."""
    rows = map(json.loads, wherry.ok("system", "df", "--format", "json").splitlines())
    (row,) = [row for row in rows if row["Type"] == "Upkeep"]
    size, reclaimable = (sizes.parse(row[key].partition(" ")[0]) for key in ("Size", "Reclaimable"))
    assert size is not None
    assert reclaimable is not None
    return size, reclaimable


def test_a_pull_that_is_killed_again_and_again(wherry: Wherry, made: Made) -> None:
    with Registry() as server:
        remote.publish(server, "app:v1", made)
        digest = remote.sha256(made.layers[0])
        server.faults.append(Fault("GET", digest, Stall(SENT, 60), times=3))
        name, there = f"{server.host}/app:v1", [0]
        for _ in range(3):
            with wherry.start("pull", name) as pull:
                _wait_for(wherry.root, there[-1] + (1 << 20))
                pull.kill()
            there.append(_wait_for(wherry.root, there[-1] + (1 << 20)))
            with Store.open(str(wherry.root)) as store:
                assert store.images.all() == []
        assert there[-1] < len(made.layers[0])
        size, reclaimable = _upkeep(wherry)
        assert size >= reclaimable >= there[-1] * 0.99  # shown in three digits
        wherry.ok("pull", name)
        assert _upkeep(wherry)[1] < there[-1] * 0.99
        ranges = [item.headers.get("Range") for item in server.asked("GET", digest)]
        assert ranges == [None, *(f"bytes={start}-" for start in there[1:])]
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


@contextmanager
def _cutting(target: str, after: list[int]) -> Iterator[str]:
    """A proxy before `target`: its first connections that carry so many bytes to it are cut there."""
    host, _, port = target.partition(":")

    def forward(source: socket.socket, sink: socket.socket, limited: bool) -> None:
        carried = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
                carried += len(data)
                if limited and after and carried > after[0]:
                    after.pop(0)
                    break
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection((host, int(port)))
                Thread(target=forward, args=(near, far, True), daemon=True).start()
                Thread(target=forward, args=(far, near, False), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.needs("docker-registry")
def test_uploads_to_dockers_registry_survive_breaks(wherry: Wherry, made: Made, tmp_path: Path) -> None:
    """It forgets an upload that broke, so another one begins: it never gets a blob that is put together
    wrongly."""
    with Registry() as server, serve(str(tmp_path / "content"), str(tmp_path)) as target:
        remote.publish(server, "app:v1", made)
        wherry.ok("pull", f"{server.host}/app:v1")
        with _cutting(target, [1_000_000, 3_000_000]) as proxy:
            wherry.ok("tag", f"{server.host}/app:v1", f"{proxy}/app:v1")
            wherry.ok("push", f"{proxy}/app:v1")
        wherry.ok("system", "prune", "-a", "-f")
        wherry.ok("pull", f"{target}/app:v1")


def test_a_killed_push_sends_no_layer_again(wherry: Wherry, made: Made) -> None:
    with Registry() as server, Registry() as target:
        remote.publish(server, "app:v1", made)
        wherry.ok("pull", f"{server.host}/app:v1")
        name = f"{target.host}/app:v1"
        wherry.ok("tag", f"{server.host}/app:v1", name)
        target.faults.append(Fault("PUT", "/manifests/", Stall(0, 60)))
        with wherry.start("push", name) as push:
            until(lambda: bool(target.asked("PUT", "/manifests/")))
            push.kill()
        target.manifests.clear()
        before = len(target.log)
        wherry.ok("push", name)
        assert sum(item.received for item in target.log[before:] if "/uploads/" in item.path) == 0
        assert target.manifests["app", "v1"][1] == made.manifest
