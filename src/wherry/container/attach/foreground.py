"""A process in the foreground of this one, without a monitor: it ends with it, whatever ended it.

Its terminal is shown on the local one, which is in raw mode meanwhile: every key goes through, and the size
follows. Without a terminal its stdin, stdout and stderr are pipes that are copied from and to our own, which
it never gets hold of.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from contextlib import ExitStack

from wherry.container.attach import terminal
from wherry.container.attach.streams import Streams
from wherry.runtime.helper import Running
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import Container

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_CHUNK = 32 << 10
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def run(runtime: Runtime, container: Container, ready: Callable[[int], None] | None = None) -> Running:
    """The process, ended. Raises what `Runtime.start` does, which gets `ready`; SystemExit for SIGTERM and
    SIGHUP."""
    with_terminal = container.process.terminal
    streams = Streams(with_terminal, interactive=True)
    stdin, stdout, stderr = streams.inner
    running = runtime.start(container, stdin, stdout, stderr, ready)
    streams.begin(running.console)
    with ExitStack() as stack:
        stack.callback(_end, running)
        heard = terminal.Heard((*_ENDING, *((signal.SIGWINCH,) if with_terminal else ())))
        stack.callback(heard.close)
        if with_terminal:
            stack.enter_context(terminal.raw())
        _Relay(streams, heard).run()
        running.wait()
    return running


def _end(running: Running) -> None:
    running.kill()
    running.wait()


class _Relay:
    """Copies until the last who could write is gone."""

    def __init__(self, streams: Streams, heard: terminal.Heard) -> None:
        self._streams = streams
        self._heard = heard
        self._stdin_is_open = True
        # A file as stdin can be polled, but is refused by epoll.
        self._events = selectors.PollSelector()

    def run(self) -> None:
        self._resize()
        self._watch(self._heard.fileno(), _READ, self._signals)
        while self._streams.outputs:
            self._update()
            for key, _ in self._events.select():
                if key.fd in self._events.get_map():
                    key.data(key.fd)

    def _update(self) -> None:
        """Watch exactly what can make progress now."""
        for descriptor in self._streams.outputs:
            self._watch(descriptor, _READ, self._output)
        readable = self._stdin_is_open and not self._streams.is_full
        self._watch(0, _READ if readable else 0, self._input)
        if self._streams.input >= 0:
            self._watch(self._streams.input, _WRITE if self._streams.has_held else 0, self._flush)

    def _watch(self, descriptor: int, mask: int, handler: Callable[[int], None]) -> None:
        known = descriptor in self._events.get_map()
        if mask and not known:
            self._events.register(descriptor, mask, handler)
        elif known and not mask:
            self._events.unregister(descriptor)

    def _output(self, descriptor: int) -> None:
        stream = self._streams.outputs[descriptor]
        data = self._streams.read(descriptor)
        if data is None:
            return
        if not data:
            self._events.unregister(descriptor)
        while data:
            data = data[os.write(stream, data) :]

    def _input(self, _descriptor: int) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if data:
            self._streams.feed(data)
        else:
            self._stdin_is_open = False
            self._streams.end_input()
        self._flush(self._streams.input)

    def _flush(self, descriptor: int) -> None:
        """What has been written to its end is closed: its number must not be watched any more."""
        self._streams.flush()
        if self._streams.input < 0 <= descriptor:
            self._watch(descriptor, 0, self._flush)

    def _signals(self, _descriptor: int) -> None:
        for number in self._heard.take():
            if number in _ENDING:
                raise SystemExit(128 + number)
            if number == signal.SIGWINCH:
                self._resize()

    def _resize(self) -> None:
        if size := terminal.size():
            self._streams.resize(size.lines, size.columns)
