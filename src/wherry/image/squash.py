"""An image with its layers, or those above a base, merged into one."""

from __future__ import annotations

from wherry.base.errors import NotFound, UsageError
from wherry.image.merge import merged
from wherry.layer.layers import Layers
from wherry.oci.config import History, ImageConfig
from wherry.oci.digest import Digest
from wherry.store.images import Image
from wherry.store.store import Store

_SHORTEST = 4
"""Characters of a layer's digest that name it."""


def squash(store: Store, config: ImageConfig, kept: int) -> ImageConfig:
    """The config with the layers above the lowest `kept` ones merged. It stays as it is where that is one
    layer, or none. Callers hold the store's lease."""
    chain = config.diff_ids
    if len(chain) - kept < 2:
        return config
    layer = merged(Layers(store), chain, kept)
    diff_ids = (*chain[:kept], *((layer.diff_id,) if layer else ()))
    return config._replace(diff_ids=diff_ids, history=_history(config, kept, is_empty=layer is None))


def _history(config: ImageConfig, kept: int, *, is_empty: bool) -> tuple[History, ...]:
    """What made the image stays to be read; the lines of merged layers have none any more."""
    count = len(config.diff_ids) - kept
    line = History(config.created, "wherry squash", is_empty, f"{count} layers merged into one")
    makers = [number for number, item in enumerate(config.history) if not item.empty_layer]
    if len(makers) != len(config.diff_ids):
        # A history is optional, and nobody can tell which line is whose: the layers' number has to be right.
        return (*(History() for _ in range(kept)), line)
    first = makers[kept]
    return (
        *config.history[:first],
        *(item._replace(empty_layer=True) for item in config.history[first:]),
        line,
    )


def layers_below(store: Store, image: Image, text: str) -> int:
    """How many of the image's layers stay as they are: those of the image `text`, on which it stands, or
    those up to the layer `text`, a diff ID or its beginning."""
    chain = image.config.diff_ids
    base = store.images.resolve(text)
    if base is not None and base.config.diff_ids == chain[: len(base.config.diff_ids)]:
        return len(base.config.diff_ids)
    if count := _up_to(chain, text):
        return count
    if base is not None:
        raise UsageError(
            f"--from {text}: that image's layers are not the lowest ones of this image",
            hint="`wherry inspect -f '{{json .RootFS.Layers}}'` shows the layers of both",
        )
    raise NotFound(
        f"--from {text}: neither an image nor a layer of this one",
        hint="name the base image, or a layer as `wherry inspect -f '{{json .RootFS.Layers}}'` shows it",
    )


def _up_to(chain: tuple[Digest, ...], text: str) -> int:
    """The number of layers up to the one that is meant; 0 where none is."""
    prefix = text.removeprefix("sha256:")
    if len(prefix) < _SHORTEST:
        return 0
    found = [number for number, layer in enumerate(chain, 1) if layer.startswith(f"sha256:{prefix}")]
    if len({chain[number - 1] for number in found}) > 1:
        raise UsageError(f"--from {text}: several layers begin so", hint="write more of the digest")
    return max(found, default=0)
