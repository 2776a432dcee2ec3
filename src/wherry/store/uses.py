"""When each layer of the store was of use last: for a result of its own, or for one that stands on it."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base.tuples import NamedTuple
from wherry.oci.digest import NO_LAYERS, Digest, chain_above
from wherry.store.images import Image
from wherry.store.store import Store


class Use(NamedTuple):
    """`time` is unix seconds, true to an hour; `height` is how many layers lie below at most.

    What stands on a layer has no later time, and where it has the same one, more height.
    """

    time: float = 0.0
    height: int = 0


def last_uses(store: Store, images: Iterable[Image]) -> dict[Digest, Use]:
    """The last use of each layer that a record, a trace or one of the images speaks of."""
    chains = _Chains()
    for image in images:
        chains.use(chains.add(image.config.diff_ids), image.created)
    for record in store.records.all():
        top = record.parent if record.layer is None else chains.put(record.parent, record.layer)
        chains.use(top, record.used)
    for trace, used in store.traces.all():
        for chain in trace.chains:
            chains.use(chains.add(chain), used)
        if trace.layer:
            chains.use(chains.put(chains.add(trace.chains[0]), trace.layer), used)
    return chains.layers()


class _Chains:
    """Stacks of layers by their chain IDs, each known by what it has on top and what is below that."""

    def __init__(self) -> None:
        self._below: dict[Digest, tuple[Digest, Digest]] = {}
        self._used: dict[Digest, float] = {}

    def put(self, below: Digest, layer: Digest) -> Digest:
        """The chain ID of `layer` on the chain `below`, which may be unknown."""
        chain = chain_above(below, layer)
        self._below[chain] = (below, layer)
        return chain

    def add(self, diff_ids: Iterable[Digest]) -> Digest:
        chain = NO_LAYERS
        for diff_id in diff_ids:
            chain = self.put(chain, diff_id)
        return chain

    def use(self, chain: Digest, moment: float) -> None:
        """A chain was used at `moment`, and so was all that it stands on."""
        while chain in self._below and self._used.get(chain, -1.0) < moment:
            self._used[chain] = moment
            chain = self._below[chain][0]

    def layers(self) -> dict[Digest, Use]:
        heights: dict[Digest, int] = {}
        found: dict[Digest, Use] = {}
        for chain, (_, layer) in self._below.items():
            known = found.get(layer, Use())
            height = self._height(chain, heights)
            found[layer] = Use(max(known.time, self._used.get(chain, 0.0)), max(known.height, height))
        return found

    def _height(self, chain: Digest, heights: dict[Digest, int]) -> int:
        above = []
        while chain in self._below and chain not in heights:
            above.append(chain)
            chain = self._below[chain][0]
        lowest = heights.get(chain, -1)
        for height, known in enumerate([chain, *reversed(above)], lowest):
            heights[known] = height
        return lowest + len(above)
