"""Where tests put things: a fast folder that goes away, a cache that stays."""

from __future__ import annotations

import os
import shutil
import tempfile

_WANTED = 4 << 30
"""Bytes: stores with a few unpacked images, for several workers."""


def fast() -> str:
    """A folder in memory where there is enough of it, else the usual place for temporary files."""
    if "TMPDIR" in os.environ:
        return tempfile.gettempdir()
    shared = "/dev/shm"
    if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > _WANTED:
        return shared
    return tempfile.gettempdir()


def cache() -> str:
    """Outside of the checkout, so that a clean clone on the same machine finds the bases made before."""
    if chosen := os.environ.get("WHERRY_TEST_CACHE"):
        folder = os.path.abspath(chosen)
    elif os.environ.get("XDG_CACHE_HOME"):
        folder = os.path.join(os.environ["XDG_CACHE_HOME"], "wherry-tests")
    elif os.geteuid() == 0:
        folder = "/var/cache/wherry-tests"
    else:
        folder = os.path.expanduser("~/.cache/wherry-tests")
    os.makedirs(folder, exist_ok=True)
    return folder
