"""The processes of a running container, found in /proc without its help, and without rights over them.

They descend from the container's monitor, and are as deep in pid namespaces as its first process, or deeper:
the monitor's helpers are not, and those that crun and runc need are above it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from wherry.container.containers import Container


def members(monitor: int, first: int) -> list[int]:
    """Process IDs as they are here, without those that have ended and wait for their parent; the first one's
    in front, where it is there. `monitor` and `first` are the process IDs of those two."""
    depth = _depth(first)
    found = [pid for pid in _descendants(monitor) if depth and _depth(pid) >= depth]
    return sorted(found, key=lambda pid: (pid != first, pid))


def members_of(container: Container) -> list[int]:
    """None where the container does not run."""
    state = container.state
    return members(state.monitor.pid, state.pid) if state.pid and state.monitor else []


def _depth(pid: int) -> int:
    """How many pid namespaces it has a number in, seen from here; 0 where there is no such process."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"NSpid:"):
                    return len(line.split()) - 1
    except OSError:
        pass
    return 0


def _descendants(ancestor: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _living_child_of(int(name))):
            children.setdefault(parent, []).append(int(name))
    waiting = [ancestor]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            waiting.append(pid)
            yield pid


def _living_child_of(pid: int) -> int:
    """Its parent's process ID; 0 where it has ended, with all of its threads (proc(5), /proc/pid/stat)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    has_ended = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
    return 0 if has_ended else int(fields[1])
