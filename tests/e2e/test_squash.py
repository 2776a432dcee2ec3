"""`wherry squash`: the same files in fewer layers, the same config."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support import busybox, ordinary, trees
from support.cli import Wherry, write_files
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.platform import Platform
from wherry.store.store import Store

Context = Callable[[Mapping[str, str | bytes]], Path]

BASE = "FROM scratch\nCOPY <<E /etc/name\nbase\nE\nCOPY <<E /etc/other\nother\nE\n"
APP = """\
FROM base
ENV MODE=prod
COPY <<E /etc/name
app
E
COPY <<E /app/run
run
E
LABEL a=b
CMD ["/app/run"]
"""


def inspected(wherry: Wherry, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wherry.ok("inspect", image))[0]
    return found


@pytest.fixture
def app(wherry: Wherry, context: Context) -> str:
    wherry.ok("build", "-q", "-t", "base", context({"Dockerfile": BASE}))
    return wherry.ok("build", "-q", "-t", "app", context({"Dockerfile": APP})).strip()


def test_all_layers_become_one(wherry: Wherry, app: str) -> None:
    small = wherry.ok("squash", "app", "-t", "small", "-t", "app:small").strip()
    before, after = inspected(wherry, "app"), inspected(wherry, small)
    assert (before["Id"], after["Id"]) == (app, small)
    assert set(after["RepoTags"]) == {"small:latest", "app:small"}
    assert len(after["RootFS"]["Layers"]) == 1
    assert after["Config"] == before["Config"]
    assert after["Created"] == before["Created"]
    with Store.open(str(wherry.root)) as store:
        assert trees.tree(store, small) == trees.tree(store, app)
        history = store.images.find(small).config.history
        texts = [item.created_by for item in store.images.find(app).config.history]
    assert [item.created_by for item in history] == [*texts, "wherry squash"]
    assert [item.empty_layer for item in history] == [True] * len(texts) + [False]
    assert history[-1].comment == "4 layers merged into one"
    assert wherry.ok("squash", "app").strip() == small


@pytest.mark.parametrize("base", ["base", "layer"])
def test_layers_of_the_base_stay(wherry: Wherry, app: str, base: str) -> None:
    layers = inspected(wherry, "app")["RootFS"]["Layers"]
    word = base if base == "base" else layers[1].removeprefix("sha256:")[:12]
    small = wherry.ok("squash", "--from", word, "app").strip()
    found = inspected(wherry, small)["RootFS"]["Layers"]
    assert found[:2] == layers[:2]
    assert len(found) == 3
    with Store.open(str(wherry.root)) as store:
        assert trees.tree(store, small) == trees.tree(store, app)
        history = store.images.find(small).config.history
    assert [item.empty_layer for item in history] == [False, False, *[True] * (len(history) - 3), False]


def test_one_layer_is_left_as_it_is(wherry: Wherry, app: str) -> None:
    small = wherry.ok("squash", "app").strip()
    assert wherry.ok("squash", small, "-t", "again").strip() == small
    layers = inspected(wherry, "app")["RootFS"]["Layers"]
    assert wherry.ok("squash", "--from", layers[2], "app").strip() == app


def test_a_history_that_says_too_little_stays_right(wherry: Wherry, app: str) -> None:
    """It is optional (OCI image-spec, config.md), but must not speak of more layers than there are."""
    with Store.open(str(wherry.root)) as store:
        config = ImageConfig(Platform("linux", "amd64"), diff_ids=store.images.find(app).config.diff_ids)
        store.images.tag(references.parse("bare"), store.images.put(config.encode()))
    small = wherry.ok("squash", "--from", "base", "bare").strip()
    with Store.open(str(wherry.root)) as store:
        found = store.images.find(small).config
    assert sum(not item.empty_layer for item in found.history) == len(found.diff_ids) == 3


def test_what_is_no_base_is_told(wherry: Wherry, app: str, context: Context) -> None:
    wherry.ok("build", "-q", "-t", "else", context({"Dockerfile": "FROM scratch\nCOPY <<E /x\nE\n"}))
    result = wherry("squash", "--from", "else", "app")
    assert result.code == 125
    assert "not the lowest ones" in result.err
    result = wherry("squash", "--from", "nothing", "app")
    assert result.code == 1
    assert "neither an image nor a layer" in result.err
    assert wherry("squash", "nothing").code == 1


def test_a_build_can_squash_what_it_makes(wherry: Wherry, app: str, tmp_path: Path) -> None:
    """As docker's and podman's does: the layers of the base stay."""
    context = tmp_path / "context"
    small = wherry.ok("build", "-q", "--squash", "-t", "small", context).strip()
    assert small == wherry.ok("squash", "--from", "base", "app").strip() != app
    assert wherry.ok("build", "-q", "-t", "app", context).strip() == app
    assert wherry.ok("build", "-q", "--squash", context).strip() == small


def test_a_squashed_image_can_be_moved(wherry: Wherry, app: str, context: Context) -> None:
    small = wherry.ok("build", "-q", "--squash", "-t", "small", context({"Dockerfile": APP})).strip()
    wherry.ok("build", "-q", "-t", "next", context({"Dockerfile": BASE + "COPY <<E /new\nE\n"}))
    moved = wherry.ok("rebase", "-q", "small", "--onto", "next").strip()
    wherry.ok("tag", "next", "base")
    assert wherry.ok("build", "-q", "--squash", context({"Dockerfile": APP})).strip() == moved != small


def test_a_cache_within_the_image_needs_its_layers(wherry: Wherry, app: str, context: Context) -> None:
    result = wherry("build", "--squash", "--cache-to", "type=inline", context({"Dockerfile": APP}))
    assert result.code == 125
    assert "type=inline" in result.err


@pytest.mark.needs("root")
def test_what_a_run_removed_is_gone(shared: Wherry, context: Context) -> None:
    lines = (
        "FROM debian:bookworm-slim\n"
        "RUN rm -r /usr/share/doc && mkdir /usr/share/doc && echo new > /usr/share/doc/new && rm /etc/motd\n"
        "RUN ln /usr/share/doc/new /usr/share/doc/same && chown 1:2 /srv && mv /opt /opt2\n"
    )
    image = shared.ok("build", "-q", context({"Dockerfile": lines})).strip()
    for words in ([], ["--from", "debian:bookworm-slim"]):
        small = shared.ok("squash", *words, image).strip()
        with Store.open(str(shared.root)) as store:
            assert trees.tree(store, small) == trees.tree(store, image)
        listed = shared.ok(
            "run",
            "--rm",
            "--network=none",
            small,
            "sh",
            "-c",
            "ls /usr/share/doc; stat -c %h /usr/share/doc/same",
        )
        assert listed == "new\nsame\n2\n"


@pytest.mark.needs("root", "newuidmap", "busybox")
@pytest.mark.parametrize("subordinate", [True, False], ids=["userns", "single-id"])
def test_a_user_without_rights_gets_the_same(wherry: Wherry, tmp_path: Path, subordinate: bool) -> None:
    """Owners stand in the layers' indexes, whoever may read the files."""
    lines = (
        "FROM busybox\nRUN mkdir -m 700 /p && echo x > /p/x; chown -R 7:8 /p\nRUN echo >> /p/x; rm /bin/vi\n"
    )
    busybox.put(wherry.root, "busybox")
    context = write_files(tmp_path / "context", {"Dockerfile": lines})
    wherry.ok("build", "-q", "-t", "app", context)
    expected = wherry.ok("squash", "app")
    with ordinary.user(subordinate=subordinate) as someone:
        other = Wherry(someone.home / "wherry", someone.home / "docker", prefix=someone.prefix)
        busybox.put(other.root, "busybox")
        ordinary.hand_over(other.root)
        context = write_files(someone.home / "context", {"Dockerfile": lines})
        other.ok("build", "-q", "-t", "app", context)
        assert other.ok("squash", "app") == expected
