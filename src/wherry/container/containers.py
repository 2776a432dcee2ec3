"""All containers of a store: created under a name, found, listed with their true state, deleted."""

from __future__ import annotations

import os
import re
import time

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.container import events
from wherry.container.names import random_name
from wherry.container.state import EXITED, RESTARTING, UNKNOWN_EXIT, Folder, Spec, State
from wherry.oci.digest import Digest
from wherry.store.store import Store

_ID = re.compile(r"[0-9a-f]{64}")
_LEFT = 60.0
_PREFIX = re.compile(r"[0-9a-f]{1,64}")


class Container(NamedTuple):
    """A container as it is now."""

    folder: Folder
    spec: Spec
    state: State

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def is_running(self) -> bool:
        """Whether a monitor holds it: its process runs, or is started again soon."""
        return self.state.has_monitor()


class Containers:
    """The folder `containers/` of the store at `root`. It needs no open store: a monitor has none."""

    def __init__(self, root: str) -> None:
        self._path = f"{root}/containers"
        self._names = f"{self._path}/names"

    def folder(self, container_id: str) -> Folder:
        return Folder(f"{self._path}/{container_id}")

    def create(self, spec: Spec) -> Spec:
        """Enter a container; the spec with its name, random where it had none. A taken one is refused."""
        folder = self.folder(spec.id)
        try:
            os.makedirs(self._names, mode=0o700, exist_ok=True)
            os.mkdir(folder.path, 0o700)
            folder.write_state(State())
            spec = self._take_name(spec)
        except OSError as error:
            self.discard(spec)
            raise WherryError(f"cannot write to {self._path}: {error.strerror}") from None
        except WherryError:
            self.discard(spec)
            raise
        return spec

    def discard(self, spec: Spec) -> None:
        """Undo `create`, of a container that nobody knows of yet."""
        from wherry.container.trees import remove

        if spec.name:
            self._free_name(spec)
        remove(self.folder(spec.id).path)

    def find(self, text: str) -> Container:
        """By name, ID or the beginning of an ID; NotFound where there is none."""
        container_id = self._id_of_name(text) or self._id_of_prefix(text)
        container = self.get(container_id) if container_id else None
        if container is None:
            raise NotFound(f"no such container: {text}", hint="`wherry ps -a` lists the ones that are here")
        return container

    def get(self, container_id: str) -> Container | None:
        """The container as it is now; None where there is none. One whose monitor died is settled first."""
        folder = self.folder(container_id)
        try:
            spec, state = folder.spec(), folder.state()
            if _is_unsettled(state):
                return self._settle(Container(folder, spec, state))
        except FileNotFoundError:
            return None
        return Container(folder, spec, state)

    def all(self) -> list[Container]:
        """The newest first."""
        found = []
        for name in self._ids():
            container = self.get(name)
            if container:
                found.append(container)
            else:
                self._sweep(name)
        return sorted(found, key=lambda container: container.spec.created, reverse=True)

    def specs(self) -> list[Spec]:
        """What all of them are to run, in no order; no state is looked at, and no lock is taken."""
        found = []
        for name in self._ids():
            try:
                found.append(self.folder(name).spec())
            except FileNotFoundError:  # on its way in or out
                continue
        return found

    def rename(self, container: Container, name: str) -> None:
        """Give a container, whose lock is held, another name; a taken one is refused."""
        spec = container.folder.spec()
        renamed = spec._replace(name=name)
        if not self._point(renamed):
            raise self._taken(name)
        # Killed here it has both names, until it is deleted.
        container.folder.write_spec(renamed)
        self._free_name(spec)
        events.record(container.folder, renamed, "rename", oldName=f"/{spec.name}")

    def delete(self, container: Container) -> None:
        """Delete its folder and free its name; whoever calls holds its lock, and its monitor is gone.

        The large part goes first: where that fails or is interrupted, the container is still there to delete.
        """
        from wherry.container.trees import remove

        remove(container.folder.file("root"))
        self._free_name(container.spec)
        remove(container.folder.path)
        events.record(container.folder, container.spec, "destroy")

    def _ids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._path) if _ID.fullmatch(name)]
        except FileNotFoundError:
            return []

    def _settle(self, container: Container) -> Container | None:
        """Write down the end of a container whose monitor was killed; None where it had `--rm`."""
        with container.folder.locked():
            state = container.folder.state()
            if _is_unsettled(state):
                _thaw(state.freezer)
                state = _ended(container.folder, state)
                container.folder.write_state(state)
                events.record(container.folder, container.spec, "die", exitCode=str(UNKNOWN_EXIT))
                if container.spec.remove:
                    self.delete(container)
                    return None
            return container._replace(state=state)

    def _sweep(self, name: str) -> None:
        """Delete what a killed `create` or `delete` left: a folder that has had no spec for some time."""
        from wherry.container.trees import remove

        path = f"{self._path}/{name}"
        try:
            is_left = not os.path.exists(f"{path}/spec.json") and time.time() - os.stat(path).st_mtime > _LEFT
            if is_left:
                remove(path)
        except (FileNotFoundError, WherryError):
            # Somebody else does the same, or has not the right to.
            pass

    def _take_name(self, spec: Spec) -> Spec:
        while not spec.name:
            named = spec._replace(name=random_name(lambda name: os.path.lexists(f"{self._names}/{name}")))
            if self._link(named):
                return named
        if not self._link(spec):
            raise self._taken(spec.name)
        return spec

    def _taken(self, name: str) -> WherryError:
        owner = os.readlink(f"{self._names}/{name}")
        return WherryError(
            f"the container name {name!r} is already in use by container {owner[:12]}",
            hint=f"remove it with `wherry rm {name}`, or choose another name",
        )

    def _link(self, spec: Spec) -> bool:
        """Write the spec and point its name at it: whether the name is this container's now."""
        self.folder(spec.id).write_spec(spec)
        return self._point(spec)

    def _point(self, spec: Spec) -> bool:
        """Point a name at its container: whether it is this container's now.

        The spec is there before its name, so a name without a spec is a deleted container's: taken over.
        """
        link = f"{self._names}/{spec.name}"
        try:
            os.symlink(spec.id, link)
            return True
        except FileExistsError:
            if os.path.exists(f"{self._path}/{os.readlink(link)}/spec.json"):
                return False
        temporary = f"{self._names}/.{spec.id}"
        os.symlink(spec.id, temporary)
        os.rename(temporary, link)
        return os.readlink(link) == spec.id

    def _free_name(self, spec: Spec) -> None:
        try:
            if os.readlink(f"{self._names}/{spec.name}") == spec.id:
                os.unlink(f"{self._names}/{spec.name}")
        except OSError:
            pass

    def _id_of_name(self, text: str) -> str | None:
        if "/" in text:
            return None
        try:
            return os.readlink(f"{self._names}/{text}")
        except OSError:
            return None

    def _id_of_prefix(self, text: str) -> str | None:
        if not _PREFIX.fullmatch(text) or not os.path.isdir(self._path):
            return None
        found = [name for name in os.listdir(self._path) if name.startswith(text) and _ID.fullmatch(name)]
        if len(found) > 1:
            raise WherryError(f"{text!r} is the beginning of several container IDs", hint="write more of it")
        return found[0] if found else None


