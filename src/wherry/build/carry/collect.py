"""What a build knows of its steps, to be carried: their results, and one trace of what each looked at.

A trace is one that holds where this build's step stands, and is told of there: so whoever has it needs to
know no other layers than this build's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wherry.base.errors import WherryError
from wherry.build.carry.document import Content, Document, Looked
from wherry.build.files import Trees
from wherry.build.gather import gather, with_digests
from wherry.build.plan import Plan
from wherry.build.records import Recorder, looked_at
from wherry.build.solve import Chain, Outcome
from wherry.build.step import Base, Copy, Step
from wherry.build.viewfiles import ViewFiles
from wherry.oci.digest import Digest
from wherry.snapshot.observations import joined, split
from wherry.snapshot.view import View
from wherry.store.records import Result
from wherry.store.store import Store
from wherry.store.traces import Trace


def collect(
    store: Store, recorder: Recorder, plan: Plan, outcomes: Sequence[Outcome], whole: bool
) -> Document:
    """The results of all steps with `whole`, else of the image's own. Layers have no content yet."""
    chosen = plan.steps if whole else tuple(own_steps(plan))
    found = [
        _Known(store, recorder, outcomes, step) for step in chosen if not isinstance(step.operation, Base)
    ]
    records = {key: result for known in found for key, result in known.records()}
    traces = {key: [looked] for known in found for key, looked in known.traces()}
    layers = [result.layer for result in records.values() if result.layer]
    layers += [layer for (looked,) in traces.values() for chain in looked.chains for layer in chain]
    return Document(dict.fromkeys(layers, Content()), records, traces)


def own_steps(plan: Plan) -> Iterator[Step]:
    """The steps that the layers of the image, or of all images, are from, the last one first."""
    for aim in plan.aims:
        number: int | None = aim.last
        while number is not None:
            yield plan.steps[number]
            number = plan.steps[number].parent


class _Known:
    """What is known of one step's outcome."""

    def __init__(self, store: Store, recorder: Recorder, outcomes: Sequence[Outcome], step: Step) -> None:
        self._store = store
        self._recorder = recorder
        self._step = step
        self._parent: Chain = () if step.parent is None else outcomes[step.parent].chain
        self._inputs = [outcomes[number].chain for number in step.inputs]
        self._layer = outcomes[step.number].layer
        self._contents = tuple(self._known_contents())
        self._borrowed = recorder.borrowed.get(step.number)
        """What another machine's cache says. Where its layer is not here, nothing of it is the store's."""

    def records(self) -> Iterator[tuple[Digest, Result]]:
        """By their keys, those that say what came out."""
        recorder, parent = self._recorder, self._parent
        found = recorder.written(self._step, parent)
        for content in self._contents:
            found += filter(None, map(recorder.at, recorder.keys(self._step, parent, content)))
        own = [(record.key, record.result) for record in found if record.layer == self._layer]
        if own or not self._borrowed:
            return iter(own)
        keys, hit = self._borrowed
        return ((key, hit.result) for key in keys)

    def traces(self) -> Iterator[tuple[Digest, Looked]]:
        """By their keys, one for each content that the step may have taken in."""
        own = dict(self._own_traces())
        return iter(own.items() if own or not self._borrowed else self._borrowed[1].looked)

    def _own_traces(self) -> Iterator[tuple[Digest, Looked]]:
        chains = looked_at(self._step, self._parent, self._inputs)
        recorder = self._recorder
        for content in self._contents:
            for key in recorder.trace_keys(self._step, content):
                trace = next(recorder.reuse.fitting(key, chains, self._is_outcome), None)
                if trace is not None:
                    yield key, Looked(chains, trace.result, self._observations(trace))

    def _is_outcome(self, result: Result) -> bool:
        return result.layer == self._layer

    def _observations(self, trace: Trace) -> tuple[Mapping[str, bytes], ...]:
        trees = range(len(trace.chains))
        return tuple(split(joined(self._store.traces.parts(trace.id, tree))) for tree in trees)

    def _known_contents(self) -> Iterator[str]:
        yield from self._recorder.taken.get(self._step.number, ())
        operation = self._step.operation
        if isinstance(operation, Copy) and self._inputs:
            # The stage's chain may have been enough to find the result: elsewhere the stage may be another.
            try:
                yield self._copied(operation)
            except WherryError:
                return  # what is in the stage is not in the store

    def _copied(self, operation: Copy) -> str:
        reuse = self._recorder.reuse
        view = View(reuse.layers, self._inputs[0], reuse.names)
        trees = Trees(ViewFiles(view, operation.source_label))
        (content,) = self._recorder.contents.whole(self._step, with_digests(gather(operation, trees), trees))
        return content
