"""Owners where all files on disk belong to one user: in an extended attribute of regular files and folders.

In a layer's tree `user.wherry.owner` is `uid:gid`, and missing where that is 0:0. What a process asked for
while it ran (`runtime/init/targets.py`) may be less: a dash stands for an id that was never set, and a final
`~` says that the ids are those that stat(2) shows there for every file. `user.wherry.device` (`c 1 3`) makes
an empty file stand for a device. Overlay copies both with the file when it copies it up.

Symbolic links, pipes and sockets cannot have such attributes: their owners are in the layer's index alone.
"""

from __future__ import annotations

import os

from wherry.base.tuples import NamedTuple
from wherry.layer.entry import BLOCK, CHARACTER

PREFIX = "user.wherry."
"""Reserved: an attribute of such a name is in no layer."""
OWNER = f"{PREFIX}owner"
DEVICE = f"{PREFIX}device"


class Asked(NamedTuple):
    """An owner that was asked for; an id that was not is None."""

    uid: int | None
    gid: int | None
    is_shown: bool = False
    """The ids are those that every file seems to have: who copies a file's owner asks for them too."""


def give(target: int | str, uid: int, gid: int, *, has_owners: bool) -> None:
    """Makes a file or folder (no link) belong to the ids; `has_owners`: whether the disk is to know it."""
    if has_owners:
        os.chown(target, uid, gid)
    elif value := encoded(uid, gid):
        os.setxattr(target, OWNER, value)


def encoded(uid: int, gid: int) -> bytes:
    """The attribute in a layer's tree; empty where there is to be none."""
    return b"%d:%d" % (uid, gid) if (uid, gid) != (0, 0) else b""


def asked(value: bytes) -> Asked | None:
    """What an attribute says; None where there is none, or nothing of ours."""
    uid, colon, gid = value.removesuffix(b"~").partition(b":")
    if not colon or not all(text == b"-" or text.isdigit() for text in (uid, gid)):
        return None
    return Asked(_id(uid), _id(gid), value.endswith(b"~"))


def device(value: bytes) -> tuple[str, tuple[int, int]] | None:
    """Kind and numbers of the device that a file stands for."""
    kind, *numbers = value.split(b" ")
    if kind not in (b"c", b"b") or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        return None
    return (CHARACTER if kind == b"c" else BLOCK), (int(numbers[0]), int(numbers[1]))


def _id(text: bytes) -> int | None:
    # the file's user may write anything into its attributes
    return min(int(text[:10]), 2**32 - 2) if text != b"-" else None
