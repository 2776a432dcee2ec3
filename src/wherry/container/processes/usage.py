"""What a container uses: processor, memory, network, disks, from outside and without its help.

A container with limits has cgroups, which count for it. For others, what /proc says of its processes is added
up; processor time of those that have ended is their parents'.
"""

from __future__ import annotations

import os
import time

from wherry.base.tuples import NamedTuple
from wherry.container.containers import Container
from wherry.container.processes import processes
from wherry.container.processes.members import members_of
from wherry.runtime.cgroups.tree import own_of, read


class Sample(NamedTuple):
    """`moment` in seconds of the monotonic clock, `cpu` in seconds so far. Sizes are in bytes, those of
    transfers so far; `limit` is what there is of memory."""

    moment: float
    cpu: float = 0.0
    memory: int = 0
    limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    threads: int = 0


def sample(container: Container) -> Sample:
    """Of a container that does not run nothing but the moment."""
    found = [process for pid in members_of(container) if (process := processes.read(pid))]
    if not found:
        return Sample(time.monotonic())
    first, monitor = container.state.pid, container.state.monitor
    folders = own_of(first, monitor.pid) if monitor else {}
    memory, limit = _memory(folders.get("memory", ""))
    disks = [processes.transferred(process.pid) for process in found]
    received, sent = (0, 0) if container.spec.network == "host" else processes.received_and_sent(first)
    return Sample(
        moment=time.monotonic(),
        cpu=_cpu(folders) or sum(process.cpu + process.waited_for for process in found),
        memory=memory or sum(processes.memory(process) for process in found),
        limit=min(limit or machine_memory(), machine_memory()),
        received=received,
        sent=sent,
        read=sum(count for count, _ in disks),
        written=sum(count for _, count in disks),
        threads=sum(process.threads for process in found),
    )


def machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory(folder: str) -> tuple[int, int]:
    """What docker counts as used, which leaves out files that were not read of late; and the limit.

    0: not known (cgroup-v1/memory.rst, cgroup-v2.rst).
    """
    if not folder:
        return 0, 0
    used = _number(f"{folder}/memory.current") or _number(f"{folder}/memory.usage_in_bytes")
    limit = _number(f"{folder}/memory.max") or _number(f"{folder}/memory.limit_in_bytes")
    counts = dict(line.split() for line in read(f"{folder}/memory.stat").splitlines())
    idle = int(counts.get("total_inactive_file") or counts.get("inactive_file") or 0)
    return used - idle if idle < used else used, limit


def _cpu(folders: dict[str, str]) -> float:
    """Seconds; 0 where no cgroup counts them."""
    if folder := folders.get("cpuacct"):
        return _number(f"{folder}/cpuacct.usage") / 10**9
    if folder := folders.get("cpu"):
        for line in read(f"{folder}/cpu.stat").splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 10**6
    return 0.0


def _number(path: str) -> int:
    """0 where there is none, or no bound."""
    text = read(path).strip()
    return int(text) if text.isdigit() else 0