def images_in_use(store: Store) -> dict[Digest, list[Container]]:
    """The images that containers, running or not, stand on: `rmi` and `prune` leave these."""
    users: dict[Digest, list[Container]] = {}
    for container in Containers(store.root).all():
        users.setdefault(Digest(container.spec.image), []).append(container)
    return users


def _is_unsettled(state: State) -> bool:
    return state.has_monitor() and not state.is_running()


def _ended(folder: Folder, state: State) -> State:
    """The state of a container whose monitor was killed."""
    health = state.health and state.health.ended()
    ended = state._replace(status=EXITED, monitor=None, pid=0, ports=(), places=(), freezer="", health=health)
    if state.status == RESTARTING:
        return ended._replace(error="its monitor was killed before it was started again")
    return ended._replace(finished=_last_sign(folder), exit_code=UNKNOWN_EXIT, error="nobody saw its end")


def _thaw(folder: str) -> None:
    """What is paused does not end, not even with its monitor, where the freezer is one of version 1."""
    if folder:
        from wherry.runtime.cgroups.freezer import Freezer

        Freezer(folder).thaw()


def _last_sign(folder: Folder) -> float:
    """When the container was last known to live: its last output, else its start."""
    times = []
    for name in ("log.jsonl", "state.json"):
        try:
            times.append(os.stat(folder.file(name)).st_mtime)
        except FileNotFoundError:
            pass
    return max(times, default=0.0)
