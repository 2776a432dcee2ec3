"""Which runtime executes processes: the built-in one, or one that is installed here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wherry.base.errors import NotFound, Unsupported
from wherry.base.which import which
from wherry.runtime.spec import NATIVE

if TYPE_CHECKING:
    from wherry.runtime.helper import Helper
    from wherry.runtime.runtime import Runtime

INSTALLED = ("crun", "runc")
"""Those that are known to work; any other that takes their words may be named by its path."""


def resolve(name: str) -> str:
    """`native`, or the absolute path of the program that `name` means; NotFound where there is none."""
    if name in ("", NATIVE):
        return NATIVE
    found = which(name)
    if found:
        return os.path.abspath(found)
    if "/" in name:
        raise NotFound(f"the runtime {name} is not there, or cannot be executed")
    known = name in INSTALLED
    hint = f"sudo apt-get install {name}" if known else f"the runtimes are {NATIVE}, crun, runc, or a path"
    raise NotFound(f"the runtime {name} is not installed", hint=hint)


def open_runtime(name: str, folder: str, *, may_mount: bool = True, helper: Helper | None = None) -> Runtime:
    """The runtime of that name or path; `folder` is a place of its own for what it has to write.

    Without `may_mount` it is the one for the mode `chroot`. `helper`: one that is there already.
    """
    program = resolve(name)
    if not may_mount:
        if program != NATIVE:
            raise Unsupported(f"{os.path.basename(program)} makes mounts, which the mode chroot cannot")
        from wherry.runtime.chroot import Chroot

        return Chroot()
    if program == NATIVE:
        from wherry.runtime.native import Native

        return Native(helper)
    from wherry.runtime import idmap

    if idmap.has_one_id():
        raise Unsupported(
            f"{os.path.basename(program)} cannot run a process for a user with one id",
            hint=f"--runtime {NATIVE}, or get subordinate ids: `wherry info` says how",
        )
    from wherry.runtime.oci import Oci

    return Oci(program, folder, helper)
