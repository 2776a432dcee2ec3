"""The processes below this one, where no pid namespace ends them: found by their parent, killed one by one.

A child that loses its parent becomes that of the nearest ancestor which has asked for orphans (a
"subreaper", prctl(2)). So whoever asked and kills its children until none is left has killed all.
"""

from __future__ import annotations

import os

_SIGKILL = 9


def end_all(keep: frozenset[int] = frozenset()) -> None:
    """Kill all processes below this one, but for its children `keep` and what is below those."""
    while doomed := _children() - keep:
        for pid in doomed:
            try:
                os.kill(pid, _SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass  # has been waited for meanwhile


def _children() -> set[int]:
    """Also those that have ended and wait to be asked for."""
    own, found = os.getpid(), set()
    for name in os.listdir("/proc"):
        if name.isdecimal() and _parent(name) == own:
            found.add(int(name))
    return found


def _parent(pid: str) -> int:
    """0 for a process that is gone. The command's name, in parentheses, may have any characters."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
