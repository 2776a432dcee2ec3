"""The ids that a process believes to have, where the kernel has one for all: Linux's rules (kernel/sys.c).

A process that changes its ids is marked by its soft limit RLIMIT_RSS, which means nothing to the kernel since
Linux 2.4.30: it passes to children at fork, stays at exec, and all threads share it, just as ids do. The
mark is a place in the table of all sets of ids that have come up.
"""

from __future__ import annotations

import errno
import resource
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .memory import Memory

_MARK = 1 << 62
_NONE = 0xFFFFFFFF
_MOST_GROUPS = 65536
_MOST_SETS = 4096
_REAL, _EFFECTIVE, _SAVED, _FILES = range(4)


class Refused(Exception):
    """The call fails with this error number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Ids:
    """Real, effective, saved and file system's ids of user and group, and the supplementary groups."""

    def __init__(
        self, user: tuple[int, int, int, int], group: tuple[int, int, int, int], groups: tuple[int, ...]
    ) -> None:
        self.user = user
        self.group = group
        self.groups = groups

    @property
    def is_root(self) -> bool:
        return self.user[_EFFECTIVE] == 0

    def may_give(self, uid: int, gid: int) -> bool:
        """Whether a file of its own may be given these ids, or _NONE for those that it has."""
        own = self.user[_FILES], _NONE
        return self.is_root or (uid in own and gid in (self.group[_FILES], _NONE, *self.groups))


class Credentials:
    """The ids of every process of a container; those that set none have the ones given."""

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        self._table = [Ids((uid,) * 4, (gid,) * 4, tuple(sorted(groups)))]
        self._known = {self._key(self._table[0]): 0}
        self.first = self._table[0]

    def of(self, pid: int) -> Ids:
        return self._table[self._mark(pid)]

    def set(self, pid: int, ids: Ids) -> None:
        key = self._key(ids)
        if key not in self._known:
            if len(self._table) == _MOST_SETS:
                raise Refused(errno.EAGAIN)
            self._known[key] = len(self._table)
            self._table.append(ids)
        number = self._known[key]
        if number != self._mark(pid):
            soft = _MARK + number if number else resource.RLIM_INFINITY
            _, hard = resource.prlimit(pid, resource.RLIMIT_RSS)
            resource.prlimit(pid, resource.RLIMIT_RSS, (soft, hard))

    def _mark(self, pid: int) -> int:
        soft, _ = resource.prlimit(pid, resource.RLIMIT_RSS)
        number = soft - _MARK
        return number if 0 < number < len(self._table) else 0

    @staticmethod
    def _key(ids: Ids) -> tuple[tuple[int, ...], ...]:
        return ids.user, ids.group, ids.groups


def answer(name: str, arguments: tuple[int, ...], pid: int, all_ids: Credentials, memory: Memory) -> int:
    """The result of a call that asks for ids or sets them, by its name (wherry's idcalls.py); or Refused.

    A process that has left root may still leave its groups, once: it may have kept its capabilities
    (PR_SET_KEEPCAPS, as setpriv does), which cannot be seen from here.
    """
    width = 2 if name.endswith("16") else 4
    name = name.removesuffix("16")
    none = 0xFFFF if width == 2 else _NONE
    values = tuple(_NONE if value & none == none else value & none for value in arguments[:3])
    ids = all_ids.of(pid)
    if name in _READ:
        return _READ[name](ids)
    if name in ("getresuid", "getresgid"):
        for address, value in zip(
            arguments[:3], ids.user if name == "getresuid" else ids.group, strict=False
        ):
            memory.write(pid, address, value.to_bytes(4, "little")[:width])
        return 0
    if name == "getgroups":
        return _get_groups(ids, arguments, pid, memory, width)
    if name == "setgroups":
        changed = Ids(ids.user, ids.group, _new_groups(ids, all_ids.first, arguments, pid, memory, width))
        all_ids.set(pid, changed)
        return 0
    four = ids.user if "uid" in name else ids.group
    may = ids.is_root or ("gid" in name and ids.group == all_ids.first.group)
    result, four = _SET[name.replace("gid", "uid")](four, values, may)
    all_ids.set(pid, Ids(four, ids.group, ids.groups) if "uid" in name else Ids(ids.user, four, ids.groups))
    return result


