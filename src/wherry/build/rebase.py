"""`wherry rebase`: an image's own layers on another base, where a build would give the same ones.

The Dockerfile is planned once more with the new base in the place of the old one, so the config is that of a
build. The layer of a step stays if all that the step looked at is the same there: its trace tells, as it does
for any result that is reused (`reuse.py`). Nothing is executed, and no file of the context is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wherry.base.errors import NotFound, WherryError
from wherry.base.text import clipped
from wherry.base.tuples import NamedTuple
from wherry.build import blueprint, comparing, keeping, misses
from wherry.build.account import Change, Miss
from wherry.build.blueprint import Blueprint, Known, below, identity
from wherry.build.files import Trees
from wherry.build.gather import content_of, gather, with_digests
from wherry.build.plan import Plan, config_of
from wherry.build.records import Keys, looked_at, mark_of
from wherry.build.reuse import Reuse
from wherry.build.solve import Chain, Outcome
from wherry.build.step import Base, Copy, Run, Step
from wherry.build.viewfiles import ViewFiles
from wherry.image.squash import squash
from wherry.oci.config import ImageConfig
from wherry.oci.digest import ChainIds, Digest
from wherry.oci.platform import Platform
from wherry.runtime import modes
from wherry.store import blueprints
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.store.traces import Trace

_LONGEST = 100
"""Characters of a step's name in a message."""
_AGAIN = "build it on the new base: all steps that hold there are reused"

Images = Mapping[tuple[str, Platform], Image]
"""What the names in a Dockerfile mean, for a platform."""


class Moved(NamedTuple):
    """`base` is how the Dockerfile calls what was replaced; `layers` counts the image's own."""

    image: Digest
    base: str
    layers: int


class Refused(WherryError):
    """The image cannot be moved as it is: building it would give something else, or nobody knows."""


def rebase(store: Store, image: Image, onto: Image) -> Moved:
    """The image on the base `onto`, entered without a name. The caller holds the store's lease.

    NotFound where it is not known how the image was built; Refused names the step that cannot stay, and why.
    """
    drawn = _blueprint(store, image)
    images = drawn.images()
    plan = drawn.planned(images)
    known = dict(drawn.steps)
    outcomes = _recorded(plan, known, drawn)
    if outcomes is None or not _is_of(image, _config(store, plan, outcomes, drawn)):
        raise NotFound(
            "this image is not what its Dockerfile gives: another version of wherry or an output made it",
            hint="build it once more: steps whose results are kept take no time",
        )
    key = _base(plan, images)
    moved = drawn._replace(origins=_replaced(store, drawn, key, onto))
    planned = moved.planned(moved.images())
    tests = _Tests(store, drawn, plan, outcomes, known)
    results = tests.all(planned)
    result = store.images.put(_config(store, planned, results, drawn).encode())
    contents = {step.number: tests.contents.get(step.number, ()) for step in planned.steps}
    steps = blueprint.known(planned.steps, results, contents, drawn.times)
    keeping.blueprint(store, result, moved._replace(steps=steps))
    return Moved(result, key[0], len(image.config.diff_ids) - len(images[key].config.diff_ids))


def _blueprint(store: Store, image: Image) -> Blueprint:
    document = blueprints.find(store, image.id)
    if document is None:
        raise NotFound(
            "it is not known how this image was built",
            hint="build it in this store, without --build-context and passwords in URLs: then it can be moved"
            " from base to base",
        )
    return blueprint.read(document)


def _recorded(plan: Plan, known: Mapping[str, Known], drawn: Blueprint) -> list[Outcome] | None:
    """What the steps of the plan gave when the image was built; None where the plan has other steps."""
    outcomes: list[Outcome] = []
    chains = ChainIds()
    for step in plan.steps:
        parent, inputs = below(step, outcomes)
        if isinstance(step.operation, Base):
            outcomes.append(Outcome(step.operation.diff_ids))
            continue
        found = known.get(identity(step, parent, inputs, drawn.times, chains))
        if found is None:
            return None
        outcomes.append(_outcome(parent, found.layer))
    return outcomes


def _outcome(parent: Chain, layer: Digest | None) -> Outcome:
    return Outcome((*parent, layer) if layer else parent, layer)


def _config(store: Store, plan: Plan, outcomes: Sequence[Outcome], drawn: Blueprint) -> ImageConfig:
    """That of the image which a build gives."""
    (aim,) = plan.aims
    config = config_of(aim, outcomes, drawn.labels, drawn.times.epoch)
    return squash(store, config, len(aim.base.diff_ids) if aim.base else 0) if drawn.squash else config


def _is_of(image: Image, config: ImageConfig) -> bool:
    """Whether the image has that config; but for what a cache has put into it."""
    return config.encode() == image.config._replace(other=()).encode()


def _base(plan: Plan, images: Images) -> tuple[str, Platform]:
    """How the Dockerfile calls the image that the target stands on."""
    for key, image in images.items():
        if image.config is plan.aims[0].base:
            return key
    raise Refused("this image stands on no other one: its Dockerfile begins with FROM scratch")


def _replaced(
    store: Store, drawn: Blueprint, key: tuple[str, Platform], onto: Image
) -> tuple[blueprint.Origin, ...]:
    """The new base in the place of the old one, wherever the Dockerfile has it: in other stages too."""
    (new,) = blueprint.origins({key: onto}, store.blobs.read)
    return tuple(new if origin[:2] == new[:2] else origin for origin in drawn.origins)


