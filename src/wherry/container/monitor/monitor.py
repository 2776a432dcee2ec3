"""The monitor: the process that holds one container, from its start to its end.

It has the container's mounts in its own mount name space and the container's process below it, writes the
log, moves bytes between the process and whoever is attached, starts it again where it is to be, and writes
down the end. It outlives the command that started it. When it is killed, the kernel ends everything else: the
process dies with its parent, the mounts with the name space, the network's helpers with their maker.

One thread, one event loop (switchboard.py).
"""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Sequence
from functools import partial

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.container import signals
from wherry.container.attach.streams import Streams
from wherry.container.containers import Container
from wherry.container.monitor import control, execution, failures
from wherry.container.monitor.complaints import complain
from wherry.container.monitor.entering import Entry
from wherry.container.monitor.hold import Hold
from wherry.container.monitor.output import Output
from wherry.container.monitor.record import Record
from wherry.container.monitor.sessions import Client
from wherry.container.monitor.switchboard import Switchboard
from wherry.container.monitor.wiring import Wiring
from wherry.container.options.health import NONE, STARTING, Condition
from wherry.container.options.restart import Backoff
from wherry.container.removal import remove
from wherry.container.state import PAUSED, Folder, Spec, State
from wherry.runtime.helper import Helper, Running
from wherry.runtime.net.ports import Listener, Port, chosen, reserve

_SOON = 0.01


class End(NamedTuple):
    """How one run of the container went: its exit code, why it was killed, if it was; its seconds."""

    code: int
    excess: str
    lasted: float


