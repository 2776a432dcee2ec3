"""Look-up and writing of results: under which keys the record of a step is found.

A RUN and a WORKDIR have one key, from recipe and parent; a RUN in a mode that can change its result has a key
of that mode (`Mode.is_exact`), and takes exact results where they are. The keys of a COPY also hold what is
copied, and those of a RUN what it mounts (`contents.py`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wherry.base.rights import CAP_SYS_ADMIN, has_capability
from wherry.build import recall
from wherry.build.account import EXACT, OBSERVED, REFUSED, Miss, Went
from wherry.build.contents import Contents, stands_for_trees
from wherry.build.context import Context
from wherry.build.control import Control
from wherry.build.files import Files
from wherry.build.solve import Chain, Made
from wherry.build.sources import Sources
from wherry.build.step import Copy, Operation, Run, Step, exact_key, has_filled_cache, recipe
from wherry.build.times import Times
from wherry.oci.digest import ChainIds, Digest
from wherry.store.records import Record, Result
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.carry.cache import Hit
    from wherry.build.carry.imports import Imports
    from wherry.build.reuse import Found, Reuse
    from wherry.runtime.modes import Mode
    from wherry.snapshot.tracks import Tree

_OBSERVED = "observed 2"
"""Its number is raised when more is put down of what a RUN looks at: earlier traces tell too little."""


class Keys:
    """By what the records and the traces of a build's steps are found."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self.chains = ChainIds()

    def recipe(self, step: Step, operation: Operation | None = None) -> Digest:
        """That of the step, or of what its `operation` is without words that do not matter."""
        return recipe(operation or step.operation, step.platform, self._times.epoch, self._times.word)

    def exact(self, step: Step, parent: Chain, content: str = "") -> Digest:
        operation = step.operation
        if isinstance(operation, Copy) and not stands_for_trees(content):
            # What the sources are called does not matter where their content is in the key.
            operation = operation._replace(patterns=(), inline=(), excludes=(), parents=False, remotes=())
        return exact_key(self.recipe(step, operation), self.chains.of(parent), content)

    def traces(self, step: Step, content: str, marks: Iterable[str]) -> tuple[Digest, ...]:
        """Those that a step's traces may have, the last one for a new trace; none where it has none. `marks`
        are those of modes (`mark_of`)."""
        operation = step.operation
        if isinstance(operation, Copy):
            # What is copied from another stage is in the key by its content, which may not be known yet.
            return () if content.startswith("chain") else (self.exact(step, (), content),)
        if not isinstance(operation, Run):
            return (self.exact(step, (), "observed"),)
        if has_filled_cache(operation):
            return ()  # what the cache began with is mixed with what it has got since
        return run_trace_keys(self.recipe(step), marks)


