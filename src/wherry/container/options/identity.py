"""`--userns=keep-id`: the user who starts a container has the same number inside.

What is mounted from his folders belongs to him there, and what he writes belongs to him outside.
"""

from __future__ import annotations

import os

from wherry.base.errors import Unsupported
from wherry.container.options.networking import CONTAINER
from wherry.container.options.options import Options
from wherry.runtime import modes


def kept(options: Options) -> Options:
    """With the user as the container's user, if no other is named, in a mode that shows him so.

    Unsupported where there is nothing to keep.
    """
    if os.geteuid() == 0:
        raise Unsupported(
            "--userns keep-id is for ordinary users",
            hint="root is root in the containers of the mode root; the other modes show him as himself",
        )
    mode = modes.expected(options.isolation).name
    own = f"{os.getuid()}:{os.getgid()}"
    if mode == "single-id" and options.user.partition(":")[0] not in ("", own.partition(":")[0]):
        raise Unsupported(
            f"--userns keep-id: with a single id there is nobody but you, and not {options.user}",
            hint="leave --user out, or get subordinate ids: `wherry info` says how",
        )
    if mode not in ("userns", "single-id"):
        raise Unsupported(f"--userns keep-id: the mode {mode} has no user namespace")
    named = [attachment.network for attachment in options.networks.attachments]
    if mode == "userns" and (named or options.network.startswith(CONTAINER)):
        raise Unsupported(
            f"--userns keep-id cannot be had on the network {(named or [options.network])[0]}",
            hint="containers of such a network share one user namespace",
        )
    isolation = modes.KEEP_ID if mode == "userns" else options.isolation
    return options._replace(user=options.user or own, isolation=isolation)
