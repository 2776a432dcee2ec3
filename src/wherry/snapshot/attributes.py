"""Extended attributes: which of them belong to a file on any machine."""

from __future__ import annotations

import errno
import os

from wherry.layer import owners


def names(target: int | str, *, follow: bool = False) -> list[str]:
    """Of a descriptor, or of a path, whose last link is followed only if asked for; none where the file
    system has none."""
    try:
        return os.listxattr(target, follow_symlinks=follow or isinstance(target, int))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def is_kept(name: str) -> bool:
    """Whether an extended attribute belongs to the file, on any machine.

    Of `security.*` only capabilities do; the rest are labels of the host (SELinux, IMA). `trusted.*` cannot
    be set in a container, nor be seen in a user namespace. `system.*` has access lists, and NFS's own.
    """
    if name.startswith("user."):
        return not is_of_overlay(name) and not name.startswith(owners.PREFIX)
    return name in ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


def is_of_overlay(name: str) -> bool:
    return name.startswith(("user.overlay.", "trusted.overlay."))
