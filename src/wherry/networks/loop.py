"""One event loop: handlers for what is ready, and what is due at a time."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

Handler = Callable[[int], None]
"""Gets what is ready: READ, WRITE or both."""


class Loop:
    def __init__(self) -> None:
        self._events = selectors.DefaultSelector()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}

    def watch(self, item: socket.socket, mask: int, handler: Handler) -> None:
        if item in self._events.get_map():
            self._events.modify(item, mask, handler)
        else:
            self._events.register(item, mask, handler)

    def forget(self, item: socket.socket) -> None:
        """Watch it no more; nothing where it was not watched. To be called before it is closed."""
        if item.fileno() >= 0 and item in self._events.get_map():
            self._events.unregister(item)

    def close(self, item: socket.socket) -> None:
        self.forget(item)
        item.close()

    def after(self, owner: object, seconds: float, action: Callable[[], None]) -> None:
        """Do something later, in place of what `owner` wanted to be done before."""
        self._due[owner] = (time.monotonic() + seconds, action)

    def never(self, owner: object) -> None:
        self._due.pop(owner, None)

    def turn(self) -> None:
        """Wait for something, and handle all that is ready or due."""
        soonest = min((moment for moment, _ in self._due.values()), default=None)
        patience = None if soonest is None else max(0.0, soonest - time.monotonic())
        for key, mask in self._events.select(patience):
            # An earlier event of this turn may have closed it, and a new one may have its number.
            now = self._events.get_map().get(key.fd)
            if now is not None and now.fileobj is key.fileobj and mask & now.events:
                now.data(mask & now.events)
        moment = time.monotonic()
        for owner, (due, action) in list(self._due.items()):
            if due <= moment and self._due.get(owner) == (due, action):
                del self._due[owner]
                action()
