"""What /proc says of a process (proc(5)). Its memory and transfers alone need rights over it."""

from __future__ import annotations

import os

from wherry.base.tuples import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PSEUDO_TERMINALS = range(136, 144)
"""Their major numbers (Linux, Documentation/admin-guide/devices.txt)."""


class Process(NamedTuple):
    """`uid` and `gid` are effective ids as the container's processes see them.

    Times: `cpu` and `waited_for` (that of children which have ended) in seconds, `started` in unix seconds.
    Sizes are in bytes; `words` is empty for what has no command line.
    """

    pid: int
    parent: int
    uid: int
    gid: int
    state: str
    name: str
    words: tuple[str, ...]
    terminal: str
    started: float
    cpu: float
    waited_for: float
    size: int
    resident: int
    threads: int
    nice: int
    priority: int
    session: int
    group: int
    foreground: int


def read(pid: int) -> Process | None:
    """None where it has ended."""
    try:
        stat = _bytes(f"/proc/{pid}/stat").decode(errors="replace")
        status = dict(_pairs(_bytes(f"/proc/{pid}/status").decode(errors="replace")))
        words = _bytes(f"/proc/{pid}/cmdline").decode(errors="replace").rstrip("\0")
        maps = [_bytes(f"/proc/{pid}/{kind}_map").decode() for kind in ("uid", "gid")]
    except OSError:
        return None
    name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 1 :].split()
    number = [int(field) for field in fields[1:]]
    return Process(
        pid=pid,
        parent=number[0],
        uid=inside(int(status["Uid"].split()[1]), maps[0]),
        gid=inside(int(status["Gid"].split()[1]), maps[1]),
        state=fields[0],
        name=name,
        words=tuple(words.split("\0")) if words else (),
        terminal=_terminal(number[3]),
        started=_booted() + number[18] / _TICKS,
        cpu=(number[10] + number[11]) / _TICKS,
        waited_for=(number[12] + number[13]) / _TICKS,
        size=number[19],
        resident=number[20] * _PAGE,
        threads=number[16],
        nice=number[15],
        priority=number[14],
        session=number[2],
        group=number[1],
        foreground=number[4],
    )


def inside(number: int, mapping: str) -> int:
    """An id of this process's user namespace as it is in another, whose map this is (user_namespaces(7))."""
    for line in mapping.splitlines():
        first, outside, count = map(int, line.split())
        if outside <= number < outside + count:
            return first + number - outside
    return number


def memory(process: Process) -> int:
    """Bytes of memory that are its own, with its part of what it shares; all that is resident, where only
    that may be seen."""
    try:
        for line in _bytes(f"/proc/{process.pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return process.resident


def transferred(pid: int) -> tuple[int, int]:
    """Bytes that it, with children that have ended, had read from disks and written to them."""
    try:
        counts = dict(_pairs(_bytes(f"/proc/{pid}/io").decode()))
        return int(counts["read_bytes"]), int(counts["write_bytes"])
    except (OSError, KeyError):
        return 0, 0


def received_and_sent(pid: int) -> tuple[int, int]:
    """Bytes on the devices of its network namespace, but for the loopback."""
    received = sent = 0
    try:
        lines = _bytes(f"/proc/{pid}/net/dev").split(b"\n")[2:-1]
    except OSError:
        return 0, 0
    for line in lines:
        name, _, counts = line.partition(b":")
        if name.strip() != b"lo":
            received += int(counts.split()[0])
            sent += int(counts.split()[8])
    return received, sent


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(key, value.strip()) for key, _, value in (line.partition(":") for line in text.splitlines())]


def _terminal(number: int) -> str:
    """`pts/3`; empty for none. In a device's number the minor one has 20 bits, in two parts (kdev_t.h)."""
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if major in _PSEUDO_TERMINALS:
        return f"pts/{(major - _PSEUDO_TERMINALS[0]) * 256 + minor}"
    return f"tty{minor}" if major == 4 else ""


def _booted() -> float:
    """Unix seconds."""
    for line in _bytes("/proc/stat").splitlines():
        if line.startswith(b"btime "):
            return float(line.split()[1])
    return 0.0
