"""wherry: container images from Dockerfiles, with no daemon, no root and no set-up.

What the command line does can be done from Python:

    import wherry

    with wherry.Store.open() as store:
        options = wherry.Options(context=".", tags=(wherry.parse_reference("app:v1"),))
        built = wherry.build_image(store, options)
        print(built.image)

Names are imported when they are first used, so that `import wherry` costs nothing. All errors that a caller
can cause are `WherryError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.base.errors import WherryError as WherryError
    from wherry.build.build import Built as Built
    from wherry.build.build import build as build_image
    from wherry.build.options import Options as Options
    from wherry.oci.platform import parse as parse_platform
    from wherry.oci.reference import parse as parse_reference
    from wherry.registry.pull import pull as pull_image
    from wherry.registry.push import push as push_image
    from wherry.store.store import Store as Store
    from wherry.transfer.opening import copy_image as copy_image

__version__ = "0.1.0"

_PLACES = {
    "Built": ("wherry.build.build", "Built"),
    "Options": ("wherry.build.options", "Options"),
    "Store": ("wherry.store.store", "Store"),
    "WherryError": ("wherry.base.errors", "WherryError"),
    "build_image": ("wherry.build.build", "build"),
    "copy_image": ("wherry.transfer.opening", "copy_image"),
    "parse_platform": ("wherry.oci.platform", "parse"),
    "parse_reference": ("wherry.oci.reference", "parse"),
    "pull_image": ("wherry.registry.pull", "pull"),
    "push_image": ("wherry.registry.push", "push"),
}

__all__ = [
    "Built",
    "Options",
    "Store",
    "WherryError",
    "build_image",
    "copy_image",
    "parse_platform",
    "parse_reference",
    "pull_image",
    "push_image",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module 'wherry' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
