"""The caches of `--cache-from` in one build, asked where the store has no result, and believed little.

What a cache says is used in the build that named it. A result that it had becomes one of the store's own when
its layer is here, verified. Layers are brought late: until the first step has to be executed nothing needs a
layer but the image, so what all look-ups found is fetched then, and only what lies below steps to be executed
or in the image. If one cannot be had after all, its cache is not asked any more and all is looked up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from threading import Lock, RLock

from wherry.base.errors import WherryError
from wherry.base.events import Emit, Note, Transfer, vertex
from wherry.build.carry import cache as caches
from wherry.build.carry.cache import Cache, Hit
from wherry.build.carry.document import Content
from wherry.build.carry.origin import origin
from wherry.build.carry.spec import Place
from wherry.build.plan import Plan
from wherry.build.solve import Chain, Outcome
from wherry.layer.layers import Layers
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.registry.parallel import Stop, each
from wherry.store.records import Result
from wherry.store.store import Store

Adopt = Callable[[Hit], None]
"""Makes a hit a result of the store's own; its layer is there."""

_VERTEX = 0
_TRANSFERS = 4


class Imports:
    """For several threads. A cache that cannot be read is a warning and not asked again."""

    def __init__(
        self, store: Store, places: Sequence[Place], platforms: Sequence[Platform], emit: Emit
    ) -> None:
        self._store = store
        self._layers = Layers(store)
        self._places = places
        self._platforms = platforms
        self._emit = emit
        self._caches: dict[Place, Cache] | None = None
        self._pending: dict[Digest, list[Callable[[], None]]] = {}
        """What is to be done when a layer is here."""
        self._is_late = False
        self._asking = RLock()
        self._dropping = Lock()

    def find(
        self,
        keys: Sequence[Digest],
        trace_keys: Sequence[Digest],
        chains: Sequence[Chain],
        takes: Callable[[Result], bool],
        adopt: Adopt,
    ) -> Hit | None:
        """A result that one of the caches has, that can be had, and that `takes` takes; `adopt` is called now
        or later."""
        with self._asking:
            for place, cache in list(self._opened().items()):
                try:
                    hit = cache.find(keys, trace_keys, chains, takes)
                except WherryError as error:
                    self._drop(place, error)
                    continue
                if hit is not None and self._takes(hit, adopt):
                    return hit
        return None

    def look_up(self, plan: Plan, outcomes: list[Outcome | None], fill: Callable[[], None]) -> None:
        """Have `fill` look all steps up, until what it finds can be had as far as it is needed."""
        fill()
        while not self.settle(_needed(plan, outcomes)):
            outcomes[:] = [None] * len(outcomes)
            fill()

    def settle(self, chains: Iterable[Chain]) -> bool:
        """Bring what is missing of `chains`, once all steps have been looked up; from now on layers come with
        their hits. False: something cannot be had, and what was found is void."""
        with self._asking:
            wanted = [layer for layer in _distinct(chains) if layer in self._pending]
            if wanted:
                with vertex(self._emit, _VERTEX, "importing layers of the cache"):
                    each(self._transfer, wanted, _TRANSFERS)
            lost = [layer for layer in wanted if not self._layers.has(layer)]
            for layer in wanted:
                if layer not in lost:
                    for adopt in self._pending.pop(layer):
                        adopt()
            if lost:
                self._pending.clear()
            self._is_late = not lost
            return not lost

    def content(self, layer: Digest) -> Content:
        """What a cache has of a layer that is not here."""
        with self._asking:
            found = (cache.content(layer) for cache in self._opened().values() if cache.has(layer))
            return next(found, Content())

    def bring(self, layer: Digest) -> bool:
        """Whether the layer is here now; it is fetched, if need be."""
        with self._asking:
            return self._layers.has(layer) or self._fetched(layer) > 0

    def close(self) -> None:
        for cache in (self._caches or {}).values():
            cache.close()

    def _opened(self) -> dict[Place, Cache]:
        """The caches that can be read, opened when the first one is asked."""
        if self._caches is None:
            self._caches = {}
            for place in dict.fromkeys(self._places):
                try:
                    with vertex(self._emit, _VERTEX, f"importing cache from {place}"):
                        opened = origin(self._store, place)
                        self._caches[place] = caches.read(self._store, self._layers, opened, self._platforms)
                except WherryError as error:
                    self._warn(place, error)
        return self._caches

    def _takes(self, hit: Hit, adopt: Adopt) -> bool:
        layer = hit.result.layer
        if layer is None or self._layers.has(layer):
            adopt(hit)
            return True
        if not self._is_late and any(cache.has(layer) for cache in self._opened().values()):
            self._pending.setdefault(layer, []).append(partial(adopt, hit))
            return True
        with vertex(self._emit, _VERTEX, "importing a layer of the cache"):
            self._transfer(layer, Stop())
        is_here = self._layers.has(layer)
        if is_here:
            adopt(hit)
        return is_here

    def _transfer(self, layer: Digest, stop: Stop) -> None:
        stop.check()
        if size := self._fetched(layer):
            self._emit(Transfer(_VERTEX, digests.short(layer), size, size))

    def _fetched(self, layer: Digest) -> int:
        """The bytes that came; 0 where nobody has the layer."""
        for place, cache in list(self._opened().items()):
            if cache.has(layer):
                try:
                    return cache.fetch(layer)
                except WherryError as error:
                    self._drop(place, error)
        return 0

    def _drop(self, place: Place, error: WherryError) -> None:
        with self._dropping:
            if self._opened().pop(place, None) is not None:
                self._warn(place, error)

    def _warn(self, place: Place, error: WherryError) -> None:
        self._emit(Note("warning", f"the cache {place} is not used: {error.message}"))


def _needed(plan: Plan, outcomes: Sequence[Outcome | None]) -> Iterator[Chain]:
    """What the images are made of, and what steps that are to be executed stand on, as far as it is known."""
    missing = [step for step in plan.steps if outcomes[step.number] is None]
    below = (number for step in missing for number in (step.parent, *step.inputs) if number is not None)
    for number in (*(aim.last for aim in plan.aims), *below):
        outcome = outcomes[number]
        if outcome is not None:
            yield outcome.chain


def _distinct(chains: Iterable[Chain]) -> dict[Digest, None]:
    return dict.fromkeys(layer for chain in chains for layer in chain)
