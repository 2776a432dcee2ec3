"""The words for places of images: what users of docker, skopeo, crane and regctl write."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.transfer import places
from wherry.transfer.places import DOCKER_ARCHIVE, LAYOUT, OCI_ARCHIVE, REGISTRY, STORE, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("docker://alpine:3.20", "docker.io/library/alpine:3.20"),
        ("docker:dind", "docker.io/library/docker:dind"),
        ("registry:2", "docker.io/library/registry:2"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        (f"docker://quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
    ],
)
def test_names_in_registries(text: str, name: str) -> None:
    place = parse(text)
    assert (place.kind, str(place.reference)) == (REGISTRY, name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:layout:v1", (LAYOUT, "layout", "v1", None)),
        ("oci:some/layout", (LAYOUT, "some/layout", "", None)),
        ("oci-layout://layout:v1", (LAYOUT, "layout", "v1", None)),
        ("oci-layout:///tmp/layout:v1", (LAYOUT, "/tmp/layout", "v1", None)),
        ("ocidir://layout:v1", (LAYOUT, "layout", "v1", None)),
        ("oci:layout:localhost:5000/app:v1", (LAYOUT, "layout", "localhost:5000/app:v1", None)),
        (f"oci:layout@{DIGEST}", (LAYOUT, "layout", "", DIGEST)),
        (f"oci:layout:v1@{DIGEST}", (LAYOUT, "layout", "v1", DIGEST)),
        ("oci:me@home:v1", (LAYOUT, "me@home", "v1", None)),
        ("oci-archive:x.tar", (OCI_ARCHIVE, "x.tar", "", None)),
        ("oci-archive:-:v1", (OCI_ARCHIVE, "-", "v1", None)),
        ("docker-archive:x.tar:app:v1", (DOCKER_ARCHIVE, "x.tar", "app:v1", None)),
        ("store:localhost:5000/app:v1", (STORE, "", "localhost:5000/app:v1", None)),
    ],
)
def test_files_and_the_store(text: str, expected: tuple[str, ...]) -> None:
    place = parse(text)
    assert (place.kind, place.path, place.name, place.digest) == expected
    assert place.text == text


def test_the_path_is_the_longest_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a:b", "a:b:c"):
        (tmp_path / name).mkdir()
    assert parse("oci:a:b:c")[3:5] == ("a:b:c", "")
    assert parse("oci:a:b:d")[3:5] == ("a:b", "d")
    assert parse("oci:a:x:d")[3:5] == ("a", "x:d")


@pytest.mark.parametrize("word", ["containers-storage", "docker-daemon", "dir", "ostree", "sif", "tarball"])
def test_places_of_other_tools_are_refused_by_name(word: str) -> None:
    with pytest.raises(
        Unsupported, match=f"^{word}: is a place that wherry does not copy from or to$"
    ) as caught:
        parse(f"{word}:alpine")
    assert "oci:FOLDER:TAG" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["./layout", "/tmp/x.tar", "oci:", "oci::v1", "store:", "https://quay.io/a", "oci:-:v1", "oci:a:b c"],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_what_lies_in_the_folder_changes_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    assert parse("app").kind == REGISTRY


def test_names_in_the_store() -> None:
    assert str(places.store_name(parse("store:app"))) == "docker.io/library/app:latest"
    for text in (f"store:app@{DIGEST}", "store:App", f"store:{'a' * 64}"):
        with pytest.raises(WherryError, match="store:"):
            places.store_name(parse(text))
