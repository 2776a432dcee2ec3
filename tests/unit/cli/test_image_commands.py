"""images, history, inspect, tag, rmi, prune, system df, info and version on a real store."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable

import pytest

from wherry.cli.images import matches
from wherry.container.containers import Containers
from wherry.container.state import Spec
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import Execution, History, ImageConfig
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.store.records import Result
from wherry.store.store import Store

Run = Callable[..., str]

BASE = digests.of(b"base layer")
TOP = digests.of(b"top layer")
MANIFEST = digests.of(b"manifest")


def add(
    store: Store, *names: str, created: str = "2024-05-01T10:00:00Z", label: str = "", top: bool = True
) -> Digest:
    config = ImageConfig(
        platform=Platform("linux", "amd64"),
        execution=Execution(
            env=("PATH=/bin",), cmd=("python", "app.py"), labels=((label, "yes"),) if label else ()
        ),
        diff_ids=(BASE, TOP) if top else (BASE,),
        history=(
            History(created, "ADD rootfs.tar /"),
            History(created, "ENV PATH=/bin", empty_layer=True),
            *(
                [History(created, "COPY a very long list of words to a folder that is not short /app")]
                if top
                else []
            ),
        ),
        created=created,
    )
    image_id = store.images.put(config.encode())
    store.layers.add(BASE, 74_800_000)
    if top:
        store.layers.add(TOP, 1200)
    for name in names:
        store.images.tag(references.parse(name), image_id)
    return image_id


def contain(store: Store, image: Digest, name: str) -> None:
    Containers(store.root).create(Spec("c" * 64, name, image, "app", time.time(), ("sleep", "1")))


def test_images_shows_a_row_for_each_name_the_newest_first(store: Store, run: Run) -> None:
    image = add(store, "app:v1", "localhost:5000/team/app:v2")
    older = add(store, created="2020-01-01T00:00:00Z", top=False)
    lines = run("images").splitlines()
    assert lines[0].split("  ")[0] == "REPOSITORY"
    assert [line.split()[:3] for line in lines] == [
        ["REPOSITORY", "TAG", "IMAGE"],
        ["app", "v1", digests.short(image)],
        ["localhost:5000/team/app", "v2", digests.short(image)],
        ["<none>", "<none>", digests.short(older)],
    ]
    assert lines[1].endswith(" years ago   74.8MB") or lines[1].endswith(" months ago   74.8MB")


def test_images_for_scripts(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    assert run("images", "-q") == f"{digests.short(image)}\n"
    assert run("images", "-q", "--no-trunc") == f"{image}\n"
    assert run("image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.CreatedAt}}") == (
        "app:v1 2024-05-01 10:00:00 +0000 UTC\n"
    )
    assert json.loads(run("images", "--format", "json"))["Repository"] == "app"


def test_images_with_digests(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    store.images.add_repo_digest("docker.io/library/app", MANIFEST, image)
    store.images.add_repo_digest("localhost:5000/app", MANIFEST, image)
    template = "{{.Repository}} {{.Tag}} {{.Digest}}"
    assert run("images", "--format", template).splitlines() == [
        f"app v1 {MANIFEST}",
        f"localhost:5000/app <none> {MANIFEST}",
    ]
    assert run("images", "--digests").splitlines()[0].split()[2] == "DIGEST"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["app"], ["app:v1", "app:v2"]),
        (["app:v2"], ["app:v2"]),
        (["a*:v?"], ["app:v1", "app:v2"]),
        (["nothing"], []),
        (["--filter", "reference=team/*"], ["team/tool:latest"]),
        (["--filter", "label=tool"], ["team/tool:latest"]),
        (["--filter", "label=tool=no"], []),
        (["--filter", "dangling=true"], ["<none>:<none>"]),
        (["-f", "dangling=false", "-f", "label=tool=yes"], ["team/tool:latest"]),
        (["--filter", "before=app:v1"], ["<none>:<none>"]),
        (["--filter", "since=app:v1"], ["team/tool:latest"]),
    ],
)
def test_images_can_be_chosen(store: Store, run: Run, words: list[str], expected: list[str]) -> None:
    add(store, "app:v1", "app:v2")
    add(store, "team/tool", label="tool", created="2025-01-01T00:00:00Z")
    add(store, created="2020-01-01T00:00:00Z")
    assert run("images", "--format", "{{.Repository}}:{{.Tag}}", *words).splitlines() == expected


@pytest.mark.parametrize("word", ["colour=red", "dangling=perhaps", "dangling", "before=nothing"])
def test_images_refuses_a_filter_that_it_does_not_know(store: Store, run: Run, word: str) -> None:
    add(store, "app")
    assert run("images", "--filter", word, code=1).startswith("error: ")


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("flask", "flask", True),
        ("flask:v1", "flask", True),
        ("flask:v1", "flask:v1", True),
        ("flask:v1", "flask:v2", False),
        ("flask:v1", "fl[^x]sk:*", True),
        ("team/flask", "flask", False),
        ("team/flask", "*", False),
        ("team/flask", "*/*", True),
        ("localhost:5000/app:v1", "localhost:5000/app", True),
        ("flask", "docker.io/library/flask", True),
    ],
)
def test_patterns_of_names(name: str, pattern: str, expected: bool) -> None:
    assert matches(references.parse(name).with_default_tag(), pattern) is expected


def test_history_shows_the_last_instruction_first(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    lines = run("history", "app:v1").splitlines()
    assert lines[0].split("   ")[0] == "IMAGE"
    assert [line.split()[0] for line in lines[1:]] == [digests.short(image), "<missing>", "<missing>"]
    assert "COPY a very long list of words to a folder t…" in lines[1]
    assert run("history", "--format", "{{.Size}} {{.CreatedBy}}", "--no-trunc", "app:v1").splitlines() == [
        "1.2kB COPY a very long list of words to a folder that is not short /app",
        "0B ENV PATH=/bin",
        "74.8MB ADD rootfs.tar /",
    ]


def test_history_in_bytes_and_points_in_time(store: Store, run: Run) -> None:
    add(store, "app:v1")
    lines = run("history", "-H=false", "app:v1").splitlines()
    assert "CREATED AT" in lines[0]
    assert lines[-1].split()[1:2] == ["2024-05-01T10:00:00Z"]
    assert " 74800000 " in lines[-1]


def test_history_of_layers_that_it_does_not_tell_of(store: Store, run: Run) -> None:
    config = ImageConfig(Platform("linux", "amd64"), diff_ids=(BASE, TOP), history=(History(created_by="x"),))
    store.images.tag(references.parse("short"), store.images.put(config.encode()))
    store.layers.add_blob(TOP, Descriptor("t", MANIFEST, 900))
    assert (
        run("history", "--format", "{{.CreatedBy}}|{{.Size}}|{{.CreatedSince}}", "short")
        == "|900B|N/A\nx|0B|N/A\n"
    )
    assert len(run("history", "-q", "short").splitlines()) == 2


def test_inspect_has_docker_s_shape(store: Store, run: Run) -> None:
    image = add(store, "app:v1", label="a")
    (document,) = json.loads(run("inspect", "app:v1"))
    assert document["Id"] == image
    assert document["RepoTags"] == ["app:v1"]
    assert document["Created"] == "2024-05-01T10:00:00Z"
    assert document["Config"]["Cmd"] == ["python", "app.py"]
    assert document["Config"]["Entrypoint"] is None
    assert document["Config"]["Labels"] == {"a": "yes"}
    assert document["RootFS"] == {"Type": "layers", "Layers": [BASE, TOP]}
    assert (document["Os"], document["Architecture"], document["Size"]) == ("linux", "amd64", 74_801_200)


def test_inspect_by_template(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    add(store, "other", top=False)
    assert run("inspect", "-f", "{{.Config.Env}} {{index .Config.Cmd 0}}", "app:v1", "other") == (
        "[PATH=/bin] python\n[PATH=/bin] python\n"
    )
    assert run("image", "inspect", "--format", "{{json .RepoTags}}", digests.short(image)) == '["app:v1"]\n'
    assert "there is no field Nope" in run("inspect", "-f", "{{.Nope}}", "app:v1", code=1)


def test_inspect_of_a_container(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    contain(store, image, "web")
    (document,) = json.loads(run("inspect", "web"))
    assert document["Name"] == "/web"
    assert document["State"]["Status"] == "created"
    assert (document["Path"], document["Args"], document["Image"]) == ("sleep", ["1"], image)
    assert run("container", "inspect", "-f", "{{.State.Running}}", "cccc") == "false\n"
    assert "no such container: app:v1" in run("inspect", "--type", "container", "app:v1", code=1)
    assert "no such image: web" in run("inspect", "--type=image", "web", code=1)
    assert "is not a type" in run("inspect", "--type=secret", "web", code=1)


def test_inspect_shows_what_there_is_and_tells_what_there_is_not(store: Store, run: Run) -> None:
    add(store, "app:v1")
    text = run("inspect", "-f", "{{.RepoTags}}", "nothing", "app:v1", code=1)
    assert text.startswith("[app:v1]\n")
    assert "no such image, container, network or volume: nothing" in text


def test_tag(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    assert run("tag", "app:v1", "localhost:5000/app") == ""
    assert store.images.id_of(references.parse("localhost:5000/app:latest")) == image
    assert "a digest cannot be chosen" in run("tag", "app:v1", f"app@{MANIFEST}", code=1)
    assert "lower case" in run("tag", "app:v1", "App", code=1)


def test_rmi_takes_a_name_and_deletes_with_the_last_one(store: Store, run: Run) -> None:
    image = add(store, "app:v1", "app:v2")
    assert run("rmi", "app:v1") == "Untagged: app:v1\n"
    assert store.images.has(image)
    text = run("rmi", "app:v2")
    assert text.startswith(f"Untagged: app:v2\nDeleted: {image}\n")
    assert {f"Deleted: {BASE}", f"Deleted: {TOP}"} <= set(text.splitlines())
    assert not store.images.has(image)
    assert store.layers.all() == []


def test_rmi_keeps_layers_that_another_image_has(store: Store, run: Run) -> None:
    add(store, "app")
    add(store, "base", top=False)
    assert f"Deleted: {BASE}" not in run("rmi", "app")
    assert store.layers.all() == [BASE]


def test_rmi_by_id_with_several_names_needs_force(store: Store, run: Run) -> None:
    image = add(store, "app:v1", "other")
    text = run("rmi", digests.short(image), code=1)
    assert "conflict" in text
    assert "app:v1, other:latest" in text
    assert run("rmi", "-f", digests.short(image)).startswith(
        f"Untagged: app:v1\nUntagged: other:latest\nDeleted: {image}\n"
    )


def test_rmi_of_an_image_that_a_container_stands_on(store: Store, run: Run) -> None:
    image = add(store, "app:v1")
    contain(store, image, "web")
    assert "the stopped container web uses its image" in run("rmi", "app:v1", code=1)
    assert "wherry rm web" in run("rmi", digests.short(image), code=1)
    assert store.images.names(image)
    assert run("rmi", "-f", "app:v1") == "Untagged: app:v1\n"
    assert store.images.has(image)
    assert "conflict" in run("rmi", "-f", digests.short(image), code=1)


def test_rmi_goes_on_after_an_error(store: Store, run: Run) -> None:
    image = add(store, "app")
    assert "no such image: nothing" in run("rmi", "nothing", "app", code=1)
    assert not store.images.has(image)
    assert "no such image" in run("rmi", "-f", "nothing", code=0)


def test_prune_takes_what_has_no_name(store: Store, run: Run) -> None:
    kept = add(store, "app")
    gone = add(store, top=False)
    text = run("prune", "-f")
    assert f"deleted: {gone}" in text
    assert "Total reclaimed space: " in text
    assert store.images.has(kept)
    assert not store.images.has(gone)


def test_prune_all_spares_what_containers_use(store: Store, run: Run) -> None:
    used = add(store, "used")
    idle = add(store, "idle", top=False)
    contain(store, used, "web")
    run("image", "prune", "-a", "-f")
    assert (store.images.has(used), store.images.has(idle)) == (True, False)


def test_prune_filters(store: Store, run: Run) -> None:
    image = add(store, label="keep")
    run("prune", "-f", "--filter", "until=24h")
    run("prune", "-f", "--filter", "label=other")
    assert store.images.has(image)
    assert "not a time" in run("prune", "-f", "--filter", "until=soon", code=1)
    assert "invalid filter 'label'" in run("builder", "prune", "-f", "--filter", "label=keep", code=1)
    run("prune", "-f", "--filter", "label=keep", "--filter", "until=0h")
    assert not store.images.has(image)


def test_builder_prune_takes_what_was_fetched(store: Store, run: Run) -> None:
    kept = [store.path("cache", name) for name in ("digests-1", "http/content", "git-1/objects/pack")]
    for path in kept:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("x")
    run("prune", "-f")
    run("builder", "prune", "-f", "--filter", "until=24h")
    assert all(map(os.path.exists, kept))
    run("builder", "prune", "-f")
    assert os.listdir(store.path("cache")) == []


@pytest.mark.parametrize(
    ("words", "stays"),
    [
        (["builder", "prune", "--keep-storage", "1MB"], [True, True]),
        (["builder", "prune", "--keep-storage", "300kB"], [False, True]),
        (["cache", "prune", "--reserved-space=300kB"], [False, True]),
        (["prune", "--max-used-space", "300kB"], [False, True]),
        (["system", "prune", "--max-used-space", "0", "--reserved-space", "300k"], [False, True]),
        (["builder", "prune", "--keep-storage", "0"], [False, False]),
        (["builder", "prune", "--min-free-space", "1PB"], [False, False]),
        (["builder", "prune", "--min-free-space", "1"], [True, True]),
        (["builder", "prune", "--keep-storage", "0", "--filter", "unused-for=1h"], [False, True]),
        (["builder", "prune", "-a", "--filter", "unused-for=1h"], [False, True]),
        (["prune", "-a", "--filter", "until=1h"], [False, True]),
    ],
)
def test_prune_by_size_and_age(store: Store, run: Run, words: list[str], stays: list[bool]) -> None:
    """The older one of two results goes first."""
    folders = []
    for layer, used in ((BASE, time.time() - 7200), (TOP, time.time())):
        folders.append(store.layers.folder(layer))
        os.makedirs(folders[-1])
        with open(f"{folders[-1]}/tar", "wb") as file:
            file.write(bytes(204800))
        store.records.put(layer, layer, MANIFEST, Result(layer, 1.0, used), "RUN x")
        store._database.execute("UPDATE records SET used = ? WHERE key = ?", (used, layer))
    text = run(*words, "-f")
    assert [os.path.exists(folder) for folder in folders] == stays
    freed = re.search(r"Total reclaimed space: (\d+)", text)
    assert freed
    assert int(freed[1]) // 200 == stays.count(False)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["builder", "prune", "--keep-storage", "much"], 125, "--keep-storage much: not a size"),
        (["image", "prune", "--keep-storage", "1GB"], 125, "unknown flag: --keep-storage"),
        (["image", "prune", "--filter", "unused-for=1h"], 1, "invalid filter 'unused-for'"),
        (["prune", "--keep-storage", "1GB", "--filter", "label=a"], 125, "--filter label= is about images"),
    ],
)
def test_prune_refuses_what_makes_no_sense(
    store: Store, run: Run, words: list[str], code: int, message: str
) -> None:
    assert message in run(*words, "-f", code=code)


def test_image_prune_and_builder_prune_keep_to_themselves(store: Store, run: Run) -> None:
    image = add(store, top=False)
    store.records.put(MANIFEST, MANIFEST, BASE, Result(TOP, 1.0, 0), "RUN x")
    run("builder", "prune", "-f")
    assert store.images.has(image)
    assert store.records.all() == []
    store.records.put(MANIFEST, MANIFEST, BASE, Result(TOP, 1.0, 0), "RUN x")
    run("image", "prune", "-f")
    assert not store.images.has(image)
    assert len(store.records.all()) == 1


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_prune_asks(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    image = add(store)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    text = run("prune", code=code)
    assert "WARNING! This will remove:\n  - all images without a name\n" in text
    assert "[y/N] " in text
    assert store.images.has(image) is (code == 1)


def put_content(store: Store, diff_id: Digest, blocks: int) -> None:
    os.makedirs(f"{store.layers.folder(diff_id)}/fs")
    with open(f"{store.layers.folder(diff_id)}/fs/file", "wb") as file:
        file.write(bytes(4096 * blocks))


def test_system_df(store: Store, run: Run) -> None:
    image = add(store, "app", top=False)
    add(store, "other")
    contain(store, image, "web")
    put_content(store, BASE, 100)
    put_content(store, TOP, 200)
    put_content(store, MANIFEST, 300)
    store.records.put(MANIFEST, MANIFEST, BASE, Result(MANIFEST, 1.0, 0.0), "RUN x")
    rows = [line.split("   ")[0] for line in run("system", "df").splitlines()]
    kinds = ["Images", "Containers", "Local Volumes", "Build Cache", "Failed Steps", "Upkeep"]
    assert rows == ["TYPE", *kinds]
    template = "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}"
    lines = run("system", "df", "--format", template).splitlines()
    # Configs are small files beside the layers; a base that a container's image has is not to be had.
    assert re.fullmatch(r"Images 2 1 1\.2[3-7]\d*MB 8[1-4]\dkB \(6\d%\)", lines[0])
    assert re.fullmatch(r"Build Cache 1 0 1\.2[3-7]\d*MB 1\.2[3-7]\d*MB \(100%\)", lines[3])


def test_system_df_verbose(store: Store, run: Run) -> None:
    image = add(store, "app:v1", "app:v2")
    add(store, "base", top=False)
    contain(store, image, "web")
    put_content(store, BASE, 100)
    put_content(store, TOP, 200)
    put_content(store, MANIFEST, 300)
    store.records.put(MANIFEST, MANIFEST, BASE, Result(MANIFEST, 1.0, 0.0), "RUN x")
    store.records.put(TOP, TOP, BASE, Result(TOP, 1.0, 0.0), "RUN y")
    os.makedirs(store.path("volumes", "data", "_data"))
    images, containers, volumes, cache = run("system", "df", "-v").split("\n\n")[1::2]
    rows = [re.split(r" {3,}", line) for line in images.splitlines()]
    assert rows[0][4:] == ["SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"]
    assert [row[:2] for row in rows[1:]] == [["base", "latest"], ["app", "v1"], ["app", "v2"]]
    # Folders take a block each on some file systems, and none on others.
    expected = [r"4[1-3]\dkB 0B 0", *[r"4[1-3]\dkB 8[1-3]\dkB 1"] * 2]
    for row, pattern in zip(rows[1:], expected, strict=True):
        assert re.fullmatch(pattern, " ".join(row[5:]))
    assert "web" in containers.splitlines()[1]
    assert volumes.splitlines()[1].split()[:2] == ["data", "0"]
    shared = {line.split()[0]: line.split()[-1] for line in cache.splitlines()[1:]}
    assert shared == {digests.short(MANIFEST): "false", digests.short(TOP): "true"}
    assert "Build cache usage: 1.2" in run("system", "df", "-v")
    assert "--verbose prints several tables" in run("system", "df", "-v", "--format", "json", code=125)


def test_info_tells_of_the_store_and_the_machine(store: Store, run: Run) -> None:
    add(store, "app")
    facts = json.loads(run("info", "-f", "json"))
    assert facts["Root"] == store.root
    assert facts["Images"] == 1
    assert facts["Mode"] in ("root", "userns", "none")
    assert f"Store:      {store.root}\n" in run("system", "info")


def test_version(run: Run) -> None:
    assert run("version").startswith("wherry:\n Version:   ")
    assert run("version", "--format", "{{.Client.Os}}") == "linux\n"
