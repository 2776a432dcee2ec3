"""Every fault at every step of a pull: once, and each time.

A pull ends with the whole image or with one clear error; then nothing half-written is in the store, nothing
that was there is other than before, and a pull without the fault succeeds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support import remote, storage
from support.faulty import FAULTS, QUICK, assert_expected
from support.remote import Made
from wherry.base.errors import WherryError
from wherry.layer.forms import current_form
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.registry.access import Access
from wherry.registry.pull import pull
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Fault, Registry

AMD64 = platforms.parse("linux/amd64")


@cache
def _made() -> Made:
    return remote.make({"big": random.Random(1).randbytes(1_200_000)}, {"b": b"2" * 3000}, {"c": b"3"})


def _publish(registry: Registry) -> dict[str, str]:
    """An index with one image, whose first layer the store has already; what is in the path of each step."""
    made = _made()
    remote.publish(registry, "team/app:only", made)
    entry = remote.described(made.manifest, media.MANIFEST)
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [entry]}).encode()
    registry.add_manifest("team/app", "v1", index, media.INDEX)
    return {
        "index": "/manifests/v1",
        "manifest": f"/manifests/{made.digest}",
        "config": f"/blobs/{made.id}",
        "layer": f"/blobs/{remote.sha256(made.layers[0])}",
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has something: another image, which the faults must not touch."""
    folder = tmp_path_factory.mktemp("template") / "store"
    with Registry() as registry, Store.open(str(folder)) as store:
        remote.publish(registry, "team/app:v1", remote.make({"c": b"3"}, {"mine": b"x"}))
        image = pull(store, registry.reference("team/app:v1"), AMD64)
        Layers(store).index(image.config.diff_ids[0])
    return folder


@pytest.fixture
def seeded(template: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(template, tmp_path / "store")
    with Store.open(str(tmp_path / "store")) as store:
        yield store


def _pull(store: Store, server: Registry, *, unpack: bool = False) -> Image:
    return pull(store, server.reference("team/app:v1"), AMD64, unpack=unpack, access=Access(retries=QUICK))


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
@pytest.mark.parametrize("step", ["index", "manifest", "config", "layer"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_with(seeded: Store, server: Registry, fault: str, step: str, times: int) -> None:
    parts, row = _publish(server), FAULTS[fault]
    before = storage.content(seeded)
    server.faults.append(Fault("GET", parts[step], row.what, times))
    failed = None
    try:
        _assert_whole(seeded, _pull(seeded, server))
    except WherryError as error:
        failed = error
        assert len(server.log) < 40
        storage.assert_nothing_half_written(seeded, before)
    assert_expected(failed, row.once if times == 1 else row.always)
    server.faults.clear()
    _assert_whole(seeded, _pull(seeded, server))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_that_unpacks_with(seeded: Store, server: Registry, fault: str) -> None:
    """Trees are made of bytes that nobody has verified yet: in their places are only those that were."""
    part = _publish(server)["layer"]
    before = storage.content(seeded)
    for times in (1000, 1):
        server.faults.append(Fault("GET", part, FAULTS[fault].what, times))
        try:
            _assert_whole(seeded, _pull(seeded, server, unpack=True))
        except WherryError as error:
            assert_expected(error, ".")
            storage.assert_nothing_half_written(seeded, before)
        server.faults.clear()
    image = _pull(seeded, server, unpack=True)
    _assert_whole(seeded, image)
    storage.assert_trees_are_whole(seeded)
    assert Path(seeded.layers.folder(image.config.diff_ids[0]), current_form().folder).is_dir()


def _assert_whole(store: Store, image: Image) -> None:
    assert image.id == _made().id
    for diff_id, tar in zip(image.config.diff_ids, _made().tars, strict=True):
        with Layers(store).open_tar(diff_id) as stream:
            assert stream.read() == tar
    assert os.listdir(store.path("tmp")) == []
