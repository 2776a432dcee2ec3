"""The ground that other tests stand on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.request import urlopen

import pytest

from support import bases
from support.cli import Wherry
from wherry.store.store import Store


@pytest.mark.parametrize("name", bases.BASES)
def test_the_registry_serves_every_base(registry: str, name: str) -> None:
    repository, _, tag = name.partition(":")
    with urlopen(f"http://{registry}/v2/{repository}/tags/list") as answer:
        assert json.load(answer)["tags"] == [tag]
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{registry}/{name}"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["Os"] == "linux"
    assert len(found["Layers"]) == 1


def test_a_store_can_be_seeded_without_a_registry(store: Store) -> None:
    image = bases.seed(store, "busybox:latest")
    found = store.images.resolve("busybox")
    assert found is not None
    assert found.id == image.id


def test_the_shared_store_has_every_base(shared: Wherry) -> None:
    listed = shared.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert set(bases.BASES) <= set(listed)


def test_an_empty_store_is_empty(wherry: Wherry) -> None:
    assert wherry.ok("images", "-q") == ""


def test_contexts_are_folders(context: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    folder = context({"Dockerfile": "FROM scratch\n", "app/a.txt": b"\xff", "empty/": ""})
    assert (folder / "app" / "a.txt").read_bytes() == b"\xff"
    assert (folder / "empty").is_dir()
