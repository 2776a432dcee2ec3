"""Limits as words for the kernel, and where the kernel has its cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.runtime.cgroups.tree import Hierarchy, hierarchies
from wherry.runtime.cgroups.wanted import Files, wanted
from wherry.runtime.spec import Resources


@pytest.mark.parametrize(
    ("resources", "version", "expected"),
    [
        (Resources(), 1, {}),
        (
            Resources(memory=64 << 20),
            1,
            {
                "memory": [
                    ("memory.limit_in_bytes", "67108864"),
                    ("memory.memsw.limit_in_bytes", "134217728"),
                ]
            },
        ),
        (
            Resources(memory=100, memory_swap=150),
            2,
            {"memory": [("memory.max", "100"), ("memory.swap.max", "50")]},
        ),
        (
            Resources(memory=100, memory_swap=-1),
            2,
            {"memory": [("memory.max", "100"), ("memory.swap.max", "max")]},
        ),
        (
            Resources(memory=100, memory_swap=-1),
            1,
            {"memory": [("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "-1")]},
        ),
        (Resources(memory=100), 2, {"memory": [("memory.max", "100"), ("memory.swap.max", "100")]}),
        (Resources(cpu_quota=150_000), 1, {"cpu": [("cpu.cfs_quota_us", "150000")]}),
        (Resources(cpu_quota=150_000), 2, {"cpu": [("cpu.max", "150000 100000")]}),
        (Resources(cpu_period=50_000), 2, {"cpu": [("cpu.max", "max 50000")]}),
        (Resources(cpu_shares=1024), 1, {"cpu": [("cpu.shares", "1024")]}),
        (Resources(cpu_shares=2), 2, {"cpu": [("cpu.weight", "1")]}),
        (Resources(cpu_shares=1024), 2, {"cpu": [("cpu.weight", "39")]}),
        (Resources(cpu_shares=262144), 2, {"cpu": [("cpu.weight", "10000")]}),
        (
            Resources(cpus="0-1", memory_nodes="0"),
            1,
            {"cpuset": [("cpuset.mems", "0"), ("cpuset.cpus", "0-1")]},
        ),
    ],
)
def test_what_is_written(resources: Resources, version: int, expected: dict[str, Files]) -> None:
    assert wanted(resources, version) == expected


HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /box /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / {top} rw,relatime shared:3 - cgroup2 cgroup2 rw
"""


def test_both_versions_at_once(tmp_path: Path) -> None:
    (tmp_path / "user/a:b").mkdir(parents=True)
    (tmp_path / "user/a:b/cgroup.controllers").write_text("hugetlb pids\n")
    own = "4:memory:/box/inner\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/user/a:b\n"
    assert hierarchies(HYBRID.format(top=tmp_path), own) == [
        Hierarchy(
            1, "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", frozenset({"cpu", "cpuacct"})
        ),
        Hierarchy(1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/inner", frozenset({"memory"})),
        Hierarchy(1, "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd", frozenset({"name=systemd"})),
        Hierarchy(2, str(tmp_path), f"{tmp_path}/user/a:b", frozenset({"hugetlb", "pids"})),
    ]


def test_none_at_all() -> None:
    assert hierarchies("22 1 0:20 / / rw - ext4 /dev/vda rw\n", "") == []


def test_wherry_s_own_place_is_not_beneath_itself(tmp_path: Path) -> None:
    """Where it had to move to make room, the next cgroup is made where the first one was."""
    mounts = f"41 31 0:38 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    (found,) = hierarchies(mounts, "0::/scope/wherry-self\n")
    assert found.own == f"{tmp_path}/scope"
