"""What becomes of a container, as its monitor writes it down: the state, and the events."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from wherry.container import events
from wherry.container.monitor.complaints import complain
from wherry.container.options.health import Condition
from wherry.container.options.networking import Place
from wherry.container.state import EXITED, PAUSED, RESTARTING, RUNNING, Folder, Spec, State, life_of
from wherry.runtime.net.ports import Port


class Record:
    """`spec` is what the monitor goes by, `state` what was written last."""

    def __init__(self, folder: Folder, spec: Spec) -> None:
        self.spec = spec
        self.state = folder.state()
        self._folder = folder

    def running(self, pid: int, ports: tuple[Port, ...], places: Sequence[Place], restarts: int) -> None:
        """The first process exists. OSError where that cannot be written: it must not run then."""
        self.state = State(
            status=RUNNING,
            monitor=life_of(os.getpid()),
            pid=pid,
            started=time.time(),
            ports=ports,
            restarts=restarts,
            health=(self.state.health or Condition()).again() if self.spec.health else None,
            places=tuple(places),
        )
        self._folder.write_state(self.state)

    def started(self) -> None:
        events.record_volumes(self._folder, self.spec, "mount")
        self.happened("start")

    def ended(self, code: int, *, out_of_memory: bool) -> None:
        """Not written yet: what comes next is written with it, see `restarting` and `over`."""
        self.state = self.state._replace(
            pid=0,
            finished=time.time(),
            exit_code=code,
            ports=(),
            places=(),
            out_of_memory=out_of_memory,
            health=self.state.health and self.state.health.ended(),
            freezer="",
        )
        spec = self._folder.spec()  # it may have got another name
        if out_of_memory:
            events.record(self._folder, spec, "oom")
        lasted = str(int(self.state.finished - self.state.started))
        events.record(self._folder, spec, "die", execDuration=lasted, exitCode=str(code))
        events.record_volumes(self._folder, spec, "unmount")

    def restarting(self, restarts: int, *, is_asked_for: bool) -> None:
        """It has ended, and will be started again: because somebody wants that, or its policy."""
        self._write(self.state._replace(status=RESTARTING, restarts=restarts))
        if is_asked_for:
            events.record(self._folder, self._folder.spec(), "stop")

    def failed(self, ended: State, why: str) -> None:
        """It could not be started again, and stays as it `ended`; not written yet either."""
        self.state = ended._replace(error=why)

    def over(self) -> State:
        """It has ended for good."""
        self.state = self.state._replace(status=EXITED, monitor=None)
        self._folder.write_state(self.state)
        return self.state

    def checked(self, condition: Condition) -> bool:
        """What a check has found; whether the container's health is another one than before."""
        before = self.state.health
        self._write(self.state._replace(health=condition))
        if before is not None and before.status == condition.status:
            return False
        self.happened(f"health_status: {condition.status}")
        return True

    def pausing(self, freezer: str) -> None:
        """Written down first: who finds this monitor killed lets the processes go, which then end."""
        self._write(self.state._replace(freezer=freezer))

    def paused(self) -> None:
        self._write(self.state._replace(status=PAUSED))
        events.record(self._folder, self._folder.spec(), "pause")

    def goes_on(self) -> None:
        self._write(self.state._replace(status=RUNNING, freezer=""))
        events.record(self._folder, self._folder.spec(), "unpause")

    def changed(self, spec: Spec, places: Sequence[Place]) -> None:
        """It has another name, or other networks, and is in `places` on them while it runs."""
        self.spec = spec
        self._write(self.state._replace(places=tuple(places) if self.state.pid else ()))

    def executed(self, program: str) -> Callable[[int], None]:
        """Another process runs; gives what records its end. The words behind the program's name may be
        nobody's business."""
        number = os.urandom(32).hex()
        for action in ("exec_create", "exec_start"):
            self.happened(f"{action}: {program}", execID=number)
        return lambda code: self.happened("exec_die", execID=number, exitCode=str(code))

    def happened(self, action: str, **details: str) -> None:
        events.record(self._folder, self.spec, action, **details)

    def _write(self, state: State) -> None:
        """A full disk costs what is known of a container that runs or is to, not the container."""
        self.state = state
        try:
            self._folder.write_state(state)
        except OSError as error:
            complain(f"the state is not written down: {error.strerror}")
