"""Limits as what has to be written for them into the files of a cgroup, of either version."""

from __future__ import annotations

from wherry.runtime.spec import Resources

_PERIOD = 100_000  # microseconds, the kernel's default

OPTIONAL = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})
"""Files that a kernel lacks that does not count swap: good enough where no limit of swap was asked for."""

Files = list[tuple[str, str]]


def wanted(resources: Resources, version: int) -> dict[str, Files]:
    """For each controller that is needed: files and their content, in the order in which to write them."""
    make = (_memory_1, _cpu_1) if version == 1 else (_memory_2, _cpu_2)
    found = {
        "memory": make[0](resources),
        "cpu": make[1](resources),
        "cpuset": _cpuset(resources),
        "pids": [("pids.max", str(resources.pids))] if resources.pids else [],
    }
    return {controller: files for controller, files in found.items() if files}


def _memory_1(asked: Resources) -> Files:
    soft = [("memory.soft_limit_in_bytes", str(asked.memory_reservation))] if asked.memory_reservation else []
    if not asked.memory:
        return soft
    total = asked.memory_swap or 2 * asked.memory
    hard = [("memory.limit_in_bytes", str(asked.memory)), ("memory.memsw.limit_in_bytes", str(total))]
    return hard + soft


def _memory_2(asked: Resources) -> Files:
    """Version 2 counts swap for itself."""
    soft = [("memory.low", str(asked.memory_reservation))] if asked.memory_reservation else []
    if not asked.memory:
        return soft
    swap = "max" if asked.memory_swap < 0 else str((asked.memory_swap or 2 * asked.memory) - asked.memory)
    return [("memory.max", str(asked.memory)), ("memory.swap.max", swap), *soft]


def _cpu_1(asked: Resources) -> Files:
    named = {
        "cpu.shares": asked.cpu_shares,
        "cpu.cfs_period_us": asked.cpu_period,
        "cpu.cfs_quota_us": asked.cpu_quota,
    }
    return [(name, str(value)) for name, value in named.items() if value]


def _cpu_2(asked: Resources) -> Files:
    files = []
    if asked.cpu_shares:  # 2 to 262144 become 1 to 10000 (runtime-spec's and runc's formula)
        files.append(("cpu.weight", str(1 + (asked.cpu_shares - 2) * 9999 // 262142)))
    if asked.cpu_quota or asked.cpu_period:
        files.append(("cpu.max", f"{asked.cpu_quota or 'max'} {asked.cpu_period or _PERIOD}"))
    return files


def _cpuset(asked: Resources) -> Files:
    named = {"cpuset.mems": asked.memory_nodes, "cpuset.cpus": asked.cpus}
    return [(name, value) for name, value in named.items() if value]