_READ: dict[str, Callable[[Ids], int]] = {
    "getuid": lambda ids: ids.user[_REAL],
    "geteuid": lambda ids: ids.user[_EFFECTIVE],
    "getgid": lambda ids: ids.group[_REAL],
    "getegid": lambda ids: ids.group[_EFFECTIVE],
}


def _get_groups(ids: Ids, arguments: tuple[int, ...], pid: int, memory: Memory, width: int) -> int:
    size, address = arguments[0] & _NONE, arguments[1]
    if not size:
        return len(ids.groups)
    if size < len(ids.groups):
        raise Refused(errno.EINVAL)
    memory.write(pid, address, b"".join(group.to_bytes(4, "little")[:width] for group in ids.groups))
    return len(ids.groups)


def _new_groups(
    ids: Ids, first: Ids, arguments: tuple[int, ...], pid: int, memory: Memory, width: int
) -> tuple[int, ...]:
    count = arguments[0] & _NONE
    if not ids.is_root and ids.groups != first.groups:
        raise Refused(errno.EPERM)
    if count > _MOST_GROUPS:
        raise Refused(errno.EINVAL)
    data = memory.read(pid, arguments[1], count * width)
    return tuple(sorted(value for (value,) in struct.iter_unpack("=H" if width == 2 else "=I", data)))


if TYPE_CHECKING:
    Four = tuple[int, int, int, int]


def _set(old: Four, values: tuple[int, ...], is_root: bool) -> tuple[int, Four]:
    """setuid(2)"""
    new = values[0]
    _check_valid(new)
    if is_root:
        return 0, (new, new, new, new)
    if new not in (old[_REAL], old[_SAVED]):
        raise Refused(errno.EPERM)
    return 0, (old[_REAL], new, old[_SAVED], new)


def _set_two(old: Four, values: tuple[int, ...], is_root: bool) -> tuple[int, Four]:
    """setreuid(2)"""
    real, effective = values[0], values[1]
    _check_allowed(real, old[:_SAVED], is_root)
    _check_allowed(effective, old[:_FILES], is_root)
    saved = old[_SAVED]
    new_effective = old[_EFFECTIVE] if effective == _NONE else effective
    if real != _NONE or (effective != _NONE and effective != old[_REAL]):
        saved = new_effective
    return 0, (old[_REAL] if real == _NONE else real, new_effective, saved, new_effective)


def _set_three(old: Four, values: tuple[int, ...], is_root: bool) -> tuple[int, Four]:
    """setresuid(2)"""
    for value in values:
        _check_allowed(value, old[:_FILES], is_root)
    real, effective, saved = (
        had if value == _NONE else value for had, value in zip(old, values, strict=False)
    )
    # Where nothing changes, the file system's id does not either: since Linux 6.3 (__sys_setresuid).
    if (real, effective, saved) == old[:_FILES] and values[_EFFECTIVE] in (_NONE, old[_FILES]):
        return 0, old
    return 0, (real, effective, saved, effective)


def _set_files(old: Four, values: tuple[int, ...], is_root: bool) -> tuple[int, Four]:
    """setfsuid(2), which never fails, and gives the id from before"""
    new = values[0]
    allowed = new != _NONE and (is_root or new in old)
    return old[_FILES], (old[0], old[1], old[2], new if allowed else old[_FILES])


_SET: dict[str, Callable[[Four, tuple[int, ...], bool], tuple[int, Four]]] = {
    "setuid": _set,
    "setreuid": _set_two,
    "setresuid": _set_three,
    "setfsuid": _set_files,
}


def _check_valid(value: int) -> None:
    if value == _NONE:
        raise Refused(errno.EINVAL)


def _check_allowed(value: int, own: tuple[int, ...], is_root: bool) -> None:
    if value != _NONE and not is_root and value not in own:
        raise Refused(errno.EPERM)
