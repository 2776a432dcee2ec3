"""images, inspect, history, tag, rmi and prune of names that mean several images."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from support.families import entry, index, platform, publish
from support.remote import Made, make
from wherry.container.containers import Containers
from wherry.container.state import Spec
from wherry.oci import platform as platforms
from wherry.oci.digest import Digest
from wherry.registry.pull import retrieve_all
from wherry.store.store import Store
from wherry.testing.registry import Registry

Run = Callable[..., str]
HERE = str(platforms.host())
OTHER = "linux/s390x"


class Pulled:
    """`app:v1` of two platforms, this machine's last, pulled from a registry that is gone."""

    def __init__(self, store: Store) -> None:
        shared = {"shared": b"1" * 100_000}
        self.there = _made(shared, OTHER)
        self.here = _made(shared, HERE)
        raw = index(
            [entry(made.manifest, platform(name)) for made, name in ((self.there, OTHER), (self.here, HERE))]
        )
        with Registry() as registry:
            self.digest = publish(registry, "app:v1", raw, [self.there, self.here])
            self.repository = f"{registry.host}/app"
            self.name = f"{self.repository}:v1"
            retrieve_all(store, registry.reference("app:v1"))


def _made(shared: dict[str, bytes], name: str) -> Made:
    return make(shared, {"own": name.encode()}, architecture=name.split("/")[1], labels={"for": name})


@pytest.fixture
def pulled(store: Store) -> Pulled:
    return Pulled(store)


def short(made: Made) -> str:
    return made.id[7:19]


def contain(store: Store, image: str, name: str) -> None:
    Containers(store.root).create(Spec("c" * 64, name, Digest(image), "app", time.time(), ("sleep", "1")))


def test_images_has_one_row_for_a_name(pulled: Pulled, run: Run) -> None:
    assert [line.split()[:3] for line in run("images").splitlines()[1:]] == [
        [pulled.repository, "v1", short(pulled.here)]
    ]
    assert pulled.digest in run("images", "--digests")
    assert run("images", "-q", "--filter", "dangling=true") == ""


def test_images_of_a_digest_have_one_row_too(store: Store, pulled: Pulled, run: Run) -> None:
    store.images.untag(store.images.all_names()[0].reference)
    assert [line.split()[:3] for line in run("images").splitlines()[1:]] == [
        [pulled.repository, "<none>", short(pulled.here)]
    ]


def test_the_tree_shows_every_platform(store: Store, pulled: Pulled, run: Run) -> None:
    contain(store, pulled.there.id, "web")
    store.images.tag(store.images.all_names()[0].reference._replace(tag="one"), Digest(pulled.here.id))
    header, *rows = run("images", "--tree").splitlines()
    assert header.split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "IN", "USE"]
    assert [row.split()[:-2] for row in rows[:2]] == [
        [pulled.repository + ":one", short(pulled.here)],
        [pulled.repository + ":v1", short(pulled.here), *rows[1].split()[2:-2]],
    ]
    assert [row.split()[:3] for row in rows[2:]] == [
        ["├─", OTHER, short(pulled.there)],
        ["└─", HERE, short(pulled.here)],
    ]
    assert [row.endswith("✔") for row in rows] == [False, True, True, False]
    assert "--tree has a form of its own" in run("images", "--tree", "-q", code=125)


def test_inspect_and_history_of_a_platform(pulled: Pulled, run: Run) -> None:
    assert json.loads(run("inspect", pulled.name))[0]["Id"] == pulled.here.id
    (found,) = json.loads(run("inspect", "--platform", OTHER, pulled.name))
    assert (found["Id"], found["Architecture"], found["RepoTags"]) == (
        pulled.there.id,
        "s390x",
        [pulled.name],
    )
    assert found["RepoDigests"] == [f"{pulled.repository}@{pulled.digest}"]
    assert found["Metadata"]["LastTagTime"] > "2020"
    assert run("history", "-q", "--no-trunc", "--platform", OTHER, pulled.name).splitlines()[0] == (
        pulled.there.id
    )
    text = run("inspect", "--platform", "linux/riscv64", pulled.name, code=1)
    assert f"{pulled.name} has no image for linux/riscv64" in text
    assert f"it is here for: {OTHER}, {HERE}" in text
    assert "a container has one platform" in run(
        "container", "inspect", "--platform", OTHER, pulled.name, code=125
    )


