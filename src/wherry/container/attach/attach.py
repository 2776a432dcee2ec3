"""The foreground of a container: its terminal, or its stdin, stdout and stderr, are this process's own.

With a terminal, the local one is put into raw mode, so that every key goes through, and its size follows.
Signals that this process gets go to the container. Everything is put back at the end.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from contextlib import ExitStack, suppress

from wherry.base.errors import UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.container.attach import detach, terminal
from wherry.container.monitor import control
from wherry.container.monitor.connection import Started, failure

_FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_CHUNK = 32 << 10

# Docker's way out for a container that does not listen: the third signal of this kind ends its caller.
_PATIENCE = 3


class Manner(NamedTuple):
    """How: which streams are passed on, where the container has them, and whether signals are; and the `keys`
    that leave it."""

    stdin: bool = True
    signals: bool = True
    keys: bytes = detach.parse(detach.DEFAULT)
    stdout: bool = True
    stderr: bool = True

    @property
    def shows_output(self) -> bool:
        return self.stdout or self.stderr


def check_terminal(wanted: bool, interactive: bool) -> None:
    """UsageError where a terminal is asked for, and stdin is none."""
    if wanted and interactive and not os.isatty(0):
        raise UsageError("the input device is not a TTY", hint="leave out -t, or run it from a terminal")


def attach(started: Started, folder: str, manner: Manner) -> int:
    """Pass everything through until the container ends; its exit code. `folder` is the container's.

    0 where it runs on: the user left it by the keys for that, or none of its output is asked for and stdin is
    at its end.
    """
    with _Foreground(started, folder, manner) as foreground:
        return foreground.run()


class _Foreground:
    def __init__(self, started: Started, folder: str, manner: Manner) -> None:
        self._started = started
        self._connection = started.connection
        self._folder = folder
        self._passes_stdin = started.interactive and manner.stdin
        self._shown = {control.STDOUT: manner.stdout, control.STDERR: manner.stderr}
        self._feeds_only = not manner.shows_output
        self._fed = not self._passes_stdin
        self._forwarded = _FORWARDED if manner.signals else ()
        self._keys = detach.Keys(manner.keys if started.terminal else b"")
        self._commands: socket.socket | None = None
        self._held = ExitStack()
        self._counts: dict[int, int] = {}
        self._unsent = b""
        # A file as stdin can be polled, but is refused by epoll.
        self._events = selectors.PollSelector()

    def __enter__(self) -> _Foreground:
        self._heard = terminal.Heard((*self._forwarded, signal.SIGWINCH))
        self._held.callback(self._heard.close)
        self._events.register(self._heard, selectors.EVENT_READ)
        self._connect_commands()
        if self._started.terminal:
            self._send_window()
            if self._passes_stdin:
                self._held.enter_context(terminal.raw())
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()
        for item in (self._connection, self._commands):
            if item is not None:
                item.close()

    def run(self) -> int:
        self._events.register(self._connection, selectors.EVENT_READ)
        if self._passes_stdin:
            self._events.register(0, selectors.EVENT_READ)
        while not self._keys.typed:
            if self._feeds_only and self._fed:
                return 0
            for key, mask in self._events.select():
                if key.fd == self._heard.fileno():
                    self._signals()
                elif key.fd == 0:
                    self._read_stdin()
                else:
                    if mask & selectors.EVENT_WRITE:
                        self._send_unsent()
                    if mask & selectors.EVENT_READ:
                        code = self._take_packet()
                        if code is not None:
                            return code
        self._say_detached()
        return 0

    def _say_detached(self) -> None:
        from wherry.container import events
        from wherry.container.state import Folder

        with suppress(FileNotFoundError):  # it has ended in this moment
            folder = Folder(self._folder)
            events.record(folder, folder.spec(), "exec_detach" if self._started.session else "detach")
        back = "" if self._started.session else f"; `wherry attach {self._started.name}` comes back"
        _write_all(2, f"\r\ndetached{back}\r\n".encode())

    def _take_packet(self) -> int | None:
        packet = control.receive(self._connection)
        if packet is None:
            raise WherryError("the container's monitor was killed, and the container with it")
        if packet.kind == control.ENDED:
            if packet.note:
                _write_all(2, f"warning: {packet.note}\n".encode())
            return packet.number
        if packet.kind == control.FAILED:
            raise failure(packet)
        if self._shown[packet.kind]:
            _write_all(2 if packet.kind == control.STDERR else 1, packet.data)
        return None

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._events.unregister(0)
        passed = self._keys.take(data) if data else self._keys.end()
        if passed:
            self._unsent = control.STDIN + passed
        elif data:
            return
        else:
            self._unsent = control.END_OF_STDIN
        self._send_unsent()

    def _send_unsent(self) -> None:
        """One packet at a time: while it cannot be sent, nothing more is read from stdin."""
        waiting = False
        try:
            self._connection.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            waiting = True
        except OSError:
            # The monitor is gone; its connection says so when it is read.
            pass
        ended = self._unsent == control.END_OF_STDIN
        write = selectors.EVENT_WRITE if waiting else 0
        self._events.modify(self._connection, selectors.EVENT_READ | write)
        self._fed = ended and not waiting
        if not ended:
            known = 0 in self._events.get_map()
            if waiting and known:
                self._events.unregister(0)
            elif not waiting and not known:
                self._events.register(0, selectors.EVENT_READ)

    def _signals(self) -> None:
        for number in self._heard.take():
            if number == signal.SIGWINCH:
                if self._started.terminal:
                    self._send_window()
            else:
                self._count(number)
                self._command(control.SIGNAL, control.number(number))

    def _count(self, number: int) -> None:
        self._counts[number] = self._counts.get(number, 0) + 1
        if number in (signal.SIGINT, signal.SIGTERM) and self._counts[number] >= _PATIENCE:
            raise WherryError(
                f"the container does not end on {signal.Signals(number).name}: it runs on",
                hint=f"end it with `wherry rm -f {self._started.name}`",
            )

    def _send_window(self) -> None:
        if size := terminal.size():
            self._command(control.WINDOW, control.window(size.lines, size.columns))

    def _connect_commands(self) -> None:
        """Signals and sizes have a connection of their own, where no unread stdin is in front of them."""
        try:
            self._commands = control.connect(self._folder)
            if self._started.session:
                control.send(self._commands, control.SESSION, control.number(self._started.session))
        except OSError:
            # It has ended already.
            pass

    def _command(self, kind: bytes, data: bytes) -> None:
        if self._commands is not None:
            try:
                control.send(self._commands, kind, data)
            except OSError:
                pass


def _write_all(descriptor: int, data: bytes) -> None:
    """BrokenPipeError where nobody reads any more."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WherryError(f"cannot write the container's output: {error.strerror}") from None
