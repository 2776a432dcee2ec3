"""When each layer of the store was of use last: for a result of its own, or for one that stands on it."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base.tuples import NamedTuple
from wherry.oci.digest import NO_LAYERS, Digest, chain_above
from wherry.store.images import Image
from wherry.store.store import Store


class Use(NamedTuple):
    """`time` is unix seconds, true to an hour; `above` is how many layers stand on it at most. In this order
    every layer comes before all that it stands on, in one of its stacks at least."""

    time: float = 0.0
    above: int = 0


def last_uses(store: Store, images: Iterable[Image]) -> dict[Digest, Use]:
    """The last use of each layer that a record, a trace or one of the images speaks of."""
    chains = _Chains()
    # All chains are put down before any is used: a record may be older than that of what it stands on.
    used = [(chains.add(image.config.diff_ids), image.created) for image in images]
    for record in store.records.all():
        top = record.parent if record.layer is None else chains.put(record.parent, record.layer)
        used.append((top, record.used))
    for trace, moment in store.traces.all():
        used += [(chains.add(chain), moment) for chain in trace.chains]
        if trace.layer:
            used.append((chains.put(chains.add(trace.chains[0]), trace.layer), moment))
    for chain, moment in used:
        chains.use(chain, moment)
    return chains.layers()


class _Chains:
    """Stacks of layers by their chain IDs, each known by what it has on top and what is below that."""

    def __init__(self) -> None:
        self._below: dict[Digest, tuple[Digest, Digest]] = {}
        self._above: dict[tuple[Digest, Digest], Digest] = {}
        self._uses: dict[Digest, Use] = {}

    def put(self, below: Digest, layer: Digest) -> Digest:
        """The chain ID of `layer` on the chain `below`, which may be unknown."""
        chain = self._above.get((below, layer))
        if chain is None:
            chain = self._above[below, layer] = chain_above(below, layer)
            self._below[chain] = (below, layer)
        return chain

    def add(self, diff_ids: Iterable[Digest]) -> Digest:
        chain = NO_LAYERS
        for diff_id in diff_ids:
            chain = self.put(chain, diff_id)
        return chain

    def use(self, chain: Digest, moment: float) -> None:
        """A chain was used at `moment`, and so was all that it stands on."""
        above = 0
        while chain in self._below:
            use = self._uses.get(chain, Use())
            if use.time >= moment and use.above >= above:
                return
            self._uses[chain] = use = Use(max(use.time, moment), max(use.above, above))
            above = use.above + 1
            chain = self._below[chain][0]

    def layers(self) -> dict[Digest, Use]:
        found: dict[Digest, Use] = {}
        for chain, (_, layer) in self._below.items():
            found[layer] = max(found.get(layer, Use()), self._uses.get(chain, Use()))
        return found
