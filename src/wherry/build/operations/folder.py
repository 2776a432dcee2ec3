"""WORKDIR: the folder is made where the parent has none (Dockerfile reference, "WORKDIR")."""

from __future__ import annotations

from wherry.build.operations.place import folders_to, owner_ids
from wherry.build.step import Folder
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.snapshot.view import View


def execute(operation: Folder, parent: View, layers: Layers, mtime: int) -> Layer | None:
    """The layer with the new folders, for the user whom USER named; None where all of them are there."""
    path = parent.resolve(operation.path.strip("/"))
    if not path or parent.lookup(path) is not None:
        folders_to(parent, path, 0, 0, mtime)
        return None
    uid, gid = owner_ids(parent, operation.owner)
    folders = folders_to(parent, path, uid, gid, mtime)

    def write(writer: LayerWriter) -> None:
        for folder in folders:
            writer.add(folder)

    return layers.add_tar(write)
