"""Names in a layer's tar against paths of its entries (OCI image-spec, layer.md, "Whiteouts").

A removed `a/b` is the empty file `a/.wh.b`; a folder `a` that hides all below it has an empty file
`a/.wh..wh..opq`. `.wh.` at the start of a name is reserved, so a layer can hold no such file.
"""

from __future__ import annotations

from wherry.base.errors import Corrupt, Unsupported
from wherry.layer.entry import DIRECTORY, OPAQUE, WHITEOUT, Entry

PREFIX = ".wh."
OPAQUE_NAME = ".wh..wh..opq"
_META = ".wh..wh."
"""AUFS kept its own files (`.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`) beside the whiteouts: old images
have them, every builder since skips them."""


def tar_name(entry: Entry, *, in_layer: bool = True) -> bytes:
    """The name that stands for `entry` in a tar header, whatever its length."""
    path, kind = entry.path, entry.kind
    if in_layer and ".wh." in path and _is_reserved(path):
        raise Unsupported(
            f"an image layer cannot hold {path!r}: names that begin with '.wh.' mean removed files",
            hint="rename the file, or remove it in the same step",
        )
    if kind == DIRECTORY:
        path = path + "/" if path else "./"
    elif kind == WHITEOUT:
        folder, slash, name = path.rpartition("/")
        path = f"{folder}{slash}{PREFIX}{name}"
    elif kind == OPAQUE:
        path = f"{path}/{OPAQUE_NAME}" if path else OPAQUE_NAME
    return path.encode("utf-8", "surrogateescape")


def _is_reserved(path: str) -> bool:
    return path.startswith(PREFIX) or "/" + PREFIX in path


def meaning(path: str) -> tuple[str, str] | None:
    """What a whiteout file at `path` says: (WHITEOUT or OPAQUE, the path it is about).

    `("", "")` for AUFS's own files, which are to be skipped; None for a path that is no whiteout.
    Corrupt where the name aims outside its folder: `.wh.`, `.wh..`, `.wh...`, or where a parent is reserved.
    """
    folder, slash, name = path.rpartition("/")
    if folder and _is_reserved(folder):
        if folder.startswith(_META) or "/" + _META in folder:
            return "", ""
        raise Corrupt(f"a layer has {path!r} below a whiteout")
    if not name.startswith(PREFIX):
        return None
    if name == OPAQUE_NAME:
        return OPAQUE, folder
    if name.startswith(_META):
        return "", ""
    removed = name[len(PREFIX) :]
    if removed in ("", ".", ".."):
        raise Corrupt(f"a layer has a whiteout that names no file: {path!r}")
    return WHITEOUT, f"{folder}{slash}{removed}"
