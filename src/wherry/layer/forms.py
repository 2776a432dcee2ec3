"""The forms in which a layer's tree may lie on disk: what overlay reads depends on who mounts.

A tree is of use only to processes of its own form, so each has a folder of its own in the layer's. Files'
contents are the same in all.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_ALL_IDS = "4294967295"


class OverlayForm(NamedTuple):
    """How a layer's tree tells overlay what it hides (Linux: filesystems/overlayfs.rst, "whiteouts and
    opaque directories"). A whiteout is a character device 0:0 in all; anybody may make one.
    """

    folder: str
    """The tree's name in the folder of its layer."""
    opaque: str
    """The extended attribute of an opaque folder; its value is `y`."""


TRUSTED = OverlayForm("fs", "trusted.overlay.opaque")
"""For root of the first user namespace."""
USER = OverlayForm("fs-user", "user.overlay.opaque")
"""For a mount with `userxattr`, inside a user namespace."""
PLAIN = OverlayForm("plain", "")
"""For copying: what the layer hides is told by its index alone, so any file system can hold it."""

FOLDERS = (TRUSTED.folder, USER.folder, PLAIN.folder)


def current_form() -> OverlayForm:
    """The form that this process can write and mount."""
    with open("/proc/self/uid_map") as file:
        first = os.geteuid() == 0 and file.read().split()[2:] == [_ALL_IDS]
    return TRUSTED if first else USER
