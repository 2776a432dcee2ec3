"""The foreground of a container: its terminal, or its stdin, stdout and stderr, are this process's own.

With a terminal, the local one is put into raw mode, so that every key goes through, and its size follows.
Signals that this process gets go to the container. Everything is put back at the end.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from typing import Any

from wherry.base.errors import UsageError, WherryError
from wherry.container import control
from wherry.container.run import Started, failure

_FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_CHUNK = 32 << 10

# Docker's way out for a container that does not listen: the third signal of this kind ends its caller.
_PATIENCE = 3


def check_terminal(terminal: bool, interactive: bool) -> None:
    """UsageError where a terminal is asked for, and stdin is none."""
    if terminal and interactive and not os.isatty(0):
        raise UsageError("the input device is not a TTY", hint="leave out -t, or run it from a terminal")


def attach(started: Started, folder: str) -> int:
    """Pass everything through until the container ends; its exit code. `folder` is the container's."""
    with _Foreground(started, folder) as foreground:
        return foreground.run()


class _Foreground:
    def __init__(self, started: Started, folder: str) -> None:
        self._spec = started.spec
        self._connection = started.connection
        self._folder = folder
        self._commands: socket.socket | None = None
        self._saved_terminal: list[Any] | None = None
        self._saved_handlers: dict[int, Any] = {}
        self._heard: dict[int, int] = {}
        self._unsent = b""
        # A file as stdin can be polled, but is refused by epoll.
        self._events = selectors.PollSelector()

    def __enter__(self) -> _Foreground:
        self._catch_signals()
        self._connect_commands()
        if self._spec.terminal:
            self._send_window()
            if self._spec.interactive:
                self._enter_raw_mode()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._saved_terminal is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved_terminal)
        signal.set_wakeup_fd(-1)
        for number, handler in self._saved_handlers.items():
            signal.signal(number, handler)
        for item in (self._connection, self._commands):
            if item is not None:
                item.close()

    def run(self) -> int:
        self._events.register(self._connection, selectors.EVENT_READ)
        if self._spec.interactive:
            self._events.register(0, selectors.EVENT_READ)
        while True:
            for key, mask in self._events.select():
                if key.fd == self._wakeup:
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

    def _take_packet(self) -> int | None:
        packet = control.receive(self._connection)
        if packet is None:
            raise WherryError("the container's monitor was killed, and the container with it")
        if packet.kind == control.ENDED:
            return packet.number
        if packet.kind == control.FAILED:
            raise failure(packet)
        _write_all(2 if packet.kind == control.STDERR else 1, packet.data)
        return None

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._events.unregister(0)
        self._unsent = control.STDIN + data if data else control.END_OF_STDIN
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
        if not ended:
            known = 0 in self._events.get_map()
            if waiting and known:
                self._events.unregister(0)
            elif not waiting and not known:
                self._events.register(0, selectors.EVENT_READ)

    def _catch_signals(self) -> None:
        """Handlers do nothing but wake the loop, which is told the numbers through a pipe."""
        self._wakeup, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (*_FORWARDED, signal.SIGWINCH):
            self._saved_handlers[number] = signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._events.register(self._wakeup, selectors.EVENT_READ)

    def _signals(self) -> None:
        for number in os.read(self._wakeup, 64):
            if number == signal.SIGWINCH:
                if self._spec.terminal:
                    self._send_window()
            elif number in _FORWARDED:
                self._count(number)
                self._command(control.SIGNAL, control.number(number))

    def _count(self, number: int) -> None:
        self._heard[number] = self._heard.get(number, 0) + 1
        if number in (signal.SIGINT, signal.SIGTERM) and self._heard[number] >= _PATIENCE:
            raise WherryError(
                f"the container does not end on {signal.Signals(number).name}: it runs on",
                hint=f"end it with `wherry rm -f {self._spec.name}`",
            )

    def _send_window(self) -> None:
        for descriptor in (0, 1, 2):
            try:
                size = os.get_terminal_size(descriptor)
            except OSError:
                continue
            self._command(control.WINDOW, control.window(size.lines, size.columns))
            return

    def _connect_commands(self) -> None:
        """Signals and sizes have a connection of their own, where no unread stdin is in front of them."""
        try:
            self._commands = control.connect(self._folder)
        except OSError:
            # It has ended already.
            pass

    def _command(self, kind: bytes, data: bytes) -> None:
        if self._commands is not None:
            try:
                control.send(self._commands, kind, data)
            except OSError:
                pass

    def _enter_raw_mode(self) -> None:
        import termios
        import tty

        self._saved_terminal = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSANOW)


def _write_all(descriptor: int, data: bytes) -> None:
    """BrokenPipeError where nobody reads any more."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WherryError(f"cannot write the container's output: {error.strerror}") from None
