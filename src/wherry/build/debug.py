"""Entering a step of a build that is kept: a process in the state in which the step failed, or began.

It is set up by the same functions as the step's own process: same root filesystem, environment, user, folder
and mounts. What it changes is dropped at its end, unless it is to be kept; what it was lent is nowhere then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from wherry.base.errors import NotFound, UsageError
from wherry.base.tuples import NamedTuple
from wherry.build import picking, shells
from wherry.build.kept import FAILED, Build, Place
from wherry.build.lending import Agent, Secret
from wherry.build.operations import mounts, process, run
from wherry.build.shells import Shell
from wherry.build.solve import Chain
from wherry.build.step import Mount, Run
from wherry.container.attach import foreground
from wherry.layer.layers import Layers
from wherry.oci import platform as platforms
from wherry.runtime import modes
from wherry.runtime.init import linux
from wherry.runtime.mounts import remove_created
from wherry.runtime.runtime import Runtime
from wherry.runtime.runtimes import open_runtime
from wherry.runtime.spec import Container
from wherry.snapshot.names import NameCache
from wherry.snapshot.overlay import Mounted
from wherry.snapshot.snapshotter import Snapshotter, choose_again, open_snapshotter
from wherry.snapshot.view import View
from wherry.store.builds import Builds, Kept
from wherry.store.store import Store

Tell = Callable[[str], None]


class Wanted(NamedTuple):
    """What to do there: `arguments` in place of the shell, as `user` and in `folder` in place of the step's
    own. With `keep` the state is what it leaves, and not what the step left."""

    arguments: tuple[str, ...] = ()
    terminal: bool = False
    user: str = ""
    folder: str = ""
    keep: bool = False
    secrets: tuple[Secret, ...] = ()
    agents: tuple[Agent, ...] = ()
    proxies: tuple[tuple[str, str], ...] = ()


class State(NamedTuple):
    """`place` is the step that is entered; `folder` keeps what its process left, empty where there is
    nothing of that."""

    build: Build
    place: Place
    folder: str = ""


def enter(store: Store, kept: Kept, number: int, wanted: Wanted, tell: Tell) -> int:
    """Run a shell, or `wanted.arguments`, at the step `number` of a build; its exit code.

    `tell` is called with lines for the user, before it begins. Raises NotFound where layers of the step are
    gone, UsageError where there is nothing to be changed, ExecFailed where the program cannot be executed.
    """
    build = picking.build_of(kept)
    mode = modes.enter(build.isolation)
    with (
        store.lease(),
        _opened(store, kept, build, number, wanted) as state,
        store.scratch("debug") as scratch,
    ):
        return _Session(store, state, wanted, scratch, mode, tell).run()


@contextmanager
def _opened(store: Store, kept: Kept, build: Build, number: int, wanted: Wanted) -> Iterator[State]:
    place = build.places[number]
    if place.parent is None:
        raise NotFound(
            f"the build did not come as far as {place.name}",
            hint="`wherry debug` enters the step that failed",
        )
    _check_layers(store, place)
    if place.state != FAILED:
        if wanted.keep:
            raise UsageError("--keep is for failed steps: nothing else has a state that could be changed")
        yield State(build, place)
        return
    with Builds(store).use(kept.id, alone=wanted.keep) as folder:
        has_state = any(os.path.isdir(f"{folder}/{name}") for name in ("upper", "root"))
        yield State(build, place, folder if wanted.keep or has_state else "")
        if wanted.keep:
            Builds(store).resize(kept.id)


def _check_layers(store: Store, place: Place) -> None:
    for chain in (place.parent or (), *place.inputs):
        for layer in chain:
            if not os.path.isdir(store.layers.folder(layer)) and not store.layers.blobs_of(layer):
                raise NotFound(
                    f"layers that {place.name} stands on are not in the store: removed, or not fetched",
                    hint="build it once more, without --cache-from",
                )


class _Session:
    def __init__(
        self, store: Store, state: State, wanted: Wanted, scratch: str, mode: modes.Mode, tell: Tell
    ) -> None:
        self._store = store
        self._mode = mode
        self._state = state
        self._wanted = wanted
        self._scratch = scratch
        self._tell = tell
        self._layers = Layers(store)
        self._names = NameCache(self._layers)
        self._told_to_wait = False
        self._notes: list[str] = []
        """What is other than in the step."""

    def run(self) -> int:
        with ExitStack() as stack:
            snapshots = stack.enter_context(self._snapshotter())
            folder = stack.enter_context(self._store.scratch("runtime"))
            name = self._state.build.conditions.runtime
            runtime = stack.enter_context(open_runtime(name, folder, may_mount=self._mode.may_mount))
            return self._run(snapshots, runtime)

    def _snapshotter(self) -> AbstractContextManager[Snapshotter]:
        """Of the kind that the state was made by, where there is one."""
        wanted = self._state.build.snapshotter
        folder = self._state.folder or self._scratch
        choice = choose_again(self._store, folder, wanted, may_mount=self._mode.may_mount)
        return open_snapshotter(self._store, self._layers, choice.name)

    def _run(self, snapshots: Snapshotter, runtime: Runtime) -> int:
        build, place, wanted = self._state.build, self._state.place, self._wanted
        emulator = runtime.emulator(platforms.parse(place.platform))
        operation = self._lendable(place.run)
        if wanted.user:
            operation = operation._replace(user=wanted.user)
        view = self._view(place.parent or ())
        shown = [mounts.Input(chain, self._view(chain)) for chain in place.inputs]
        lender = mounts.Lender(
            self._store,
            self._layers,
            wanted.secrets,
            wanted.agents,
            self._wait,
            may_mount=self._mode.may_mount,
        )
        with (
            lender.lend(operation, shown, self._scratch, snapshots) as lent,
            self._mounted(snapshots, view, lent.places) as mounted,
        ):
            operation = operation._replace(folder=self._folder(operation, mounted.path))
            surroundings = run.Surroundings(build.host_ca, wanted.proxies, build.network, build.conditions)
            container = run.container(operation, mounted.path, view, self._scratch, surroundings, lent)
            container = container._replace(
                upper=mounted.upper, journal=f"{self._scratch}/journal", emulator=emulator
            )
            container = self._equipped(container, operation)
            with process.placed(runtime, container, build.conditions.resources, self._scratch) as host:
                running = foreground.run(runtime, container, host.ready)
            remove_created(mounted.path, running.created)
        return running.wait()

    def _mounted(
        self, snapshots: Snapshotter, view: View, places: Sequence[str]
    ) -> AbstractContextManager[Mounted]:
        folder, scratch = self._state.folder, self._scratch
        if folder and not self._wanted.keep:
            return snapshots.again(view.diff_ids, scratch, view=view, mountpoints=places, left=folder)
        return snapshots.kept(
            view.diff_ids, folder or scratch, view=view, mountpoints=places, durable=self._wanted.keep
        )

    def _view(self, chain: Chain) -> View:
        return View(self._layers, chain, self._names)

    def _wait(self) -> None:
        """Called before each pause of waiting for a cache."""
        if not self._told_to_wait:
            self._told_to_wait = True
            self._tell("waiting for a cache that another build holds")

    def _lendable(self, operation: Run) -> Run:
        """Without what is not lent again, which the user is told of."""
        given = {("secret", secret.id) for secret in self._wanted.secrets}
        given |= {("ssh", agent.id) for agent in self._wanted.agents}
        absent = [
            mount
            for mount in operation.mounts
            if mount.kind in _KINDS and (mount.kind, mount.id) not in given
        ]
        for mount in absent:
            flag = f"--ssh {mount.id}" if mount.kind == "ssh" else f"--secret id={mount.id},..."
            self._notes.append(f"not here: the {_KINDS[mount.kind]} {mount.id!r}; lend it with {flag}")
        kept = tuple(mount for mount in operation.mounts if mount not in absent)
        return operation._replace(mounts=kept)

    def _folder(self, operation: Run, rootfs: str) -> str:
        """Where to begin; above it where it is no more. What lies on a mount is there when that is."""
        folder = self._wanted.folder or operation.folder
        if self._wanted.folder or any(_is_below(folder, mount) for mount in operation.mounts):
            return folder
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            present = folder
            while not _is_folder(root, present):
                present = os.path.dirname(present)
        finally:
            os.close(root)
        if present != folder:
            self._notes.append(f"{folder} is not there: in {present}")
        return present

    def _equipped(self, container: Container, operation: Run) -> Container:
        """The process that is wanted in the place of the step's own."""
        wanted, command = self._wanted, container.process
        environment = dict(item.partition("=")[::2] for item in command.env)
        try:
            shell = shells.choose(container.rootfs, self._state.place.shell, environment.get("PATH", ""))
        except NotFound:
            if not wanted.arguments:
                raise
            shell = None
        if wanted.terminal:
            environment.setdefault("TERM", "xterm")
        if shell and operation.args:
            environment |= {"HISTFILE": shells.HISTORY, "WHERRY_COMMAND": shells.COMMAND}
        if shell and shell.lent:
            environment["PATH"] = f"{environment.get('PATH', '')}:{shells.TOOLS}".lstrip(":")
        if shell and not wanted.arguments:
            self._greet(shell, operation)
        else:
            self._tell_notes()
        args = wanted.arguments or (shell.args if shell else ())
        return container._replace(
            process=command._replace(
                args=args,
                env=tuple(f"{name}={value}" for name, value in environment.items()),
                terminal=wanted.terminal,
            ),
            mounts=(*container.mounts, *shells.equip(shell, operation.args, command.user, self._scratch)),
        )

    def _greet(self, shell: Shell, operation: Run) -> None:
        place, failure = self._state.place, self._state.build.failure
        outcome = f" failed: {failure.why}" if failure and place.state == FAILED else ", before it ran"
        self._tell(f"{place.name}{outcome}")
        self._tell_notes()
        what = "a busybox of this machine, for want of a shell" if shell.lent else " ".join(shell.args)
        fate = "what changes is kept" if self._wanted.keep else "what changes is dropped at the end"
        self._tell(f"{operation.user or 'root'} in {operation.folder}, {what}; {fate}")
        if operation.args and shell.has_history and self._wanted.terminal:
            self._tell("arrow up brings the step's command back, and $WHERRY_COMMAND runs it")
        elif operation.args:
            self._tell("$WHERRY_COMMAND runs the step's command once more")

    def _tell_notes(self) -> None:
        failure = self._state.build.failure
        for path in failure.withheld if failure and self._state.folder else ():
            self._tell(f"taken out: {path}, which held a secret")
        for note in self._notes:
            self._tell(note)


_KINDS = {"secret": "secret", "ssh": "ssh agent"}


def _is_below(folder: str, mount: Mount) -> bool:
    return bool(mount.target) and f"{folder}/".startswith(f"{mount.target}/")


def _is_folder(root: int, path: str) -> bool:
    try:
        os.close(linux.open_in_root(root, path, os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return path == "/"
    return True
