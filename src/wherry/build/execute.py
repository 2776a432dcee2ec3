"""Executing steps: all that a build needs only when something has to be done.

Kept apart from `worker.py` because importing this costs more than a whole build with nothing to do.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from wherry.base.errors import WherryError, reason
from wherry.base.events import Emit, Note
from wherry.base.tuples import NamedTuple
from wherry.build import left
from wherry.build.account import Went
from wherry.build.files import Trees
from wherry.build.gather import Gathered, gather, unknown_bytes, with_digests
from wherry.build.left import Left
from wherry.build.lending import Agent, Secret
from wherry.build.operations import copy as copying
from wherry.build.operations import folder, mounts, process, run
from wherry.build.records import Recorder
from wherry.build.solve import Cancelled, Chain, Made
from wherry.build.sources import Sources
from wherry.build.step import Copy, Folder, Run, Step
from wherry.build.turns import Turns
from wherry.build.viewfiles import ViewFiles
from wherry.build.watch import Watch, unwatched
from wherry.layer.writer import Layer
from wherry.oci import platform as platforms
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.runtime.helper import ExecFailed, Running
from wherry.runtime.init import linux
from wherry.runtime.mounts import remove_created
from wherry.runtime.native import UNHEARD
from wherry.runtime.runtime import Runtime
from wherry.runtime.runtimes import open_runtime
from wherry.runtime.spec import NATIVE, Container, Emulator
from wherry.snapshot import changes
from wherry.snapshot.noting import NotingView
from wherry.snapshot.observations import is_kept
from wherry.snapshot.overlay import Mounted
from wherry.snapshot.ownership import Ownership, read_journal
from wherry.snapshot.snapshotter import Snapshotter, choose, open_snapshotter
from wherry.snapshot.tracks import Incomplete, Tree
from wherry.snapshot.view import View
from wherry.store.records import Result
from wherry.store.store import Store


class Settings(NamedTuple):
    """How steps are executed."""

    build: str
    """Names the build in the names of its logs."""
    has_processes: bool = True
    """Whether any step is a RUN. Copying alone needs no mount, no namespace and no helper."""
    isolation: str = "auto"
    snapshotter: str = "auto"
    watched: frozenset[int] = frozenset()
    """The numbers of the steps whose processes are observed."""
    exact_cache: bool = False
    """Whether none is, because nobody would ask."""
    surroundings: run.Surroundings = run.Surroundings()
    secrets: tuple[Secret, ...] = ()
    agents: tuple[Agent, ...] = ()
    first_pid: int = 0
    """Where the numbers of a RUN's processes begin, if it can be chosen; 0: where they do."""
    processors: frozenset[int] = frozenset()
    """Those that RUNs may use; none: all that there are."""


class _Begin(NamedTuple):
    """When a step began: by the clock, and by one that nobody sets."""

    time: float
    monotonic: float

    @classmethod
    def now(cls) -> _Begin:
        return cls(time.time(), time.monotonic())

    def ended(self, layer: Layer | None, networked: bool = False) -> Result:
        """What has come of it, by now."""
        seconds = time.monotonic() - self.monotonic
        return Result(layer.diff_id if layer else None, seconds, self.time, networked)


class _Ran(NamedTuple):
    """What a process changed, what it looked at (nothing where that cannot be told, for the reason
    `unobserved`), and whether it may have used the network."""

    layer: Layer | None
    looked: list[Tree]
    networked: bool
    unobserved: str


