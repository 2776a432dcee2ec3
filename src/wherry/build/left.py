"""What a failed process left: taken over from its mount, and rid of what it was lent."""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection, Sequence

from wherry.base.tuples import NamedTuple
from wherry.build.operations.masking import MASK, SHORTEST
from wherry.snapshot.overlay import Mounted
from wherry.store.store import remove_tree

_SHORTEST_LINE = 16
"""Bytes of a line of a secret that tell it from lines that others have too."""

_OVERLAYS = ("trusted.overlay.", "user.overlay.")


class Left(NamedTuple):
    """`path` is a folder called `upper`, with what was changed in overlay's form, or `root`, a whole tree.
    `code` is the exit code, `log` the file of its output; `withheld` are the paths that were taken out."""

    path: str
    why: str
    code: int
    log: str
    withheld: tuple[str, ...] = ()


def take(mounted: Mounted, folder: str, secrets: Collection[bytes]) -> tuple[str, tuple[str, ...]]:
    """Move what is left of a root filesystem, mounted no more, into `folder`, rid of `secrets`; its path, and
    what was taken out."""
    # A tree that was copied and not harvested has no `upper`.
    name = "upper" if os.path.isdir(mounted.upper) else "root"
    path = f"{folder}/{name}"
    os.rename(mounted.upper if name == "upper" else mounted.path, path)
    return path, withhold(path, secrets)


def withhold(upper: str, secrets: Collection[bytes]) -> tuple[str, ...]:
    """Delete the files below `upper` in which a secret or a long line of one stands: in content, name, link
    or attributes.

    Their paths, sorted, with `***` for a secret. One in another form (compressed, encoded) is not found.
    """
    wanted = [value for secret in secrets for value in _values(secret)]
    if not wanted:
        return ()
    found: list[str] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        for name in os.listdir(f"{upper}/{folder}"):
            path = f"{folder}/{name}"
            if _holds(f"{upper}{path}", os.fsencode(name), wanted):
                found.append(_masked(path, wanted))
                _delete(f"{upper}{path}")
            elif os.path.isdir(f"{upper}{path}") and not os.path.islink(f"{upper}{path}"):
                pending.append(path)
    return tuple(sorted(found))


def _values(secret: bytes) -> set[bytes]:
    """The secret, and lines of it, but for those of PEM that begin and end a key: libraries have them too."""
    whole = secret.strip()
    lines = {line.strip() for line in whole.splitlines() if not line.startswith(b"-----")}
    values = {line for line in lines if len(line) >= _SHORTEST_LINE}
    return values | {whole} if len(whole) >= SHORTEST else values


def _holds(path: str, name: bytes, wanted: Sequence[bytes]) -> bool:
    texts = [name]
    if os.path.islink(path):
        texts.append(os.fsencode(os.readlink(path)))
    else:
        names = [item for item in os.listxattr(path) if not item.startswith(_OVERLAYS)]
        texts += [os.getxattr(path, item) for item in names]
    if any(value in text for value in wanted for text in texts):
        return True
    return os.path.isfile(path) and not os.path.islink(path) and _file_holds(path, wanted)


def _masked(path: str, wanted: Sequence[bytes]) -> str:
    text = os.fsencode(path)
    for value in wanted:
        text = text.replace(value, MASK)
    return os.fsdecode(text)


def _file_holds(path: str, wanted: Sequence[bytes]) -> bool:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(value) >= 0 for value in wanted)


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        os.unlink(path)
