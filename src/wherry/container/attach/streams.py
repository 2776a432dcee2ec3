"""The process's stdin, stdout and stderr as the monitor holds them: pipes, or one terminal for all three."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from wherry.container.log import STREAMS

_CHUNK = 64 << 10
_HELD = 1 << 20


class Streams:
    """`inner` are the process's ends; `outputs` maps the monitor's to 1 (stdout, terminal) or 2 (stderr)."""

    def __init__(self, terminal: bool, interactive: bool) -> None:
        self._terminal = terminal
        self._interactive = interactive
        self._console = -1
        self._held = bytearray()
        self._ended = False
        self.input = -1
        self.outputs: dict[int, int] = {}
        self.inner = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in STREAMS]
        if not terminal:
            self._make_pipes()

    def _make_pipes(self) -> None:
        for stream in (1, 2):
            outer, inner = os.pipe()
            os.set_blocking(outer, False)
            os.close(self.inner[stream])
            self.inner[stream] = inner
            self.outputs[outer] = stream
        if self._interactive:
            inner, outer = os.pipe()
            os.close(self.inner[0])
            self.inner[0] = inner
            self._set_input(outer)

    def begin(self, console: int) -> None:
        """The process runs: its ends are its own now, and the terminal's other end (or -1) is ours."""
        for descriptor in self.inner:
            os.close(descriptor)
        self._console = console
        if console >= 0:
            os.set_blocking(console, False)
            self.outputs = {console: 1}
            if self._interactive:
                # A descriptor of its own: an event loop watches each one for one thing only.
                self._set_input(os.dup(console))

    def read(self, descriptor: int) -> bytes | None:
        """What the process wrote; b"" at the end, after which `descriptor` is closed.

        None where nothing is there after all: a process may open its own stdout and be the first to read.
        """
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            # A terminal whose last user is gone says EIO, which is its end of file.
            data = b""
        if not data:
            self.close_output(descriptor)
        return data

    def close_output(self, descriptor: int) -> None:
        del self.outputs[descriptor]
        os.close(descriptor)

    def feed(self, data: bytes) -> None:
        """Bytes for the process's stdin; without an open stdin they are lost, as with a closed pipe."""
        if self.input >= 0 and not self._ended:
            self._held += data

    def end_input(self) -> None:
        """No more is coming: stdin is closed once all that was fed is written. A terminal stays open."""
        if not self._terminal:
            self._ended = True

    def flush(self) -> None:
        """Write what the process takes now. At the end of what was fed, `input` is closed and becomes -1."""
        if self.input < 0:
            return
        try:
            while self._held:
                del self._held[: os.write(self.input, self._held[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            # The process closed its stdin.
            self._held.clear()
            self._ended = True
        if self._ended:
            self.close_input()

    def close_input(self) -> None:
        os.close(self.input)
        self.input = -1

    @property
    def has_held(self) -> bool:
        return bool(self._held) and self.input >= 0

    @property
    def is_full(self) -> bool:
        return len(self._held) >= _HELD

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's size; the kernel tells the process with SIGWINCH."""
        if self._console >= 0 and self._console in self.outputs:
            fcntl.ioctl(self._console, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Where the process has not begun."""
        for descriptor in (*self.inner, *self.outputs, *((self.input,) if self.input >= 0 else ())):
            os.close(descriptor)

    def _set_input(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.input = descriptor
