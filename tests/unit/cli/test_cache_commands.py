"""cache ls, du and tree on a store with results that stand on each other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.digest import NO_LAYERS, Digest
from wherry.oci.platform import Platform
from wherry.store.cachefolders import SHARED, CacheFolders
from wherry.store.records import Result
from wherry.store.store import Store

Run = Callable[..., str]


def layer(store: Store, name: str, blocks: int = 10) -> Digest:
    diff_id = digests.of(name.encode())
    folder = Path(store.layers.folder(diff_id), "fs")
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(bytes(blocks << 16))
    store.layers.add(diff_id, blocks << 16)
    return diff_id


def image(store: Store, layers: tuple[Digest, ...], *names: str) -> None:
    config = ImageConfig(Platform("linux", "amd64"), diff_ids=layers, author=repr(names))
    made = store.images.put(config.encode())
    for name in names:
        store.images.tag(references.parse(name), made)


def record(store: Store, below: tuple[Digest, ...], result: Result, text: str, used: float) -> None:
    parent = digests.chain_id(below)
    key = digests.of(f"{parent} {text}".encode())
    store.records.put(key, digests.of(text.encode()), parent, result, text)
    store._database.execute("UPDATE records SET used = ? WHERE key = ?", (used, key))


@pytest.fixture
def filled(store: Store) -> dict[str, Digest]:
    """A base; a stage on it whose result is copied to another one; a result of a stage on nothing."""
    made = {name: layer(store, name) for name in ("base", "copy", "make", "from", "lone", "lost")}
    base, copy, make = made["base"], made["copy"], made["make"]
    image(store, (base,), "python:3.11")
    image(store, (base, made["from"]), "app", "app:v1")
    run = Result(make, 61.0, 1002.0, networked=True)
    record(store, (base,), Result(copy, 0.5, 1001.0), "[build 2/3] COPY . .", 2001.0)
    record(store, (base, copy), run, "[build 3/3] RUN make", 2002.0)
    record(store, (base,), run, "[build 3/3] RUN make", 2002.0)
    record(store, (base,), Result(None, 2.0, 1003.0), "RUN true", 2003.0)
    record(store, (base,), Result(made["from"], 0.1, 1004.0), "COPY --from=build /out /", 2004.0)
    record(store, (), Result(made["lone"], 0.1, 1005.0), "COPY a /" + "x" * 100, 2005.0)
    record(store, (made["lost"],), Result(made["lone"], 0.1, 1006.0), "WORKDIR /w", 2000.0)
    store.traces.put(base, ((base, copy),), run, [{}])
    return made


def test_ls(store: Store, filled: dict[str, Digest], run: Run) -> None:
    template = "{{.ID}}|{{.Step}}|{{.Size}}|{{.Saves}}|{{.Holds}}|{{.Parents}}|{{.Network}}"
    lines = [line.split("|") for line in run("cache", "ls", "--format", template).splitlines()]
    assert [line[1] for line in lines] == [
        "[build 3/3] RUN make",  # the trace was used last
        "[build 2/3] COPY . .",  # and stands on this
        "WORKDIR /w",
        "COPY a /" + "x" * 41 + "…",
        "COPY --from=build /out /",
        "RUN true",
    ]
    assert lines[0][0] == digests.short(filled["make"])
    assert re.fullmatch(r"6[56]\dkB", lines[0][2])
    assert lines[0][3:] == ["61 s", "as observed", "2", "true"]
    assert (lines[5][0], lines[5][2:]) == ("<none>", ["0B", "2.0 s", "exactly", "1", "false"])


def test_ls_as_table_and_whole(store: Store, filled: dict[str, Digest], run: Run) -> None:
    header = re.split(r" {3,}", run("cache", "ls").splitlines()[0])
    assert header == ["ID", "STEP", "CREATED", "LAST USED", "SIZE", "SAVES", "HOLDS"]
    assert "x" * 100 in run("cache", "ls", "--no-trunc")
    assert run("cache", "ls", "-q").split() == [
        digests.short(filled[name]) for name in ("make", "copy", "lone", "lone", "from")
    ]
    first = json.loads(run("cache", "ls", "--no-trunc", "--format", "json").splitlines()[0])
    assert (first["ID"], first["CreatedAt"]) == (filled["make"], "1970-01-01T00:16:42Z")


def test_tree(store: Store, filled: dict[str, Digest], run: Run) -> None:
    lines = run("cache", "tree").splitlines()
    assert re.split(r" {3,}", lines[0]) == ["RESULT", "ID", "SIZE", "LAST USED", "HOLDS"]
    lost = digests.short(filled["lost"])
    assert [line[: lines[0].index("ID")].rstrip() for line in lines[1:]] == [
        f"layers that are gone ({lost})",
        "└─ WORKDIR /w",
        "python:3.11",
        "├─ [build 2/3] COPY . .",
        "│  └─ [build 3/3] RUN make",
        "├─ [build 3/3] RUN make",
        "├─ RUN true",
        "└─ COPY --from=build /out / = app:latest, app:v1",
        "scratch",
        "└─ COPY a /" + "x" * 48 + "…",
    ]
    assert lines[1] == lines[1].rstrip()


def test_tree_for_scripts(store: Store, filled: dict[str, Digest], run: Run) -> None:
    rows = [json.loads(line) for line in run("cache", "tree", "--format", "json").splitlines()]
    assert [row["Depth"] for row in rows] == [0, 1, 0, 1, 2, 1, 1, 1, 0, 1]
    assert rows[4]["Step"] == "[build 3/3] RUN make"
    assert rows[4]["ID"] == digests.short(filled["make"])
    assert "x" * 100 in run("cache", "tree", "--no-trunc")


def test_a_tree_of_any_depth(store: Store, run: Run) -> None:
    """Blanks that a line begins with stay, and nothing gives up."""
    chain: tuple[Digest, ...] = ()
    with store._database.transaction():
        for number in range(1500):
            made = digests.of(b"%d" % number)
            os.makedirs(store.layers.folder(made))
            record(store, chain[-1:] and chain, Result(made, 0.0, float(number)), "COPY", 1.0)
            chain = (*chain, made) if number < 40 else chain
    lines = run("cache", "tree").splitlines()
    assert lines[4].startswith("      └─ COPY ")


def test_du(store: Store, filled: dict[str, Digest], run: Run) -> None:
    with CacheFolders(store).use("npm", SHARED, os.mkdir, lambda _: None) as folder:
        Path(folder, "file").write_bytes(bytes(20 << 16))
    for name in ("http", "git-0123", "digests-x"):
        Path(store.path("cache", name)).write_bytes(bytes(1 << 16))
    template = "{{.ID}} {{.Reclaimable}} {{.Shared}} {{.Type}}"
    found = set(run("cache", "du", "--format", template).splitlines())
    assert found == {
        *(f"{digests.short(filled[name])} true false regular" for name in ("copy", "make", "lone", "lost")),
        f"{digests.short(filled['from'])} false true regular",
        "npm true false exec.cachemount",
        "http true false source.http",
        "git-0123 true false source.git",
        "digests-x true false internal",
    }
    lines = run("cache", "du").splitlines()
    assert re.split(r" {3,}", lines[0]) == ["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"]
    assert [re.sub(r"\d\dkB|\d\dMB$", "", line) for line in lines[-4:]] == [
        "Shared:        6",
        "Private:       4.",
        "Reclaimable:   4.",
        "Total:         4.",
    ]
    verbose = run("cache", "du", "--verbose")
    assert "Description: COPY --from=build /out /\n" in verbose
    assert verbose.endswith("\n" + "\n".join(lines[-4:]) + "\n")
    assert "--verbose is a format of its own" in run("cache", "du", "--verbose", "--format", "json", code=125)


def test_the_cache_of_an_empty_store(store: Store, run: Run) -> None:
    assert len(run("cache", "ls").splitlines()) == len(run("cache", "tree").splitlines()) == 1
    assert run("cache", "du").splitlines()[-1] == "Total:         0B"


def test_a_result_without_its_layer_is_none(store: Store, run: Run) -> None:
    record(store, (), Result(digests.of(b"gone"), 1.0, 1.0), "RUN x", 1.0)
    store.records.put(NO_LAYERS, NO_LAYERS, NO_LAYERS, Result(None, 1.0, 1.0), "RUN y")
    assert run("cache", "ls", "--format", "{{.Step}}") == "RUN y\n"