class Executor:
    """Executes steps from several threads."""

    def __init__(
        self, store: Store, recorder: Recorder, sources: Sources, settings: Settings, emit: Emit
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._sources = sources
        self._settings = settings
        self._emit = emit
        # Only a process without threads can get the namespace of its own that mounts need.
        mode = modes.enter(settings.isolation) if settings.has_processes else None
        if mode is None:
            modes.enter_as_user()
        else:
            self._tell(mode)
        store.sweep()
        self._layers = recorder.reuse.layers
        self._names = recorder.reuse.names
        self._held = ExitStack()
        self._snapshots = self._open_snapshots(mode) if mode else None
        self._lender = mounts.Lender(
            store,
            self._layers,
            settings.secrets,
            settings.agents,
            self._check_not_cancelled,
            may_mount=mode is None or mode.may_mount,
        )
        self._runtime = self._open_runtime(mode) if mode else None
        self._turns = Turns(store, recorder, emit, self._check_not_cancelled)
        self._processes: set[Running] = set()
        self.left: dict[int, Left] = {}
        """What failed processes left, by the numbers of their steps; until `close`."""
        self._cancelled = False
        self._answers = mode is not None and mode.answers
        self._obstacle = self._obstacle_in(mode) if mode else ""
        self._has_told = False
        self._lock = threading.Lock()

    def _tell(self, mode: modes.Mode) -> None:
        self._recorder.executes_in(mode)
        if mode.loss:
            self._emit(Note("info", f"{mode.loss}; `wherry info` says how to get a better one"))

    def _obstacle_in(self, mode: modes.Mode) -> str:
        """What lets no process be observed."""
        if not mode.may_mount:
            return f"the mode {mode.name} lets no process be observed"
        runtime = self._settings.surroundings.conditions.runtime
        if runtime not in ("", NATIVE):
            return f"{os.path.basename(runtime)} lets no process be observed"
        return ""

    def _open_snapshots(self, mode: modes.Mode) -> Snapshotter:
        choice = choose(self._store, self._settings.snapshotter, may_mount=mode.may_mount)
        return self._held.enter_context(open_snapshotter(self._store, self._layers, choice.name))

    def _open_runtime(self, mode: modes.Mode) -> Runtime:
        folder = self._held.enter_context(self._store.scratch("runtime"))
        name = self._settings.surroundings.conditions.runtime
        return self._held.enter_context(open_runtime(name, folder, may_mount=mode.may_mount))

    def execute(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        try:
            with self._turns.taken(step, parent, inputs) as made:
                return made if made is not None else self._executed(step, parent, inputs)
        except WherryError as error:
            error.where = error.where or step.where
            raise

    def _executed(self, step: Step, parent: Chain, inputs: list[Chain]) -> Made:
        if isinstance(step.operation, Copy):
            return self._copy(step, step.operation, parent, inputs)
        if isinstance(step.operation, Run):
            return self._run(step, step.operation, parent, inputs)
        assert isinstance(step.operation, Folder)
        self._recorder.missed(step, parent, inputs)
        began = _Begin.now()
        tree = Tree(self._view(parent))
        layer = folder.execute(step.operation, NotingView(tree), self._layers, self._mtime)
        result = began.ended(layer)
        self._recorder.write(step, parent, inputs, result)
        self._recorder.trace(step, [tree], result)
        return Made(result.layer)

    def _copy(self, step: Step, operation: Copy, parent: Chain, inputs: list[Chain]) -> Made:
        began = _Begin.now()
        with self._taken(step, operation, inputs) as (trees, gathered):
            contents: tuple[str, ...] = ()
            if unknown_bytes(gathered) is None:
                contents = self._recorder.contents.whole(step, gathered)
                made = self._known(step, parent, inputs, contents)
                if made is not None:
                    return made
            self._recorder.missed(step, parent, inputs, contents)
            tree = Tree(self._view(parent))
            earlier = self._recorder.earlier(step, trees.files)
            copied = copying.execute(
                operation, gathered, trees, NotingView(tree), self._layers, self._recorder.times, earlier
            )
            contents = self._recorder.contents.whole(step, copied.gathered)
            if copied.layer is not None and not copied.is_foreign:
                self._recorder.made(step, trees.files, copied.layer.diff_id)
        result = began.ended(copied.layer)
        self._recorder.write(step, parent, inputs, result, contents)
        for content in contents:
            self._recorder.trace(step, [tree], result, content)
        return Made(result.layer)

    @contextmanager
    def _taken(self, step: Step, operation: Copy, inputs: list[Chain]) -> Iterator[tuple[Trees, Gathered]]:
        """The trees that a COPY takes from, and what it takes."""
        if inputs:
            trees = Trees(ViewFiles(self._view(inputs[0]), operation.source_label))
            yield trees, gather(operation, trees)
            return
        with self._sources.opened(operation, step.number + 1) as trees:
            if self._sources.has_to_fetch(operation):
                # Read twice at the worst, but a branch that moved on may not have moved these files.
                yield trees, with_digests(gather(operation, trees), trees)
            else:
                yield trees, self._recorder.contents.gathered(step, trees)

    def _run(self, step: Step, operation: Run, parent: Chain, inputs: list[Chain]) -> Made:
        began = _Begin.now()
        shown = [mounts.Input(chain, self._view(chain)) for chain in inputs]
        contents = (mounts.content(operation, shown) if shown else "",)
        made = self._known(step, parent, inputs, contents) if shown else None
        if made is not None:
            return made
        self._recorder.missed(step, parent, inputs, contents)
        ran = self._logged(step, operation, parent, shown)
        result = began.ended(ran.layer, ran.networked)._replace(unobserved=ran.unobserved)
        self._recorder.write(step, parent, inputs, result, contents)
        if ran.looked:
            self._recorder.trace(step, ran.looked, result)
        return Made(result.layer, went=Went(unobserved=ran.unobserved))

    def again(self, step: Step, parent: Chain, inputs: list[Chain]) -> Digest | None:
        """The layer that the step gives when it is executed. Nothing is looked up, and nothing recorded."""
        operation = step.operation
        try:
            if isinstance(operation, Run):
                shown = [mounts.Input(chain, self._view(chain)) for chain in inputs]
                layer = self._logged(step, operation, parent, shown).layer
            elif isinstance(operation, Copy):
                with self._taken(step, operation, inputs) as (trees, gathered):
                    layer = copying.execute(
                        operation, gathered, trees, self._view(parent), self._layers, self._recorder.times
                    ).layer
            else:
                assert isinstance(operation, Folder)
                layer = folder.execute(operation, self._view(parent), self._layers, self._mtime)
        except WherryError as error:
            error.where = error.where or step.where
            raise
        return layer.diff_id if layer else None

    def _logged(self, step: Step, operation: Run, parent: Chain, shown: list[mounts.Input]) -> _Ran:
        """The process, run to its end; its output is kept where it failed."""
        assert self._runtime is not None
        emulator = self._runtime.emulator(platforms.parse(step.platform))
        log = run.Log(self._log_path(step), step.number + 1, self._emit)
        failed = True
        try:
            ran = self._ran(step, operation, parent, shown, log, emulator)
            failed = False
        finally:
            log.close(keep=failed)
        return ran

    def _ran(
        self,
        step: Step,
        operation: Run,
        parent: Chain,
        shown: list[mounts.Input],
        log: run.Log,
        emulator: Emulator | None,
    ) -> _Ran:
        assert self._snapshots is not None
        view = self._view(parent)
        is_watched = step.number in self._settings.watched
        with self._store.scratch("run") as scratch:
            try:
                with (
                    self._lender.lend(operation, shown, scratch, self._snapshots) as lent,
                    self._snapshots.mounted(parent, scratch, view=view, mountpoints=lent.places) as mounted,
                ):
                    log.mask(lent.secrets)
                    watch = Watch(view, [item.view for item in shown], scratch, is_watched)
                    container = run.container(
                        operation, mounted.path, watch.view, scratch, self._settings.surroundings, lent
                    )
                    container = container._replace(
                        upper=mounted.upper,
                        journal=f"{scratch}/journal",
                        emulator=emulator,
                        first_pid=self._settings.first_pid,
                    )
                    container = watch.observing(container)
                    self._process(container, operation, scratch, log)
            except run.Failure as failure:
                self._leave(step, mounted, failure, log)
                raise
            layer = changes.commit(
                self._layers,
                mounted.upper,
                watch.view,  # what a layer has depends on what is below it: that was looked at too
                clamp=self._recorder.times.limit,
                mountpoints=lent.places,
                told=mounted.told,
                ownership=_ownership(container),
            )
            looked, unobserved = self._looked(step, watch, container, operation)
            return _Ran(layer, looked, watch.networked(container), unobserved)

    def _looked(
        self, step: Step, watch: Watch, container: Container, operation: Run
    ) -> tuple[list[Tree], str]:
        """What was looked at, or why that cannot be told."""
        if step.number not in self._settings.watched:
            return [], unwatched(operation, self._settings.exact_cache)
        try:
            trees = watch.trees(container, operation)
        except Incomplete as problem:
            return [], self._obstacle or str(problem)
        if not all(is_kept(tree.found) for tree in trees):
            return [], "it looked at more names than can be kept"
        return trees, ""

    def _known(
        self, step: Step, parent: Chain, inputs: list[Chain], contents: tuple[str, ...]
    ) -> Made | None:
        """A result from the same files."""
        if self._recorder.control.executes(step):
            return None
        return self._recorder.known(step, parent, inputs, contents)

    def _process(self, container: Container, operation: Run, scratch: str, log: run.Log) -> None:
        """Run to the end; `run.Failure` where it did not succeed."""
        self._check_not_cancelled()
        assert self._runtime is not None
        command = " ".join(operation.args)
        resources = self._settings.surroundings.conditions.resources
        processors = self._settings.processors
        try:
            ended = process.execute(
                self._runtime, container, resources, scratch, log, self._started, processors
            )
        except ExecFailed as error:
            raise run.Failure(command, error.message, error.exit_code, log) from None
        remove_created(container.rootfs, ended.process.created)
        with self._lock:
            self._processes.discard(ended.process)
        self._check_not_cancelled()
        if ended.code:
            raise run.Failure(command, ended.reason, ended.code, log)

    def _leave(self, step: Step, mounted: Mounted, failure: run.Failure, log: run.Log) -> None:
        """Take over what the process left: it is nowhere else when the step is over."""
        try:
            folder = self._held.enter_context(self._store.scratch("left"))
            path, withheld = left.take(mounted, folder, self._lender.values())
        except (OSError, WherryError) as error:
            # What the step itself says matters more.
            failure.hint += f"\nits state could not be kept: {reason(error)}"
            return
        self.left[step.number] = Left(path, failure.why, failure.code, log.path, withheld)

    def _check_not_cancelled(self) -> None:
        with self._lock:
            if self._cancelled:
                raise Cancelled()

    def _started(self, process: Running) -> None:
        with self._lock:
            if self._answers and not (process.is_heard or self._has_told):
                self._has_told = True
                self._emit(Note("warning", UNHEARD))
            self._processes.add(process)
            if self._cancelled:
                process.kill()

    def _view(self, chain: Chain) -> View:
        return View(self._layers, chain, self._names)

    @property
    def _mtime(self) -> int:
        return self._recorder.times.fixed

    def _log_path(self, step: Step) -> str:
        return self._store.path("logs", f"{self._settings.build}-{step.number + 1}.log")

    def cancel(self) -> None:
        """End the processes of all steps."""
        with self._lock:
            self._cancelled = True
            for process in self._processes:
                process.kill()
        self._sources.cancel()

    def close(self) -> None:
        self._held.close()


def _ownership(container: Container) -> Ownership:
    user = container.process.user
    return Ownership(user.uid, user.gid, read_journal(container.journal), linux.identity)
