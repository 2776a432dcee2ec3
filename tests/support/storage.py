"""All that is in a store, to be compared: every row of every table, every file with its content.

What a command that failed may leave is what the next one takes up: whole blobs and layers that their digests
prove, and what came of a blob that is not whole. `prune` takes that away; then the store is as it was before.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from typing import NamedTuple

from wherry.layer.entry import FILE
from wherry.layer.forms import FOLDERS
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.store.gc import Scope, collect
from wherry.store.images import Image
from wherry.store.store import Store

_OWN = re.compile(r"store\.db(-wal|-shm)?|lock|reserve|blobs/partial|events(/.*)?")
"""SQLite's files are looked at by their rows. The others are a folder that is made when it is first needed,
and what tells of all that happened, of what was undone too."""
_MAY_STAY = re.compile(
    rf"blobs/(sha256|partial)/[0-9a-f]{{64}}|layers/[0-9a-f]{{64}}(/index|/({'|'.join(FOLDERS)})(/.*)?)?"
)
_TABLES_MAY_GROW = {"layers", "layer_blobs"}


class Content(NamedTuple):
    rows: dict[str, set[tuple[object, ...]]]
    files: dict[str, str]


def content(store: Store) -> Content:
    return Content(_rows(f"{store.root}/store.db"), dict(_files(store.root)))


def assert_nothing_half_written(store: Store, before: Content, kept: Image | None = None) -> None:
    """After a failure: what is there more than `before` is whole; without it the store is as it was.

    Without it, but for the packed layers of the image `kept`: `prune` deletes no more than nothing needs.
    """
    now = content(store)
    assert before.files.items() <= now.files.items()
    for path in now.files.keys() - before.files.keys():
        assert _MAY_STAY.fullmatch(path), f"left behind: {path}"
        if path.startswith("blobs/sha256/"):
            assert now.files[path] == path.rpartition("/")[2], f"{path} has other content than its name says"
    for table, rows in now.rows.items():
        assert before.rows[table] <= rows
        assert table in _TABLES_MAY_GROW or rows == before.rows[table], f"left in the table {table}"
    for diff_id, *_ in now.rows["layer_blobs"]:
        with Layers(store).open_tar(diff_id) as stream:  # type: ignore[arg-type]  # verified at its end
            while stream.read(1 << 20):
                pass
    assert_trees_are_whole(store)
    collect(store, Scope(images=False, records=False))
    if kept is None:
        assert content(store) == before
    else:
        assert _without_packed(content(store), kept) == _without_packed(before, kept)


def assert_trees_are_whole(store: Store) -> None:
    """The files of every tree are those of its layer's index, which its digest proves."""
    for row in _rows(f"{store.root}/store.db")["layers"]:
        diff_id = Digest(str(row[0]))
        for form in FOLDERS:
            tree = f"{store.layers.folder(diff_id)}/{form}"
            if os.path.isdir(tree):
                files = {entry.path: entry for entry in Layers(store).index(diff_id).entries}
                found = dict(_files(tree))
                assert found.keys() == files.keys()
                for path, entry in files.items():
                    assert entry.kind != FILE or found[path] == entry.digest.hex()


def _without_packed(found: Content, image: Image) -> Content:
    """`found` but for the compressed blobs of the image's layers."""
    packed = {row for row in found.rows["layer_blobs"] if row[0] in image.config.diff_ids}
    names = {f"blobs/sha256/{str(row[1])[7:]}" for row in packed}
    rows = {**found.rows, "layer_blobs": found.rows["layer_blobs"] - packed}
    return Content(rows, {path: text for path, text in found.files.items() if path not in names})


def _rows(path: str) -> dict[str, set[tuple[object, ...]]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        found = {name: set(connection.execute(f"SELECT * FROM {name}")) for name in names}
    connection.close()
    return found


def _files(root: str) -> list[tuple[str, str]]:
    """The path of each file and folder below `root`, with its content's sha256, its target, or nothing."""
    found = []
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            short = os.path.relpath(path, root)
            if _OWN.fullmatch(short):
                continue
            if os.path.islink(path):
                found.append((short, os.readlink(path)))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found.append((short, hashlib.file_digest(file, "sha256").hexdigest()))
            else:
                found.append((short, ""))
    return found
