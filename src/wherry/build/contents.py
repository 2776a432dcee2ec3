"""What comes into a step from elsewhere, as its keys say it: copied files, mounts, what is fetched.

The digest of a COPY's files says it best. For a COPY from another stage that needs the stage's indexes, so
the stage's chain ID is asked first, which is known at once: same chain, same files. So it is with a RUN that
mounts something of other steps, and with what has to be fetched: a commit or a file's digest can be had
without its files.
"""

from __future__ import annotations

import threading

from wherry.build import recall
from wherry.build.context import Context
from wherry.build.files import Trees
from wherry.build.gather import Gathered, content_of, gather, unknown_bytes, with_digests
from wherry.build.solve import Chain
from wherry.build.sources import Sources
from wherry.build.step import Copy, Step
from wherry.build.times import Times
from wherry.oci.digest import ChainIds

_HASH_AT_ONCE = 4 * 1024 * 1024
"""Bytes of unknown files that a look-up reads; where there are more, copying reads them on its way."""

_BY_NAME = ("chain", "fetched")
"""What stands for whole trees begins so: which part of them is copied is for the recipe to say."""


class Contents:
    """Of one build's steps; for several threads. `reads_all`: a result may come from far, so it is worth
    reading more than a little to find it."""

    def __init__(self, sources: Sources, times: Times, chains: ChainIds, *, reads_all: bool) -> None:
        self._sources = sources
        self._times = times
        self._chains = chains
        self._reads_all = reads_all
        self._gathered: dict[int, Gathered] = {}
        self._digests: dict[int, tuple[Gathered, str]] = {}
        """The digest of what each step copies, with what it is of."""
        self._answers: dict[int, list[recall.Answer]] = {}
        """What the context said when that was gathered, where it proves something."""
        self._lock = threading.Lock()

    def cheap(self, step: Step, inputs: list[Chain]) -> str | None:
        """What a key says of what comes in from elsewhere; None where much would have to be read to tell."""
        operation = step.operation
        if inputs:
            return self.of_chains(inputs)
        if not isinstance(operation, Copy):
            return ""
        if self._sources.has_to_fetch(operation):
            return self._fetched(operation)
        with self._sources.local(operation) as trees:
            files = trees.files
            if isinstance(files, Context) and (content := recall.recalled(operation, files, self._times)):
                return content
            gathered = self._hashed(self.gathered(step, trees), trees, operation)
        if gathered is None:
            return None
        self._gathered[step.number] = gathered
        return self.whole(step, gathered)[0]

    def gathered(self, step: Step, trees: Trees) -> Gathered:
        """What a COPY that fetches nothing copies; its context is walked once for each step."""
        assert isinstance(step.operation, Copy)
        with self._lock:
            if step.number not in self._gathered:
                self._gathered[step.number] = gather(step.operation, trees)
                if isinstance(trees.files, Context) and (answers := trees.files.seen.answers):
                    self._answers[step.number] = answers
            return self._gathered[step.number]

    def whole(self, step: Step, gathered: Gathered) -> tuple[str, ...]:
        """All that a COPY's keys may say of its content, once every digest is known."""
        operation = step.operation
        assert isinstance(operation, Copy)
        content = self._content(step, gathered, operation)
        if step.inputs:
            return (content,)
        if not self._sources.has_to_fetch(operation):
            self._remember(step, operation, content)
            return (content,)
        fetched = self._sources.identity(operation)
        assert fetched is not None
        has_local = bool(self._sources.at_hand(operation))
        local = tuple(item for item in gathered.items if has_local and not item.origin and item.data is None)
        return (content, _fetched_content(fetched, Gathered(local), operation, self._times))

    def of_chains(self, inputs: list[Chain]) -> str:
        """By the layers that the inputs are made of."""
        return f"chain {' '.join(map(self._chains.of, inputs))}"

    def _content(self, step: Step, gathered: Gathered, operation: Copy) -> str:
        """Made once for what is not read again."""
        known = self._digests.get(step.number)
        if known is None or known[0] is not gathered:
            content = content_of(gathered, operation.unpack, self._times)
            known = self._digests[step.number] = (gathered, content)
        return known[1]

    def _remember(self, step: Step, operation: Copy, content: str) -> None:
        """For the next build; see `recall.py`."""
        if answers := self._answers.get(step.number):
            with self._sources.local(operation) as trees:
                assert isinstance(trees.files, Context)
                recall.remember(operation, trees.files, answers, content, self._times)

    def _fetched(self, operation: Copy) -> str | None:
        """What is known of a COPY's content before anything is fetched."""
        fetched = self._sources.identity(operation)
        if fetched is None:
            return None
        patterns = self._sources.at_hand(operation)
        if not patterns:
            return _fetched_content(fetched, Gathered(()), operation, self._times)
        local_part = operation._replace(patterns=patterns, inline=(), remotes=())
        with self._sources.local(operation) as trees:
            local = self._hashed(gather(local_part, trees), trees, operation)
        return None if local is None else _fetched_content(fetched, local, operation, self._times)

    def _hashed(self, gathered: Gathered, trees: Trees, operation: Copy) -> Gathered | None:
        """With every digest; None where that would take long."""
        unknown = unknown_bytes(gathered)
        if unknown is None:
            return gathered
        if unknown > _HASH_AT_ONCE and not operation.unpack and not self._reads_all:
            return None
        return with_digests(gathered, trees)


def stands_for_trees(content: str) -> bool:
    """Whether it says where files come from, and not what they are."""
    return content.startswith(_BY_NAME)


def _fetched_content(fetched: str, local: Gathered, operation: Copy, times: Times) -> str:
    """`local` is what lies in a folder of this machine; of what was fetched, its identity says all."""
    plain = local._replace(lone=False, nothing=False)
    return f"fetched {fetched} {content_of(plain, operation.unpack, times)}"
