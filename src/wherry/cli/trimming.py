"""The setting `store_size`: after a build that executed something the store is brought back below it.

What is used least goes first, down to nine tenths of the size, so that not every build has to look. Images
with a name, those of containers and what was just built stay, whatever the size is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wherry.base import sizes
from wherry.container.containers import images_in_use
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.store.estimate import Estimate
from wherry.store.gc import trim
from wherry.store.store import Store
from wherry.ui import units


def after_build(store: Store, setting: str, images: Sequence[Digest], quiet: bool) -> None:
    """Where others are in the store nothing is done: the last build to end does it."""
    most = sizes.parse(setting)
    assert most is not None  # the settings are checked when they are read
    modes.enter_as_user()
    estimate = Estimate(store)
    if not estimate.exceeds(most):
        return
    try:
        gone, used = trim(store, most, most * 9 // 10, set(images), images_in_use)
    except BlockingIOError:
        return
    left = used - gone.size
    estimate.renew(left if left > most else 0)
    if quiet or used <= most:
        return
    text = f"store_size: {units.size(used)} of {units.size(most)} used, {units.size(gone.size)} freed"
    if left > most:
        text = f"WARNING: {text}; what is left is in use, `wherry system df` tells by what"
    print(text, file=sys.stderr)
