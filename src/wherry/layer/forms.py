"""The forms in which a layer's tree may lie on disk: what overlay reads depends on who mounts.

A tree is of use only to processes of its own form, so each has a folder of its own in the layer's. Files'
contents are the same in all.
"""

from __future__ import annotations

import os

from wherry.base.tuples import NamedTuple

_ALL_IDS = "4294967295"


class OverlayForm(NamedTuple):
    """How a layer's tree tells overlay what it hides (Linux: filesystems/overlayfs.rst, "whiteouts and
    opaque directories"). A whiteout is a character device 0:0 in all; anybody may make one.
    """

    folder: str
    """The tree's name in the folder of its layer."""
    opaque: str
    """The extended attribute of an opaque folder; its value is `y`."""
    has_owners: bool = True
    """Whether files belong to whom they are said to; else see `owners.py`."""


TRUSTED = OverlayForm("fs", "trusted.overlay.opaque")
"""For root of the first user namespace."""
USER = OverlayForm("fs-user", "user.overlay.opaque")
"""For a mount with `userxattr`, inside a user namespace."""
PLAIN = OverlayForm("plain", "")
"""For copying: what the layer hides is told by its index alone, so any file system can hold it."""

SINGLE = OverlayForm("fs-single", "user.overlay.opaque", has_owners=False)
"""For overlay where the user namespace has one id."""

KEPT = OverlayForm("fs-kept", "user.overlay.opaque")
"""As USER, where the user keeps his number (`runtime.modes.KEEP_ID`): owners have other ids on disk."""
KEPT_PLAIN = OverlayForm("plain-kept", "")
"""As PLAIN, there."""

FOLDERS = (TRUSTED.folder, USER.folder, PLAIN.folder, SINGLE.folder, KEPT.folder, KEPT_PLAIN.folder)


def current_form() -> OverlayForm:
    """The form that this process can write and mount."""
    with open("/proc/self/uid_map") as file:
        sizes = file.read().split()[2:]
    if os.geteuid() == 0 and sizes == ["1"]:
        return SINGLE
    if os.geteuid() == 0 and sizes == [_ALL_IDS]:
        return TRUSTED
    return KEPT if _makes_files_of_others() else USER


def _makes_files_of_others() -> bool:
    """Whether files that this process makes are not its own (setfsuid(2)), but those of the user outside."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        _, effective, _, of_files = next(line for line in file if line.startswith("Uid:")).split()[1:]
    return effective != of_files
