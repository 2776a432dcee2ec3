"""Hears whether a container makes sockets that lead to a network, where nothing else is to be heard of it.

That is done by a thread of wherry's own: most containers make none, and a process beside each
(`init/listener.py`) costs as much as a short RUN.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import struct
import threading

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION, _ANSWER = 80, struct.Struct("=QqiI")
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE

_NO_FILES = "in this mode wherry cannot observe what files processes look at"


class Sockets:
    """Takes the place of a process that serves a container (`helper.Start`)."""

    def __init__(self, listener: int, result: str) -> None:
        """`listener` stays the caller's; `result` is a new file, written as `init/listener.py` does."""
        self._listener = os.dup(listener)
        self._result = result
        self._ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def wait(self) -> int:
        """Until the last process that may ask is gone."""
        self._ended.wait()
        return 0

    def ended(self) -> bool:
        return self._ended.is_set()

    def _serve(self) -> None:
        try:
            networked = self._hear()
            with open(self._result, "xb") as file:
                marshal.dump(({}, [], _NO_FILES, networked), file)
        except OSError:
            pass  # without a result the container may have used the network
        finally:
            os.close(self._listener)
            self._ended.set()

    def _hear(self) -> bool:
        """Whether any call came: none does but for such a socket."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        networked = False
        while True:
            ((_, events),) = poll.poll()
            if not events & select.POLLIN:
                return networked
            networked = True
            notification = bytearray(_NOTIFICATION)
            try:
                fcntl.ioctl(self._listener, _RECEIVE, notification)
                fcntl.ioctl(
                    self._listener, _SEND, _ANSWER.pack(*struct.unpack_from("=Q", notification), 0, 0, _GO_ON)
                )
            except FileNotFoundError:
                pass  # who asked was killed
