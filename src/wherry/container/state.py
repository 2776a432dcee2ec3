"""One container on disk: its folder, what was asked of it, and what became of it.

    containers/<id>/         id: 64 hex digits
      spec.json              what to run, every default resolved: written once, by `Containers.create`
      state.json             what became of it. While the monitor lives, it alone writes it; before there is a
                             monitor and once it is gone, whoever holds `lock`. Replaced by rename, never cut
      lock                   flock: held to start, to settle and to delete the container; not while it runs
      control                the socket of the monitor (monitor/control.py), who alone listens on it
      log.jsonl log.jsonl.1 ...   the process's output (log.py): the monitor appends, and turns it over
      monitor.log            the monitor's own complaints and those of its helpers; empty when all went well
      hostname hosts resolv.conf   mounted over the files of the same name in /etc: the monitor writes them
      root/                  overlay's folders: what the container changed in its image (snapshot/overlay.py)
      owners                 in the single-id mode: of links and pipes (snapshot/ownership.py)
      netns                  where the monitor mounts its network name space, for pasta to open

    containers/names/<name>  a symbolic link whose text is the id: made with `create`, so a name is taken once

A running container is one whose state says so and whose monitor lives; one that is about to be started again
by its policy counts as running, as with docker. A process ID alone proves nothing (the
kernel uses it again), so the monitor is known by its start time and the machine's boot too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from wherry.base import values
from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple
from wherry.container.options.health import Condition, Health
from wherry.container.options.loglimits import LogLimits
from wherry.container.options.mounting import Volume
from wherry.container.options.networking import Networks, Place
from wherry.container.options.restart import Restart
from wherry.container.options.rights import Rights
from wherry.runtime.net.ports import Port
from wherry.runtime.spec import Conditions

CREATED, RUNNING, PAUSED = "created", "running", "paused"
RESTARTING, EXITED = "restarting", "exited"

# Docker's exit code for a container whose end nobody saw: the monitor was killed, or the machine crashed.
UNKNOWN_EXIT = 255


class Spec(NamedTuple):
    """What to run. `created`: unix seconds; `image`: its ID, `image_name`: what the user wrote for it;
    `entrypoint`: how many of `args` are the entrypoint's, -1 where an older version has not said."""

    id: str
    name: str
    image: str
    image_name: str
    created: float
    args: tuple[str, ...]
    entrypoint: int = -1
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = "/"
    hostname: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    exposed: tuple[str, ...] = ()
    publish_all: bool = False
    volumes: tuple[Volume, ...] = ()
    network: str = "default"
    terminal: bool = False
    interactive: bool = False
    remove: bool = False
    read_only: bool = False
    host_ca: bool = False
    isolation: str = "auto"
    snapshotter: str = "auto"
    rights: Rights = Rights()
    health: Health | None = None
    restart: Restart = Restart()
    log: LogLimits = LogLimits()
    networks: Networks = Networks()
    conditions: Conditions = Conditions()
    stop_signal: str = ""
    stop_timeout: int | None = None
    annotations: tuple[tuple[str, str], ...] = ()


class Life(NamedTuple):
    """A process that cannot be mistaken for another: `started` in clock ticks since the boot named `boot`."""

    pid: int
    started: int
    boot: str

    def is_alive(self) -> bool:
        return life_of(self.pid) == self


class State(NamedTuple):
    """What became of it. Times: unix seconds; `pid`: of the first process; `ports`: as they were chosen.

    `restarts`: how often its policy has started it again since somebody started it. While it is restarting,
    nothing of it runs, and `finished` and `exit_code` are those of its last run. `health`: None where it has
    no health check. `places`: where it is on networks, while it runs.
    """

    status: str = CREATED
    monitor: Life | None = None
    pid: int = 0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    error: str = ""
    ports: tuple[Port, ...] = ()
    out_of_memory: bool = False
    restarts: int = 0
    health: Condition | None = None
    places: tuple[Place, ...] = ()
    freezer: str = ""
    """The cgroup by which it is paused."""

    def has_monitor(self) -> bool:
        """Whether it says that a monitor holds the container: it runs, or does so again soon."""
        return self.status in (RUNNING, PAUSED, RESTARTING)

    def is_running(self) -> bool:
        """Whether it says so and its monitor lives; asked by whoever holds the lock."""
        return self.has_monitor() and self.monitor is not None and self.monitor.is_alive()


def life_of(pid: int) -> Life | None:
    """The identity of a running process; None where there is none (or only its unreaped end)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            text = file.read()
    except OSError:
        return None
    # The command's name is in parentheses and may hold any character: fields count from the last one.
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return Life(pid, int(fields[19]), file.read().strip())


class Folder:
    """The folder of one container; the module's docstring says what is in it."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def root(self) -> str:
        """The store that it is in."""
        return os.path.dirname(os.path.dirname(self.path))

    def file(self, name: str) -> str:
        return f"{self.path}/{name}"

    def write_spec(self, spec: Spec) -> None:
        self._replace("spec.json", spec)

    def spec(self) -> Spec:
        """FileNotFoundError where the container is gone (or not yet complete)."""
        document = self._read("spec.json")
        try:
            return values.decode(Spec, _moved(document))
        except Corrupt as error:
            raise _damaged(self.file("spec.json"), error.message) from None

    def write_state(self, state: State) -> None:
        self._replace("state.json", state)

    def state(self) -> State:
        """As written, which after a crash may say "running" (`Containers.get` tells the truth).

        A power failure may leave it damaged: what was running then runs no more, so that is what it says.
        """
        try:
            document = self._read("state.json")
            return values.decode(State, document) if "status" in document else State(RUNNING)
        except Corrupt:
            return State(RUNNING)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with this container, until the block ends. FileNotFoundError where it is gone."""
        import fcntl

        descriptor = os.open(self.file("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # It may have been deleted while this process waited.
            os.stat(self.path)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> dict[str, Any]:
        with open(self.file(name), "rb") as file:
            raw = file.read()
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise _damaged(self.file(name), str(error)) from None
        if not isinstance(value, dict):
            raise _damaged(self.file(name), "not an object")
        return value

    def _replace(self, name: str, value: Spec | State) -> None:
        # Arguments and variables may hold any byte: surrogates are escaped, so the file is plain ASCII.
        raw = json.dumps(values.encode(value)).encode("ascii")
        temporary = self.file(f".{name}.{os.getpid()}")
        try:
            with open(temporary, "wb") as file:
                file.write(raw)
        except OSError as error:
            self._overwrite(name, raw, temporary, error)
            return
        os.rename(temporary, self.file(name))

    def _overwrite(self, name: str, raw: bytes, temporary: str, error: OSError) -> None:
        """On a full disk: the file that is there has a block already, which is mostly enough."""
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            with open(self.file(name), "r+b") as file:
                file.write(raw)
                file.truncate()
        except OSError:
            raise error from None


def _moved(document: dict[str, Any]) -> dict[str, Any]:
    """A spec of an older version, where the rights had no value of their own, as it is written now."""
    rights = {name: document[name] for name in ("no_new_privileges", "seccomp") if name in document}
    return {"rights": rights} | document


def _damaged(path: str, why: str) -> Corrupt:
    return Corrupt(
        f"{path} is damaged: {why}", hint=f"delete the container's folder, {os.path.dirname(path)}"
    )
