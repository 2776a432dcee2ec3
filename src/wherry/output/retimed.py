"""`rewrite-timestamp=true`: an image again, whose own layers have no time later than SOURCE_DATE_EPOCH.

Those of its base stay as they are, as with BuildKit: they are the ones that registries have.
"""

from __future__ import annotations

from wherry.base.errors import UsageError
from wherry.layer.layers import Layers
from wherry.layer.reader import read_layer
from wherry.layer.source import limits
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.output.result import Part, Result
from wherry.store.store import Store

_SECOND = 1_000_000_000


def retimed(store: Store, result: Result) -> Result:
    """The result with images of such layers, which are in the store; the same where no time is later."""
    if result.epoch is None:
        raise UsageError(
            "rewrite-timestamp=true: there is no time to limit others to", hint="set SOURCE_DATE_EPOCH"
        )
    layers = Layers(store)
    return result._replace(
        parts=tuple(_part(store, layers, part, result.epoch * _SECOND) for part in result.parts)
    )


def _part(store: Store, layers: Layers, part: Part, latest: int) -> Part:
    config = store.images.get(part.image).config
    base, own = config.diff_ids[: -part.own or None], config.diff_ids[len(config.diff_ids) - part.own :]
    changed = (*base, *(_layer(layers, diff_id, latest) for diff_id in own))
    if changed == config.diff_ids:
        return part
    return part._replace(image=store.images.put(config._replace(diff_ids=changed).encode()))


def _layer(layers: Layers, diff_id: Digest, latest: int) -> Digest:
    """The layer itself where no time is later than `latest`, in nanoseconds."""
    if all(entry.mtime <= latest for entry in layers.index(diff_id).entries):
        return diff_id

    def write(writer: LayerWriter) -> None:
        with layers.open_tar(diff_id) as tar:
            for entry, content in read_layer(tar, limits()):
                writer.add(entry._replace(mtime=min(entry.mtime, latest), offset=-1), content)
            while tar.read(1 << 20):
                pass  # the end is where the digest is checked

    return layers.add_tar(write).diff_id