class Recorder:
    """The records of one build's steps. With `exact` a result holds for the parent it was made on alone."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        times: Times,
        isolation: str,
        exact: bool,
        control: Control,
        imports: Imports | None = None,
    ) -> None:
        self._store = store
        self._isolation = isolation
        self._mark: str | None = None
        self.times = times
        self._exact = exact
        self.control = control
        self.imports = imports
        self.taken: dict[int, tuple[str, ...]] = {}
        """What is known of the content that each step's keys stand for, by the steps' numbers."""
        self.borrowed: dict[int, tuple[tuple[Digest, ...], Hit]] = {}
        """What caches gave, and the keys that were asked for."""
        self._reuse: Reuse | None = None
        self._keys = Keys(times)
        self._chains = self._keys.chains
        self.contents = Contents(sources, times, self._chains, reads_all=imports is not None)
        self._lock = threading.Lock()
        self.misses: dict[int, Miss] = {}
        """Why steps were executed, by their numbers."""

    def find(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made | None:
        """The result that holds for the step, as far as that can be told without reading much."""
        content = self.contents.cheap(step, inputs)
        if content is None:
            return None
        self.taken[step.number] = (content,)
        record = self._recorded(step, parent, content)
        return _reused(record.result) if record else self._elsewhere(step, parent, inputs, (content,))

    def exact(self, step: Step, parent: Chain, content: str) -> Made | None:
        """The result that was made on these layers, of what comes in as `content` says."""
        record = self._recorded(step, parent, content)
        return _reused(record.result) if record else None

    def known(self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...]) -> Made | None:
        """As `find`, once all is read; what holds is found at once from now on."""
        record = self._recorded(step, parent, contents[0])
        if record is None:
            return self._elsewhere(step, parent, inputs, contents)
        self.write(step, parent, inputs, record.result, contents)
        return _reused(record.result)

    def _elsewhere(
        self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...]
    ) -> Made | None:
        """A result that was made on another parent or another machine."""
        made = self._observed(step, parent, inputs, contents)
        return made or self._imported(step, parent, inputs, contents)

    def trace(self, step: Step, trees: Sequence[Tree], result: Result, content: str = "") -> None:
        """Keep what the step looked at: in its parent, and in each of its inputs if it is a RUN."""
        if not self._exact and (keys := self.trace_keys(step, content)):
            self.reuse.keep(keys[-1], trees, result)

    def missed(
        self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...] = ("",)
    ) -> None:
        """Note why a step has to be executed; before it is. A COPY's `contents` may not be known yet."""
        self.misses[step.number] = self._miss(step, parent, inputs, contents)

    def _miss(self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...]) -> Miss:
        if self.control.executes(step):
            return Miss(REFUSED, "--no-cache" if self.control.no_cache else "--no-cache-filter")
        chains = looked_at(step, parent, inputs)
        keys = self.trace_keys(step, contents[0]) if contents and not self._exact else ()
        from wherry.build import misses

        if self.control.since is not None and contents:
            exact = [
                record.result for key in self.keys(step, parent, contents[0]) if (record := self.at(key))
            ]
            if exact or misses.holds(self.reuse, keys, chains):
                return Miss(REFUSED, "it used the network, too long ago for --refresh")
        done = self._keys.recipe(step)
        asked = misses.Asked(done, keys, tuple(chains), self._chains.of(parent))
        why = misses.why_copied if isinstance(step.operation, Copy) else misses.why
        return why(self._store, self.reuse, asked)

    @property
    def reuse(self) -> Reuse:
        with self._lock:
            if self._reuse is None:
                # Imported when no record holds: a build with nothing to do has no use for it.
                from wherry.build.reuse import Reuse

                self._reuse = Reuse(self._store)
            return self._reuse

    def _recorded(self, step: Step, parent: Chain, content: str) -> Record | None:
        """The record of that content; of a RUN also one that this mode alone may take for its result."""
        for key in self.keys(step, parent, content):
            record = self.at(key)
            if record is not None and self.control.takes(step, record.result):
                return record
        return None

    def keys(self, step: Step, parent: Chain, content: str) -> Iterator[Digest]:
        """The keys of the records that may be taken for that content."""
        yield self.key(step, parent, content)
        if isinstance(step.operation, Run) and (mark := self._mark_of_mode()):
            yield self.key(step, parent, content + mark)

    def _observed(
        self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...]
    ) -> Made | None:
        """A result that was made on another parent and holds here; it is recorded as one of this parent."""
        if self._exact:
            return None
        for key in self.trace_keys(step, contents[0]):
            takes = partial(self.control.takes, step)
            found = self.reuse.find(key, looked_at(step, parent, inputs), takes)
            if found is not None:
                self.write(step, parent, inputs, found.result, contents)
                return _observed(step, found)
        return None

    def _imported(
        self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...]
    ) -> Made | None:
        """A result that another machine's cache has."""
        if self.imports is None:
            return None

        def adopt(hit: Hit) -> None:
            self.write(step, parent, inputs, hit.result, contents)
            for key, looked in hit.looked:
                self._store.traces.put(key, looked.chains, looked.result, looked.observations)

        keys = tuple(self.keys(step, parent, contents[0]))
        trace_keys = () if self._exact else self.trace_keys(step, contents[0])
        takes = partial(self.control.takes, step)
        hit = self.imports.find(keys, trace_keys, looked_at(step, parent, inputs), takes, adopt)
        if hit is None:
            return None
        self.borrowed[step.number] = keys, hit
        return _observed(step, hit.found) if hit.found else _reused(hit.result)

    def trace_keys(self, step: Step, content: str) -> tuple[Digest, ...]:
        """As `Keys.traces`, in this mode."""
        marks = ("", self._mark_of_mode()) if isinstance(step.operation, Run) else ()
        return self._keys.traces(step, content, marks)

    def executes_in(self, mode: Mode) -> None:
        """From now on it is known, and not just expected, what RUN is executed in."""
        self._mark = mark_of(mode)

    def at(self, key: Digest) -> Record | None:
        """The record, if its layer is still in the store."""
        record = self._store.records.get(key)
        return record if record is not None and self._store.layers.is_there(record.layer) else None

    def key(self, step: Step, parent: Chain, content: str = "") -> Digest:
        return self._keys.exact(step, parent, content)

    def write(
        self,
        step: Step,
        parent: Chain,
        inputs: list[Chain],
        result: Result,
        contents: tuple[str, ...] = ("",),
    ) -> None:
        """Record a result under every key by which it may be asked for: one for each of `contents`."""
        self.taken[step.number] = contents
        mark = self._mark_of_mode() if isinstance(step.operation, Run) else ""
        keys = {self.key(step, parent, content + mark) for content in contents}
        if inputs:
            keys.add(self.key(step, parent, self.contents.of_chains(inputs) + mark))
        done = self._keys.recipe(step)
        chain = self._chains.of(parent)
        for key in keys:
            self._store.records.put(key, done, chain, result, step.name)

    def written(self, step: Step, parent: Chain) -> list[Record]:
        """All records of the step on that parent, whatever it took in, whose layers are in the store."""
        done = self._keys.recipe(step)
        found = self._store.records.of(done, self._chains.of(parent))
        return [record for record in found if self._store.layers.is_there(record.layer)]

    def _mark_of_mode(self) -> str:
        """What keeps results of a mode apart. Of root little is asked: this is on every build's way."""
        if self._mark is None:
            if self._isolation == "auto" and os.geteuid() == 0 and has_capability(CAP_SYS_ADMIN):
                return ""
            from wherry.runtime import modes

            self.executes_in(modes.expected(self._isolation))
        return self._mark or ""

    def earlier(self, step: Step, files: Files) -> Digest | None:
        """The layer that the step gave when it copied other files of its context."""
        if self.control.executes(step) or not isinstance(files, Context):
            return None
        return recall.earlier(self._keys.recipe(step), files)

    def made(self, step: Step, files: Files, layer: Digest) -> None:
        """Keep the layer, made by `operations/copy.py` alone, for `earlier`."""
        if isinstance(files, Context):
            recall.made(self._keys.recipe(step), files, layer)

    def duration(self, step: Step) -> float:
        """How long executing the step took last, whatever it stood on; a guess where it never was."""
        seconds = self._store.records.seconds(self._keys.recipe(step))
        return (1.0 if isinstance(step.operation, Run) else 0.1) if seconds is None else seconds


