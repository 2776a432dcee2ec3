"""What happened in a store, in order: a record for each change of a container, image, volume or network.

    events/log       JSON lines, {"time": nanoseconds since 1970, "type", "action", "id", "attributes"}
    events/log.1     what was in `log` before it had _LARGEST bytes; what was there before that is gone
    events/lock      flock: held to append

There is no daemon to ask, so whoever changes something writes it down, and `wherry events` reads. What a
process that was killed could not say is said by whoever finds that out.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping

from wherry.base.tuples import NamedTuple
from wherry.oci.reference import Reference

_LARGEST = 1 << 20


class Event(NamedTuple):
    """`time`: nanoseconds since 1970; `kind`: container, image, volume, network or builder; `id`: of the
    thing, a volume's is its name; an image that is pulled or pushed is told by its name too."""

    time: int
    kind: str
    action: str
    id: str
    attributes: dict[str, str]


def record(root: str, kind: str, action: str, id: str, attributes: Mapping[str, str] | None = None) -> None:
    """Write down, in the store at `root`, what has been done.

    It has been done, so nothing fails because it cannot be written down, on a full disk for one.
    """
    folder = f"{root}/events"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The time is taken under the lock: the records are in its order.
            event = Event(time.time_ns(), kind, action, id, dict(attributes or {}))
            _append(f"{folder}/log", event)
        finally:
            os.close(lock)
    except OSError:
        pass


def record_transfer(root: str, action: str, reference: Reference) -> None:
    """`pull` or `push`, which docker tells of the name."""
    record(root, "image", action, reference.familiar, {"name": reference.familiar_name})


def follow(root: str, *, since: int | None, over: Callable[[], bool]) -> Iterator[Event]:
    """The events from `since` (nanoseconds) on, the oldest first, until `over()`; None: those to come."""
    from wherry.base import rotated

    for line in rotated.follow(f"{root}/events/log", over=over, tail=0 if since is None else None):
        event = _decode(line)
        if event and event.time >= (since or 0):
            yield event


def _append(path: str, event: Event) -> None:
    raw = json.dumps([*event]).encode("ascii") + b"\n"
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(log).st_size
        if size and os.pread(log, 1, size - 1) != b"\n":
            raw = b"\n" + raw  # who wrote last was killed in the middle
        os.write(log, raw)
    finally:
        os.close(log)
    if size + len(raw) > _LARGEST:
        from wherry.base import rotated

        rotated.turn(path, 2)


def _decode(line: bytes) -> Event | None:
    """None for what is no event: half of one, whose writer was killed or had no room for the rest."""
    try:
        return Event(*json.loads(line))
    except (ValueError, TypeError):
        return None