def test_tag_takes_all_images_along(store: Store, pulled: Pulled, run: Run) -> None:
    assert run("tag", pulled.name, "copy:v1") == ""
    assert run("rmi", pulled.name) == f"Untagged: {pulled.name}\n"
    assert store.images.find("copy:v1", platforms.parse(OTHER)).id == pulled.there.id
    run("tag", pulled.there.id[7:19], "other")
    assert store.images.index_of("other") is None
    assert store.images.find("other").id == pulled.there.id


def test_rmi_of_the_name_takes_all_images(store: Store, pulled: Pulled, run: Run) -> None:
    assert run("rmi", pulled.name).splitlines()[:4] == [
        f"Untagged: {pulled.name}",
        f"Untagged: {pulled.repository}@{pulled.digest}",
        f"Deleted: {pulled.here.id}",
        f"Deleted: {pulled.there.id}",
    ]
    assert store.images.all() == [] and store.indexes.all() == [] and list(store.blobs.all()) == []


def test_rmi_leaves_what_another_name_has(store: Store, pulled: Pulled, run: Run) -> None:
    run("tag", pulled.here.id, "here")
    text = run("rmi", pulled.name)
    assert f"Deleted: {pulled.there.id}\n" in text and pulled.here.id not in text
    assert f"{pulled.repository}@" not in text, "the digest is that of the image that stays"
    assert [image.id for image in store.images.all()] == [pulled.here.id]


def test_rmi_by_digest_takes_all_that_have_no_name(store: Store, pulled: Pulled, run: Run) -> None:
    store.images.untag(store.images.all_names()[0].reference)
    run("tag", pulled.there.id, "there")
    text = run("rmi", f"{pulled.repository}@{pulled.digest}")
    assert text.splitlines()[:2] == [
        f"Untagged: {pulled.repository}@{pulled.digest}",
        f"Deleted: {pulled.here.id}",
    ]
    assert [image.id for image in store.images.all()] == [pulled.there.id]


def test_rmi_by_id_of_one_of_several(store: Store, pulled: Pulled, run: Run) -> None:
    text = run("rmi", short(pulled.there), code=1)
    assert f"is one of several that have the name {pulled.name}" in text
    run("tag", pulled.name, "copy:v1")
    assert "has several names" in run("rmi", short(pulled.there), code=1)
    assert run("rmi", "-f", short(pulled.there)).count("Deleted: sha256:") >= 2
    assert store.images.all_names() == [] and store.images.all() == []


def test_rmi_of_a_name_of_which_a_container_uses_one(store: Store, pulled: Pulled, run: Run) -> None:
    contain(store, pulled.there.id, "web")
    text = run("rmi", pulled.name, code=1)
    assert f"the stopped container web uses its image {short(pulled.there)}" in text
    assert run("rmi", "-f", pulled.name) == f"Untagged: {pulled.name}\n"
    run("prune", "-f")
    assert [image.id for image in store.images.all()] == [pulled.there.id]


def test_prune_leaves_all_images_of_a_name(store: Store, pulled: Pulled, run: Run) -> None:
    run("prune", "-f")
    assert len(store.images.all()) == 2
    contain(store, pulled.there.id, "web")
    run("prune", "-a", "-f")
    assert len(store.images.all()) == 2, "they go together or not at all"


def test_df_counts_every_image_and_what_belongs_to_the_index(store: Store, pulled: Pulled, run: Run) -> None:
    (images,) = (
        json.loads(line) for line in run("system", "df", "--format", "json").splitlines() if "Images" in line
    )
    assert images["TotalCount"] == "2"
    (cache,) = (
        json.loads(line) for line in run("system", "df", "--format", "json").splitlines() if "Cache" in line
    )
    assert cache["Size"] == "0B", "manifests and the index are the images'"
    rows = run("system", "df", "-v").splitlines()
    assert sum(pulled.repository in row for row in rows) == 2


def test_an_id_is_no_index(pulled: Pulled, run: Run) -> None:
    assert json.loads(run("inspect", "--platform", OTHER, short(pulled.there)))[0]["Id"] == pulled.there.id
    text = run("inspect", "--platform", HERE, short(pulled.there), code=1)
    assert f"has no image for {HERE}" in text
