"""Look-up and writing of results: under which keys the record of a step is found.

A RUN and a WORKDIR have one key, from recipe and parent. A COPY's holds the digest of what is copied. For a
COPY from another stage that digest needs the stage's indexes, so the stage's chain ID is asked first, which
is known at once: same chain, same files. So it is with a RUN that mounts something of other steps.
"""

from __future__ import annotations

import os
import threading

from wherry.build.context import Context
from wherry.build.gather import Gathered, content_of, gather, unknown_bytes, with_digests
from wherry.build.solve import Chain
from wherry.build.step import Copy, Step, exact_key, recipe
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.store.records import Record
from wherry.store.store import Store

_HASH_AT_ONCE = 4 * 1024 * 1024
"""Bytes of unknown files that a look-up reads; where there are more, copying reads them on its way."""


_BY_NAME = ("chain", "fetched")
"""What stands for whole trees begins so: which part of them is copied is for the recipe to say."""


class Recorder:
    """The records of one build's steps."""

    def __init__(self, store: Store, context: Context | None, epoch: int) -> None:
        self._store = store
        self._context = context
        self._epoch = epoch
        self._gathered: dict[int, Gathered] = {}
        self._lock = threading.Lock()

    def find(self, step: Step, parent: Chain, inputs: list[Chain]) -> Record | None:
        """The record that holds for the step, as far as that can be told without reading much."""
        content = self._cheap_content(step, inputs)
        return None if content is None else self.at(self.key(step, parent, content))

    def at(self, key: Digest) -> Record | None:
        """The record, if its layer is still in the store."""
        record = self._store.records.get(key)
        if record is None or record.layer is None:
            return record
        return record if os.path.isdir(self._store.layers.folder(record.layer)) else None

    def key(self, step: Step, parent: Chain, content: str = "") -> Digest:
        operation = step.operation
        if isinstance(operation, Copy) and not content.startswith(_BY_NAME):
            # What the sources are called does not matter where their content is in the key.
            operation = operation._replace(patterns=(), inline=(), excludes=(), parents=False, remotes=())
        return exact_key(recipe(operation, step.platform, self._epoch), digests.chain_id(parent), content)

    def write(
        self,
        step: Step,
        parent: Chain,
        inputs: list[Chain],
        layer: Digest | None,
        seconds: float,
        content: str = "",
    ) -> None:
        """Record a result under every key by which it may be asked for."""
        keys = {self.key(step, parent, content)}
        if inputs:
            keys.add(self.key(step, parent, _chain_content(inputs)))
        done = recipe(step.operation, step.platform, self._epoch)
        chain = digests.chain_id(parent)
        for key in keys:
            self._store.records.put(key, done, chain, layer, seconds, step.name)

    def gathered(self, step: Step) -> Gathered:
        """What a COPY from the context copies; the context is walked once for each step."""
        assert isinstance(step.operation, Copy) and self._context is not None
        with self._lock:
            if step.number not in self._gathered:
                self._gathered[step.number] = gather(step.operation, self._context)
            return self._gathered[step.number]

    def _cheap_content(self, step: Step, inputs: list[Chain]) -> str | None:
        if inputs:
            return _chain_content(inputs)
        if not isinstance(step.operation, Copy):
            return ""
        gathered = self.gathered(step)
        unknown = unknown_bytes(gathered)
        if unknown is not None:
            if self._context is None or (unknown > _HASH_AT_ONCE and not step.operation.unpack):
                return None
            gathered = with_digests(gathered, self._context.hash_file)
            self._gathered[step.number] = gathered
        return content_of(gathered, step.operation.unpack)


def _chain_content(inputs: list[Chain]) -> str:
    return f"chain {' '.join(map(digests.chain_id, inputs))}"
