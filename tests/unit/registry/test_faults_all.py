"""Faults while all of an index is pulled, or copied from place to place without the store.

As for one image: success or one clear error, and then the target is as it was before.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import families, faulty, remote, storage
from support.families import entry, platform
from support.faulty import FAULTS, QUICK, assert_expected
from support.remote import Made
from wherry.base.errors import WherryError
from wherry.oci import media
from wherry.registry.access import Access
from wherry.registry.pull import retrieve_all
from wherry.store.gc import Scope, collect
from wherry.store.store import Store
from wherry.testing.faults import Kind
from wherry.testing.registry import Cut, Fault, Lost, Registry
from wherry.transfer import places
from wherry.transfer.copy import copy
from wherry.transfer.opening import Opening


class Family(NamedTuple):
    """An index: two images and an attestation of the first."""

    raw: bytes
    images: tuple[Made, Made]
    proof: Made

    @property
    def digest(self) -> str:
        return remote.sha256(self.raw)

    @property
    def steps(self) -> dict[str, str]:
        """What is in the path of some requests."""
        return {
            "a manifest": f"/manifests/{self.images[1].digest}",
            "a layer": f"/blobs/{remote.sha256(self.images[0].layers[1])}",
            "an attestation": f"/blobs/{remote.sha256(self.proof.layers[0])}",
        }


def _family() -> Family:
    amd64 = remote.make({"shared": b"1" * 3000}, {"which": b"amd64" * 500})
    arm64 = remote.make({"shared": b"1" * 3000}, {"which": b"arm64" * 500}, architecture="arm64")
    proof, proof_entry = families.attestation(amd64)
    entries = [entry(amd64.manifest, platform("linux/amd64")), entry(arm64.manifest, platform("linux/arm64"))]
    return Family(families.index([*entries, proof_entry]), (amd64, arm64), proof)


FAMILY = _family()
SOME = [
    *("status 503", "429", "404", "no body", "206 unasked", "a web page that says JSON", "17 MiB of JSON"),
    *("another length", "no length, and more", "other bytes", "cut short", "one more byte", "lost"),
    *("dropped in the middle", "a drip", "a loop"),
]
"""One of each kind: the others are tried with one image."""


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[Registry, Registry]]:
    with Registry() as one, Registry() as other:
        yield one, other


@pytest.fixture
def server(_servers: tuple[Registry, Registry]) -> Registry:
    server = faulty.reset(_servers[0])
    families.publish(server, "app:v1", FAMILY.raw, (*FAMILY.images, FAMILY.proof))
    return server


@pytest.fixture
def other(_servers: tuple[Registry, Registry]) -> Registry:
    return faulty.reset(_servers[1])


def _copy(source: str, target: str) -> str:
    one, goal = places.parse(source), places.parse(target)
    with Opening(retries=QUICK) as opening:
        return copy(opening.source(one), opening.target(goal, one))


def _try(work: Callable[[], str], pattern: str) -> bool:
    """Whether `work` failed; if so with a clear error, and only where `pattern` says that it may."""
    try:
        assert work() == FAMILY.digest
    except WherryError as error:
        assert_expected(error, pattern and ".")
        return True
    assert_expected(None, pattern)
    return False


def _rounds(fault: str) -> Iterator[tuple[Fault, str]]:
    """The fault at each of the steps, always and once; with what may be said of it."""
    row = FAULTS[fault]
    for part in FAMILY.steps.values():
        yield Fault("GET", part, row.what, 1000), f"{row.always}|^$" if row.always else ""
    yield Fault("GET", FAMILY.steps["a layer"], row.what), f"{row.once}|^$" if row.once else ""


@pytest.mark.parametrize("fault", SOME)
def test_all_platforms_into_the_store_with(store: Store, server: Registry, fault: str) -> None:
    before = storage.content(store)
    for trouble, pattern in _rounds(fault):
        server.faults.append(trouble)
        if _try(
            lambda: retrieve_all(store, server.reference("app:v1"), access=Access(retries=QUICK)).digest,
            pattern,
        ):
            storage.assert_nothing_half_written(store, before)
        server.faults.clear()
        for name in store.images.all_names():
            store.images.untag(name.reference)
        collect(store, Scope(everything=True))
        assert storage.content(store) == before
    assert (
        retrieve_all(store, server.reference("app:v1"), access=Access(retries=QUICK)).digest == FAMILY.digest
    )


@pytest.mark.parametrize("fault", SOME)
def test_a_copy_to_a_layout_with(server: Registry, fault: str, tmp_path: Path) -> None:
    remote.publish(server, "old:v1", FAMILY.images[1])
    _copy(f"{server.host}/old:v1", f"oci:{tmp_path}/layout:old")
    for trouble, pattern in _rounds(fault):
        layout = shutil.copytree(tmp_path / "layout", tmp_path / "tried")
        index = (layout / "index.json").read_bytes()
        server.faults.append(trouble)
        if _try(lambda: _copy(f"{server.host}/app:v1", f"oci:{tmp_path}/tried:new"), pattern):
            assert (layout / "index.json").read_bytes() == index
            assert sorted(os.listdir(layout)) == ["blobs", "index.json", "oci-layout"]
        for blob in (layout / "blobs" / "sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
        server.faults.clear()
        assert _copy(f"{server.host}/app:v1", f"oci:{tmp_path}/tried:new") == FAMILY.digest
        shutil.rmtree(layout)


@pytest.mark.parametrize("fault", SOME)
def test_a_copy_between_registries_with(server: Registry, other: Registry, fault: str) -> None:
    for trouble, pattern in _rounds(fault):
        server.faults.append(trouble)
        if _try(lambda: _copy(f"{server.host}/app:v1", f"{other.host}/copy:v1"), pattern):
            assert other.tags("copy") == []
        server.faults.clear()
        assert _copy(f"{server.host}/app:v1", f"{other.host}/copy:v1") == FAMILY.digest
        assert other.manifests["copy", "v1"] == (media.INDEX, FAMILY.raw)
        faulty.reset(other)


@pytest.mark.parametrize(
    "what", [Lost(False), Lost(True), Cut(5), FAULTS["status 503"].what, FAULTS["429"].what]
)
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_target_with(server: Registry, other: Registry, method: str, what: Kind) -> None:
    for times in (2, 1000):
        other.faults.append(Fault(method, "/copy/", what, times))
        try:
            digest = _copy(f"{server.host}/app:v1", f"{other.host}/copy:v1")
            assert digest == FAMILY.digest
        except WherryError as error:
            assert times == 1000, error
            assert_expected(error, "broke|answered (503|429)|limits its requests")
        faulty.reset(other)
    assert _copy(f"{server.host}/app:v1", f"{other.host}/copy:v1") == FAMILY.digest
