"""The first process of a container with `--init`: our own (init/reaper.c), or one of the host's.

It is a static program, mounted in the container's /dev, which is nothing of the image's.
"""

from __future__ import annotations

import os
import stat

from wherry.base.errors import Unsupported
from wherry.base.which import which
from wherry.runtime.spec import Mount

_PLACE = "/dev/wherry-init"
_OTHERS = ("docker-init", "tini-static", "tini", "catatonit")

COMMAND = (_PLACE, "--")
"""What stands before the command; all of these read it so."""


def mount() -> Mount:
    """The program for the container. Unsupported where there is none."""
    return Mount("bind", _program(), _PLACE, ("bind", "ro", "nosuid"))


def _program() -> str:
    from wherry.runtime.emulation import is_static

    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init", "wherry-init")
    for path in (own, *filter(None, map(which, _OTHERS))):
        if _is_for_all(path) and is_static(path):
            return os.path.realpath(path)
    raise Unsupported(
        "--init: there is no static init here",
        hint="sudo apt-get install catatonit; or install wherry where there is a C compiler, for its own",
    )


def _is_for_all(path: str) -> bool:
    """Whether any user of a container may execute it."""
    try:
        return os.stat(path).st_mode & stat.S_IXOTH != 0
    except OSError:
        return False
