"""A command on a real terminal: what it shows is read, keys are typed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UP = b"\x1b[A"


class Terminal:
    """`seen` is all that was shown so far; `settings` are those of the terminal before the command began."""

    def __init__(
        self, words: Sequence[str | Path], environment: Mapping[str, str], size: tuple[int, int] = (33, 77)
    ) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(*size)
        self.settings = self.settings_now()
        self.seen = b""
        self._mark = 0
        self.process = subprocess.Popen(
            list(map(str, words)),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
            start_new_session=True,
        )

    def type(self, keys: bytes) -> None:
        self._mark = len(self.seen)
        os.write(self._master, keys)

    def read_until(self, what: bytes, seconds: float = 60) -> bytes:
        """Wait until `what` is shown after the last keys; all that was shown since."""
        deadline = time.monotonic() + seconds
        while what not in self.seen[self._mark :]:
            readable, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"{what!r} was not shown:\n{self.seen.decode(errors='replace')}"
            self.seen += os.read(self._master, 4096)
        return self.seen[self._mark :]

    def try_out(self) -> None:
        """A shell of a container with its size, its resizing and its keys; it ends with exit code 9."""
        self.read_until(b"/ # ")
        self.type(b"stty size; echo $TERM; tty\n")
        self.read_until(b"33 77\r\nxterm\r\n/dev/pts/")
        self.resize(44, 88)
        self.process.send_signal(signal.SIGWINCH)
        self.type(b'until [ "$(stty size)" = "44 88" ]; do sleep 0.05; done; echo resi""zed; sleep 100\n')
        self.read_until(b"resized")
        time.sleep(0.3)  # for `sleep` to begin; the shell ends the list of commands too if it has not
        self.type(b"\x03")
        self.read_until(b"/ # ")
        self.type(b"exit 9\n")

    def end(self, seconds: float = 60) -> int:
        """The exit code; what is shown up to the end is read."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self._drain(0.05)
        self._drain(0)
        return self.process.wait(0.1)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings_now(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _drain(self, seconds: float) -> None:
        while select.select([self._master], [], [], seconds)[0]:
            self.seen += os.read(self._master, 4096)


@contextmanager
def terminal(words: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """The command on its terminal; it is killed when the context ends."""
    opened = Terminal(words, environment)
    try:
        yield opened
    finally:
        opened.close()