class Monitor:
    """Runs the container, again and again where it is to be, and carries out what clients say of it."""

    def __init__(self, root: str, folder: Folder, spec: Spec, entry: Entry) -> None:
        self._root = root
        self._folder = folder
        self._record = Record(folder, spec)
        self._wiring = Wiring(root, folder, spec, entry)
        self._keeper = -1
        self._ports: tuple[Port, ...] = ()
        self._backoff = Backoff(spec.restart)
        self._stays_ended = False
        self._again = False

    def run(
        self, starter: socket.socket, attached: bool, listeners: Sequence[Listener], helper: Helper
    ) -> None:
        """From the first start, by `helper`, to the last end."""
        try:
            self._run(starter, attached, listeners, helper)
        finally:
            self._wiring.close()

    def _run(
        self, starter: socket.socket, attached: bool, listeners: Sequence[Listener], helper: Helper
    ) -> None:
        self._board = Switchboard(control.listen(self._folder.path), self._obey)
        stop_signal = signals.number_of(self._record.spec.stop_signal)
        self._board.on_signal(signal.SIGTERM, partial(self._end_for_good, stop_signal))
        self._board.add(starter, attached, awaits_start=True)
        end = self._live(listeners, starter, helper)
        while self._waits_for_the_next(end):
            self._hold.wait()
            ended = self._record.state
            try:
                self._record.spec = self._wiring.spec = self._folder.spec()
                end = self._live(_reserve_again(self._record.spec, self._ports))
            except (WherryError, OSError) as error:
                self._fail_to_start(ended, failures.told(error))
                break
        self._put_away()
        self._board.close(end.code, end.excess)

    def _live(
        self,
        listeners: Sequence[Listener],
        starter: socket.socket | None = None,
        helper: Helper | None = None,
    ) -> End:
        """One run of the container, from its start to its end."""
        begun = time.monotonic()
        self._stays_ended = self._again = False
        self._hold = Hold(self._root, self._folder, self._record.spec, listeners, self._wiring)
        try:
            streams, running = self._hold.start(helper)
            try:
                self._watch_keeper()
                self._ports = chosen(listeners)
                self._record.running(running.pid, self._ports, self._wiring.places, self._backoff.restarts)
                if starter:
                    _check_starter(starter)
                self._serve(streams, running)
            except BaseException:
                running.kill(signal.SIGKILL)
                self._hold.unpause()
                running.wait()
                raise
            code = running.wait()
        finally:
            excess = self._hold.close()
        self._record.ended(code, out_of_memory=bool(excess))
        return End(code, excess, time.monotonic() - begun)

    def _serve(self, streams: Streams, running: Running) -> None:
        """Until the container's first process has ended."""
        log = Output(self._folder.file("log.jsonl"), self._record.spec.log)
        self._board.begin(streams, running, log.take)
        self._record.started()
        self._board.tell_start(control.STARTED, _started(note=self._hold.note))
        self._begin_checks()
        self._board.run()
        log.close()

    def _begin_checks(self) -> None:
        health, condition = self._record.spec.health, self._record.state.health
        if health and condition:
            from wherry.container.monitor.checks import Checks

            Checks(health, condition, self._board, self._hold, self._tell_found).begin()

    def _tell_found(self, condition: Condition) -> None:
        if self._record.checked(condition):
            self._board.tell_health(condition.status)

    def _waits_for_the_next(self, end: End) -> bool:
        """Whether the container is started again; the time until then has gone by."""
        delay = self._delay(end)
        if delay is None:
            return False
        self._record.restarting(self._backoff.restarts, is_asked_for=self._again)
        self._board.end(end.code, end.excess)
        over: list[bool] = []
        self._board.timers.after(delay, lambda: over.append(True))
        self._board.serve(until=lambda: bool(over) or self._again or self._stays_ended)
        self._board.timers.clear()
        if self._again:
            self._backoff = Backoff(self._record.spec.restart)
        return not self._stays_ended

    def _delay(self, end: End) -> float | None:
        """Seconds until the next start; None where there is none."""
        if self._again:
            return 0.0
        return None if self._stays_ended else self._backoff.next(end.code, end.lasted)

    def _watch_keeper(self) -> None:
        """Another keeper of the networks is needed when this one is killed. The connection to it is another
        one after each use that found it killed."""

        def mend() -> None:
            self._wiring.mend()
            self._watch_keeper()

        self._board.unwatch(self._keeper)
        self._keeper = self._wiring.fileno()
        if self._keeper >= 0:
            self._board.watch(self._keeper, mend)

    def _fail_to_start(self, ended: State, error: WherryError) -> None:
        """It has run before, and cannot be started again: so it stays as it ended."""
        complain(f"cannot start the container again: {error.message}")
        self._record.failed(ended, error.message)
        self._board.tell_start(control.FAILED, failures.words(error))

    def _put_away(self) -> None:
        """Write the end down, or delete the container. Mounts and helpers are gone by now."""
        self._board.unwatch(self._keeper)
        self._wiring.close()
        state = self._record.over()
        if self._record.spec.remove:
            with self._folder.locked():
                # Read again: it may have got another name since.
                remove(self._root, Container(self._folder, self._folder.spec(), state), with_volumes=True)

    def _obey(self, client: Client, packet: control.Packet) -> None:
        """Carry out what a client says. A word that is not known here is a later version's."""
        action = {
            control.SIGNAL: self._send_signal,
            control.EXECUTE: self._execute,
            control.END: self._end,
            control.AGAIN: self._restart,
            control.HEALTH: self._tell_health,
            control.CHANGED: self._change,
            control.PAUSE: self._pause,
            control.UNPAUSE: self._unpause,
        }.get(packet.kind)
        if action:
            action(client, packet)

    def _change(self, client: Client, _packet: control.Packet) -> None:
        """Somebody has given the container another name, or other networks."""
        try:
            spec = self._folder.spec()
            self._wiring.change(spec)
        except (WherryError, OSError) as error:
            _refuse(client, error)
        else:
            self._record.changed(spec, self._wiring.places)
            client.put(control.STARTED, _started())
        self._watch_keeper()

    def _send_signal(self, client: Client, packet: control.Packet) -> None:
        session = client.session or self._board.main
        stop_signal = self._record.spec.stop_signal
        if session is self._board.main and signals.asks_to_end(packet.number, stop_signal):
            self._stays_ended = True
        if session:
            session.running.kill(packet.number)
        if self._stays_ended:
            self._let_go_on()

    def _end(self, _client: Client, packet: control.Packet) -> None:
        self._end_for_good(*packet.ending)

    def _restart(self, client: Client, packet: control.Packet) -> None:
        client.awaits_start = True
        self._end_for_good(*packet.ending)
        self._stays_ended, self._again = False, True

    def _end_for_good(self, number: int, seconds: float = -1) -> None:
        """End the container: by a signal, and by SIGKILL after so many seconds (negative: never)."""
        self._stays_ended, self._again = True, False
        self._kill(number)
        self._let_go_on()
        if seconds >= 0:
            self._board.timers.after(seconds, partial(self._kill, signal.SIGKILL))

    def _kill(self, number: int) -> None:
        """Send a signal to the first process, where there is one; it is recorded in front of what it does."""
        if self._board.main:
            self._record.happened("kill", signal=str(number))
            self._board.main.running.kill(number)

    def _tell_health(self, client: Client, _packet: control.Packet) -> None:
        client.awaits_health = True
        status = self._record.state.health.status if self._record.state.health else NONE
        # One that is about to be started again has ended, which is unhealthy, but starts.
        client.put(control.HEALTH, (status if self._board.main or status == NONE else STARTING).encode())

    def _pause(self, client: Client, packet: control.Packet) -> None:
        if self._board.has_errands:
            # A process on its way into the container, stopped half-way, could not even be given up.
            self._board.timers.after(_SOON, partial(self._pause, client, packet))
            return
        try:
            self._check_not_paused()
            self._record.pausing(self._hold.freezer().folder)
            self._hold.pause()
        except (WherryError, OSError) as error:
            _refuse(client, error, "cannot pause the container")
            return
        self._record.paused()
        client.put(control.DONE)

    def _unpause(self, client: Client, _packet: control.Packet) -> None:
        if self._let_go_on():
            client.put(control.DONE)
        else:
            _refuse(client, WherryError(f"container {self._record.spec.name} is not paused"))

    def _let_go_on(self) -> bool:
        """Whether it was paused."""
        if self._record.state.status != PAUSED:
            return False
        self._hold.unpause()
        self._record.goes_on()
        return True

    def _check_not_paused(self) -> None:
        name = self._record.spec.name
        if self._record.state.status == PAUSED:
            raise failures.paused(name)
        if not self._board.main:
            raise failures.restarting(name)

    def _execute(self, client: Client, _packet: control.Packet) -> None:
        """Start another process in the container, as the client has ordered."""

        def done(made: tuple[Streams, Running]) -> None:
            session = self._board.open(*made, done=self._record.executed(order.args[0]))
            client.session, client.attached = session, True
            client.put(control.STARTED, _started(session.number))

        def failed(error: WherryError | OSError) -> None:
            _refuse(client, error, "cannot execute anything")

        try:
            self._check_not_paused()
            order = execution.decode(client.order)
        except WherryError as error:
            failed(error)
            return
        self._board.carry_out(self._hold.execute(order), done, failed)


def _started(session: int = 0, note: str = "") -> bytes:
    """The words of `control.STARTED`."""
    return json.dumps({"note": note, "session": session}).encode()


def _refuse(client: Client, error: WherryError | OSError, what: str = "cannot run the container") -> None:
    client.put(control.FAILED, failures.words(failures.told(error, what)))


def _reserve_again(spec: Spec, last: tuple[Port, ...]) -> list[Listener]:
    """The ports of the next run. One that the host chose stays the same where nobody has taken it."""
    try:
        return reserve(last or spec.ports)
    except WherryError:
        return reserve(spec.ports)


def _check_starter(starter: socket.socket) -> None:
    """Whoever was interrupted while it waited for the start does not know of the container: it must not run.

    The state says "running" by now, so a starter that leaves later finds the container, and can end it.
    """
    try:
        left = starter.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        left = False
    except OSError:
        left = True
    if left:
        raise WherryError("whoever started the container has left")
