"""The results that records speak of, for people: each once, however many records find it."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest, chain_above
from wherry.store import parts
from wherry.store.records import Record
from wherry.store.store import Store
from wherry.store.usage import share_of
from wherry.store.uses import last_uses


class Kept(NamedTuple):
    """What an execution of the step `text` gave on the stacks of layers with the chain IDs `parents`.

    `made` and `used` are unix seconds, `seconds` is what making it took, `size` bytes on disk. An `observed`
    one may hold on other parents too, as long as what it looked at is the same.
    """

    text: str
    layer: Digest | None
    parents: tuple[Digest, ...]
    made: float
    used: float
    seconds: float
    size: int
    observed: bool
    networked: bool

    def above(self, parent: Digest) -> Digest:
        """The chain ID of the stack that it makes of `parent`."""
        return chain_above(parent, self.layer) if self.layer else parent


def results(store: Store) -> list[Kept]:
    """Those whose layer is in the store, the last used first: with a result all that it stands on is used."""
    uses = last_uses(store, ())
    observed = {trace.result for trace, _ in store.traces.all()}
    groups: dict[object, list[Record]] = {}
    for record in store.records.all():
        if store.layers.is_there(record.layer):
            groups.setdefault((record.recipe, record.result), []).append(record)
    sizes = {record.layer: _size(store, record.layer) for (record, *_) in groups.values()}
    found = []
    for records in groups.values():
        result = records[0].result
        found.append(
            Kept(
                records[0].description,
                result.layer,
                tuple(dict.fromkeys(record.parent for record in records)),
                result.made or records[0].created,  # older records do not know when it was made
                uses[result.layer].time if result.layer else max(record.used for record in records),
                result.seconds,
                sizes[result.layer],
                result in observed,
                result.networked,
            )
        )
    return sorted(found, key=lambda kept: (kept.used, kept.made), reverse=True)


def _size(store: Store, layer: Digest | None) -> int:
    return sum(map(share_of, parts.of_layers(store, [layer]))) if layer else 0