class _Tests:
    """Whether the steps of an image would give the same on other layers than those they were made on."""

    def __init__(
        self,
        store: Store,
        drawn: Blueprint,
        plan: Plan,
        outcomes: Sequence[Outcome],
        known: Mapping[str, Known],
    ) -> None:
        self._store = store
        self._drawn = drawn
        self._plan = plan
        self._outcomes = outcomes
        self._known = known
        self._keys = Keys(drawn.times)
        self._reuse = Reuse(store)
        self.contents: dict[int, tuple[str, ...]] = {}
        """What is copied, by the steps' numbers."""

    def all(self, planned: Plan) -> list[Outcome]:
        """What all steps of the new plan give. Refused at the first of which it cannot be told."""
        if [type(step.operation) for step in planned.steps] != [
            type(step.operation) for step in self._plan.steps
        ]:
            raise Refused(
                "on the new base the Dockerfile has other steps: its ONBUILD is another", hint=_AGAIN
            )
        results: list[Outcome] = []
        for old, new in zip(self._plan.steps, planned.steps, strict=True):
            results.append(self._one(old, new, results))
        return results

    def _one(self, old: Step, new: Step, results: Sequence[Outcome]) -> Outcome:
        if isinstance(new.operation, Base):
            return Outcome(new.operation.diff_ids)
        stood, stands = below(old, self._outcomes), below(new, results)
        if self._keys.recipe(old) != self._keys.recipe(new):
            raise _changed(old, new, self._outcomes, results)
        layer = self._outcomes[old.number].layer
        contents = self._known[identity(old, *stood, self._drawn.times, self._keys.chains)].contents
        self.contents[new.number] = contents
        if stood != stands:
            if isinstance(new.operation, Copy) and new.inputs:
                contents = (self._copied(new, new.operation, stands[1][0]),)
            self._check(new, stands, contents, layer)
        return _outcome(stands[0], layer)

    def _copied(self, step: Step, operation: Copy, source: Chain) -> str:
        """The digest of what is copied from another stage as it would be."""
        trees = Trees(ViewFiles(self._reuse.view(source), operation.source_label))
        try:
            gathered = with_digests(gather(operation, trees), trees)
        except WherryError as error:
            raise Refused(f"{_named(step)} would fail there: {error.message}", hint=_AGAIN) from None
        return content_of(gathered, operation.unpack, self._drawn.times)

    def _check(
        self, step: Step, stands: tuple[Chain, list[Chain]], contents: tuple[str, ...], layer: Digest | None
    ) -> None:
        """Refused where the step might not give the layer on these chains."""
        chains = looked_at(step, *stands)
        traces = [trace for trace in self._traces(step, contents) if trace.layer == layer]
        told: list[Miss] = []
        for trace in traces:
            if self._holds(trace, chains):
                return
            if miss := misses.differing(self._reuse, trace, chains):
                told.append(miss)
        if told:
            raise _differs(step, told[0])
        if traces:
            raise Refused(
                f"the layers on which {_named(step)} was made are gone: nothing can be compared", hint=_AGAIN
            )
        if isinstance(step.operation, Copy) and step.inputs:
            raise Refused(f"{_named(step)} would copy other files than it has", hint=_AGAIN)
        raise _unknown(self._store, step, self._keys)

    def _traces(self, step: Step, contents: tuple[str, ...]) -> Iterator[Trace]:
        """Of the mode in which the layer was made, whichever that was."""
        marks = ("", *(mark_of(modes.Mode(name)) for name in modes.NAMES))
        keys = (self._keys.traces(step, content, marks) for content in contents or ("",))
        for key in dict.fromkeys(key for some in keys for key in some):
            yield from self._store.traces.of(key)

    def _holds(self, trace: Trace, chains: Sequence[Chain]) -> bool:
        if len(trace.chains) != len(chains):
            return False
        return all(
            self._reuse.broken(trace, tree, old, new) == {}
            for tree, (old, new) in enumerate(zip(trace.chains, chains, strict=True))
        )


def _named(step: Step) -> str:
    return clipped(step.name, _LONGEST)


def _changed(old: Step, new: Step, before: Sequence[Outcome], after: Sequence[Outcome]) -> Refused:
    """The step itself is another one: the new base sets something that it sees."""
    places = keeping.place(old, before), keeping.place(new, after)
    texts = [_change(change) for change in comparing.changes(*places)]
    return Refused(
        f"{_named(new)} would be executed with other settings: the new base has others",
        excerpt="\n".join(texts),
        hint=_AGAIN,
    )


def _change(change: Change) -> str:
    values = (value if value is not None else "not set" for value in (change.old, change.new))
    return f"{change.what} {change.name}".strip() + ": " + " -> ".join(values)


def _differs(step: Step, miss: Miss) -> Refused:
    lines = [f"/{item.path}: {', '.join(item.how)}" for item in miss.differences]
    lines += [f"... and {miss.more} more"] if miss.more else []
    return Refused(
        f"{_named(step)} looked at what is not the same on the new base",
        excerpt="\n".join(lines),
        hint=_AGAIN,
    )


def _unknown(store: Store, step: Step, keys: Keys) -> Refused:
    record = store.records.of_recipe(keys.recipe(step))
    why = record.result.unobserved if record else ""
    return Refused(
        f"it is not known what {_named(step)} looked at" + (f": {why}" if why else ""),
        hint="build it once more with --no-cache --observe=all: then it is known"
        if isinstance(step.operation, Run)
        else _AGAIN,
    )