def mark_of(mode: Mode) -> str:
    """What keeps results that were made in a mode apart from those of others."""
    return "" if mode.is_exact else f" in {mode.name}"


def run_trace_keys(done: Digest, marks: Iterable[str]) -> tuple[Digest, ...]:
    """The keys of a RUN's traces, by its recipe."""
    nothing = ChainIds().of(())
    return tuple(exact_key(done, nothing, f"{_OBSERVED}{mark}") for mark in dict.fromkeys(marks))


def looked_at(step: Step, parent: Chain, inputs: Sequence[Chain]) -> tuple[Chain, ...]:
    """The root filesystems that a step's traces are about: what a COPY takes is in its key."""
    return (parent,) if isinstance(step.operation, Copy) else (parent, *inputs)


def _reused(result: Result) -> Made:
    return Made(result.layer, reused=True, went=Went(EXACT, result.seconds, result.layer))


def _observed(step: Step, found: Found) -> Made:
    layer = found.result.layer
    went = Went(OBSERVED, found.result.seconds, layer)
    if not isinstance(step.operation, Run):
        return Made(layer, reused=True, observed=True, went=went)
    went = went._replace(copied=found.copied, read=len(found.read), names=found.names)
    return Made(layer, reused=True, observed=True, reason=str(found), went=went)
