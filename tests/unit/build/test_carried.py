"""Caches that are written and read in one process; builds with RUN are in tests/e2e/test_carried_cache.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from support import cli
from support.machines import InProcess
from wherry.build.carry.destination import destination
from wherry.build.carry.spec import Place
from wherry.oci.descriptor import Manifest, parse
from wherry.store.store import Store

DOCKERFILE = """\
FROM scratch AS first
COPY tool /src/
FROM scratch
WORKDIR /app
COPY . .
COPY --from=first /src/tool /bin/
"""
FILES = {".dockerignore": "Dockerfile", "Dockerfile": DOCKERFILE, "a": "a", "tool": "echo"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return cli.write_files(tmp_path / "project", FILES)


def _blob(cache: Path, digest: str) -> Path:
    return cache / "blobs/sha256" / digest.removeprefix("sha256:")


def _manifest(cache: Path) -> dict[str, Any]:
    index = json.loads((cache / "index.json").read_text())
    (entry,) = index["manifests"]
    found: dict[str, Any] = json.loads(_blob(cache, entry["digest"]).read_text())
    return found


def test_a_cache_has_what_its_format_says(project: Path) -> None:
    """docs/cache-format.md; whoever changes this changes the version."""
    cache = project.parent / "cache"
    InProcess(project.parent, "laptop").build(to=cache)
    manifest = _manifest(cache)
    assert manifest["config"]["mediaType"] == "application/vnd.wherry.cache.results.v1+json"
    results = json.loads(_blob(cache, manifest["config"]["digest"]).read_text())
    assert results["version"] == 1
    assert set(results) == {"version", "layers", "records", "traces"}
    assert {key for layer in results["layers"] for key in layer} == {"diffID", "blob", "index"}
    assert {key for row in results["records"] for key in row} <= {
        "key",
        "layer",
        "seconds",
        "made",
        "networked",
    }
    assert {"key", "chains", "looked"} <= set(results["traces"][0])
    named = [layer[part]["digest"] for layer in results["layers"] for part in ("blob", "index")]
    assert {layer["digest"] for layer in manifest["layers"]} == set(named)


def test_the_same_image_carries_the_same_cache(project: Path) -> None:
    first, second = (InProcess(project.parent, name) for name in ("first", "second"))
    image = first.build(to="type=inline")
    assert image == second.build(to="type=inline") == first.build(to="type=inline")
    assert image != first.build()


def test_what_one_cache_has_lost_another_one_has(project: Path) -> None:
    laptop, ci = InProcess(project.parent, "laptop"), InProcess(project.parent, "ci")
    broken, whole = project.parent / "broken", project.parent / "whole"
    image = laptop.build(to=broken)
    laptop.build(to=whole)
    for layer in _manifest(broken)["layers"]:
        if "oci.image.layer" in layer["mediaType"]:
            _blob(broken, layer["digest"]).unlink()
    assert ci.build(by=[broken, whole]) == image
    (warning,) = ci.warnings
    assert warning.startswith(f"the cache {broken} is not used: {broken} has no blobs/sha256/")


def test_results_that_hold_exactly_are_taken_without_observing(project: Path) -> None:
    laptop, ci = InProcess(project.parent, "laptop"), InProcess(project.parent, "ci")
    cache = project.parent / "cache"
    image = laptop.build(to=cache, exact=True)
    results = json.loads(_blob(cache, _manifest(cache)["config"]["digest"]).read_text())
    assert (bool(results["records"]), results["traces"]) == (True, [])
    assert ci.build(by=[cache], exact=True) == image
    layers = {path.name for path in (ci.root / "layers").iterdir()}
    assert ci.build(exact=True) == image
    assert layers <= {path.name for path in (ci.root / "layers").iterdir()}


def test_a_damaged_blob_is_written_anew(project: Path) -> None:
    laptop, ci = InProcess(project.parent, "laptop"), InProcess(project.parent, "ci")
    cache = project.parent / "cache"
    image = laptop.build(to=cache)
    for layer in _manifest(cache)["layers"]:
        _blob(cache, layer["digest"]).write_bytes(bytes(layer["size"]))
    laptop.build(to=cache)
    assert ci.build(by=[cache]) == image
    assert not ci.warnings


def test_a_folder_that_two_write_to_stays_whole(project: Path) -> None:
    """Whoever finds a blob there must not lose it to another one who replaces the cache that had it."""
    cache = project.parent / "cache"
    laptop, other = InProcess(project.parent, "laptop"), InProcess(project.parent, "other")
    laptop.build(to=cache)
    index = json.loads((cache / "index.json").read_text())
    before = parse(_blob(cache, index["manifests"][0]["digest"]).read_bytes())
    assert isinstance(before, Manifest)
    cli.write_files(project, {"a": "edited"})
    writing = Thread(target=other.build, kwargs={"to": cache})
    with (
        Store.open(str(laptop.root)) as store,
        destination(store, Place(None, str(cache), "latest"), []) as place,
    ):
        assert all(place.has(blob) for blob in before.layers)
        writing.start()
        writing.join(2)
        place.name(before)
    writing.join()
    manifest = _manifest(cache)
    for blob in (manifest["config"], *manifest["layers"]):
        data = _blob(cache, blob["digest"]).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == blob["digest"]
