"""What the steps of a kept build looked at of the files that were copied, and which nothing needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.account import Account, counts
from wherry.build.files import Trees
from wherry.build.gather import gather
from wherry.build.kept import Build, Place
from wherry.build.records import mark_of, run_trace_keys
from wherry.build.solve import Chain
from wherry.build.step import Copy, Mount, recipe
from wherry.build.viewfiles import ViewFiles
from wherry.layer.entry import DIRECTORY, FILE, HARDLINK, SYMLINK
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.snapshot.differences import CONTENT, NAMES
from wherry.snapshot.names import NameCache
from wherry.snapshot.observations import joined, top
from wherry.snapshot.view import View
from wherry.store.store import Store
from wherry.store.traces import Trace

_FILES = (FILE, SYMLINK, HARDLINK)


class Read(NamedTuple):
    """`how`: content, names (of a folder that was listed), existence (kind, mode and owner), or absent."""

    path: str
    how: tuple[str, ...]


class Reads(NamedTuple):
    """Of a RUN: of `copied` files below it and in its mounts, what it looked at. None where that is unknown,
    and `unknown` says why."""

    copied: int
    read: tuple[Read, ...] | None
    unknown: str = ""


class Unused(NamedTuple):
    """Of `copied` files that the step `number` copied from the context, those that nothing needs. `needs_all`
    are the numbers of steps of which it is not known what they need; where nothing is known, `unknown` says
    why. `folders` are the same files in short, and how many: `docs/` where that is all that is in it."""

    number: int
    copied: int = 0
    files: tuple[str, ...] = ()
    needs_all: tuple[int, ...] = ()
    unknown: str = ""
    folders: tuple[tuple[str, int], ...] = ()


_GONE = "layers of this build are not in the store any more"


class Reader:
    """Reads the traces of one build."""

    def __init__(self, store: Store, build: Build, account: Account, images: Sequence[Chain] | None) -> None:
        """`images` are the chains of the final images, one for each platform."""
        self._store = store
        self._build = build
        self._account = account
        self._images = images or ()
        self.layers = Layers(store)
        self.names = NameCache(self.layers)

    def view(self, chain: Chain) -> View:
        return View(self.layers, chain, self.names)

    def reads(self, number: int) -> Reads | None:
        """Of the step `number`; None where that is no RUN, or it had nothing to read."""
        place = self._build.places[number]
        if place.kind != "Run" or place.parent is None:
            return None
        try:
            return self._reads(number, place, place.parent)
        except WherryError:
            return Reads(0, None, _GONE)

    def _reads(self, number: int, place: Place, parent: Chain) -> Reads | None:
        copied = self._copied_below(place)
        shown = [mount for mount in place.run.mounts if mount.kind == "bind" and mount.input is not None]
        if not copied and not shown:
            return None
        trace = self._trace(number)
        mounted = {mount.target: self._mounted(place, mount) for mount in shown}
        count = sum(kind in _FILES for kind in copied.values()) + sum(map(len, mounted.values()))
        if trace is None:
            return Reads(count, None, self._why_unknown(number))
        looked = self._looked(trace, 0, copied)
        found = list(_reads(looked, copied, self.view(parent)))
        for mount in shown:
            assert mount.input is not None
            found += self._reads_of(trace, mount, mounted[mount.target])
        return Reads(count, tuple(sorted(found)))

    def _copied_below(self, place: Place) -> dict[str, str]:
        """The kinds of what COPY and ADD have put into the root filesystem that a step began with."""
        copies = {
            went.layer
            for other, went in zip(self._build.places, self._account.steps, strict=True)
            if other.kind == "Copy" and went.layer
        }
        return {
            path: entry.kind
            for layer in place.parent or ()
            if layer in copies
            for path, entry in self.names.of(layer).entries.items()
            if path
        }

    def _mounted(self, place: Place, mount: Mount) -> dict[str, str]:
        """The kinds of the files that a mount shows, by their paths in the tree that it is of."""
        assert mount.input is not None
        view = self.view(place.inputs[mount.input])
        below = view.walk(view.resolve(mount.source))
        return {found.entry.path: found.entry.kind for found in below if found.entry.kind in _FILES}

    def _reads_of(self, trace: Trace, mount: Mount, shown: Mapping[str, str]) -> Iterator[Read]:
        assert mount.input is not None
        tree = self.view(trace.chains[mount.input + 1])
        source = tree.resolve(mount.source).strip("/")
        for read in _reads(self._looked(trace, mount.input + 1, shown), shown, tree):
            yield read._replace(path=shown_at(mount, source, read.path))

    def _looked(self, trace: Trace, tree: int, paths: Mapping[str, str]) -> dict[str, int]:
        return joined(self._store.traces.parts(trace.id, tree, {top(path) for path in paths}))

    def _trace(self, number: int) -> Trace | None:
        """What was looked at when the result was made that the step has; best on the same layers."""
        place, went = self._build.places[number], self._account.steps[number]
        if not went.result:
            return None
        done = self._recipe(place)
        marks = ["", *(mark_of(modes.Mode(name)) for name in modes.NAMES)]
        traces = [trace for key in run_trace_keys(done, marks) for trace in self._store.traces.of(key)]
        fitting = [
            trace
            for trace in traces
            if trace.layer == went.layer and len(trace.chains) == 1 + len(place.inputs)
        ]
        same = [trace for trace in fitting if trace.chains == (place.parent, *place.inputs)]
        return next(iter(same or fitting), None)

    def _recipe(self, place: Place) -> Digest:
        return recipe(place.run, place.platform, self._account.epoch, self._account.timestamps)

    def _why_unknown(self, number: int) -> str:
        place, went = self._build.places[number], self._account.steps[number]
        record = self._store.records.of_recipe(self._recipe(place))
        return went.unobserved or (record.result.unobserved if record else "") or "what it read is not kept"

    # what nothing needs

    def unused(self) -> list[Unused]:
        """For each COPY and ADD of files of the context."""
        found = []
        for number, (place, went) in enumerate(zip(self._build.places, self._account.steps, strict=True)):
            has_sources = place.copy is not None and len(place.needs) == 1 and place.copy.patterns
            if has_sources and counts(place.name) and went.layer:
                try:
                    found.append(self._unused_of(number, went.layer))
                except WherryError:
                    found.append(Unused(number, unknown=_GONE))
        return found

    def _unused_of(self, number: int, layer: Digest) -> Unused:
        entries = self.names.of(layer).entries
        copied = {path for path, entry in entries.items() if entry.kind in _FILES}
        files = set(copied)
        needs_all = []
        for image in self._images:
            if layer not in image:
                continue
            final = self.view(image)
            files -= {path for path in files if (found := final.lookup(path)) and found.diff_id == layer}
        for user, place in enumerate(self._build.places) if files else ():
            needed = self._needed_by(user, place, layer, files)
            if needed is None:
                needs_all.append(user)
            else:
                files -= needed
        if needs_all:
            return Unused(number, len(copied), needs_all=tuple(needs_all))
        folders = tuple(in_short(copied, files))
        return Unused(number, len(copied), tuple(sorted(files)), folders=folders)

    def _needed_by(self, number: int, place: Place, layer: Digest, files: set[str]) -> set[str] | None:
        """Which of `files`, of `layer`, a step needs; None where that is not known."""
        if place.kind == "Copy":
            inputs = [chain for chain in place.inputs if layer in chain]
            return self._copied_by(place.copy, inputs[0]) if inputs and place.copy else set()
        chains = (place.parent or (), *place.inputs)
        if place.kind != "Run" or not any(layer in chain for chain in chains):
            return set()
        trace = self._trace(number)
        if trace is None:
            return None
        needed: set[str] = set()
        for tree, chain in enumerate(chains):
            if layer in chain:
                looked = joined(self._store.traces.parts(trace.id, tree, {top(path) for path in files}))
                needed |= looked.keys() & files
        return needed

    def _copied_by(self, operation: Copy, chain: Chain) -> set[str] | None:
        """What a COPY takes from the root filesystem `chain`."""
        try:
            taken = gather(operation, Trees(ViewFiles(self.view(chain), operation.source_label)))
        except WherryError:
            return None
        return {item.entry.path for item in taken.items}


def in_short(copied: Set[str], chosen: Set[str]) -> Iterator[tuple[str, int]]:
    """The paths `chosen` of those that were copied, and how many: a folder where all in it are chosen."""
    whole: dict[str, list[int]] = {}
    for path in copied:
        for folder in _above(path):
            counts = whole.setdefault(folder, [0, 0])
            counts[0] += 1
            counts[1] += path in chosen
    told: set[str] = set()
    for path in sorted(chosen):
        folder = next((name for name in _above(path) if whole[name][0] == whole[name][1]), "")
        if folder not in told:
            yield (f"{folder}/", whole[folder][0]) if folder else (path, 1)
            told |= {folder} if folder else set()


def _above(path: str) -> Iterator[str]:
    """The folders that a path is in, the highest first."""
    for at, letter in enumerate(path):
        if letter == "/":
            yield path[:at]


def shown_at(mount: Mount, source: str, path: str) -> str:
    """Where a path of the tree that is mounted lies in the root filesystem; `source` has no links."""
    target = mount.target.strip("/")
    inner = path[len(source) :].strip("/") if f"{path}/".startswith(f"{source}/") or not source else path
    return f"{target}/{inner}".rstrip("/")


def _reads(looked: Mapping[str, int], copied: Mapping[str, str], view: View) -> Iterator[Read]:
    """Of folders that they were listed; that they were passed through says nothing."""
    folders = {path for path, kind in copied.items() if kind == DIRECTORY}
    for path, bits in looked.items():
        kind = copied.get(path)
        if kind == DIRECTORY and bits & NAMES:
            yield Read(path, ("names",))
        elif kind in _FILES:
            yield Read(path, ("content" if bits & CONTENT else "existence",))
        elif kind is None and path.rpartition("/")[0] in folders and view.lookup(path) is None:
            yield Read(path, ("absent",))


def images_of(store: Store, build: Build, account: Account) -> list[Chain] | None:
    """The chains of the images that a build gave; None where it failed."""
    if build.failure is not None or not build.places:
        return None
    if not build.ends and build.image and store.images.has(Digest(build.image)):
        return [store.images.get(Digest(build.image)).config.diff_ids]
    return [_left_by(build, account, number) for number in build.ends or (-1,)]


def _left_by(build: Build, account: Account, number: int) -> Chain:
    layer = account.steps[number].layer
    return (*(build.places[number].parent or ()), *((layer,) if layer else ()))
