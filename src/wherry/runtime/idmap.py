"""User namespaces: the process's user becomes root (id 0) of one, with ids that are nobody's on the machine.

For an ordinary user the ids from 1 on are his subordinate ones (subuid(5)); root keeps every id as it is.
Owners of files and users of a container keep their numbers.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from wherry.base.errors import Denied, WherryError
from wherry.base.tuples import NamedTuple
from wherry.base.which import which
from wherry.runtime.init import linux

_FAREWELL = 0.5  # seconds
_HIGHEST = 2**31 - 1
_FEW = 65536  # ids of an image go from 0 to 65535 (nobody is 65534)


class Range(NamedTuple):
    """`size` ids, from `inside` on in a user namespace and from `outside` on outside of it."""

    inside: int
    outside: int
    size: int


def enter_keeping() -> None:
    """As `enter_with_ranges`, where the user keeps his own ids, and root's are the first of his ranges.

    This process becomes that root, but files that it makes stay the user's; what it executes makes root's.
    """
    uid, gid = os.geteuid(), os.getegid()
    enter_with_ranges(around_own)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    linux.make_files_of(uid, gid)


def enter_with_ranges(arrange: Callable[[tuple[Range, ...]], tuple[Range, ...]] = tuple) -> None:
    """Move this process, which must have one thread, into namespaces of its own for users and mounts.

    `arrange` says which ids inside are an ordinary user's and his subordinate ones.
    Denied, with the command that mends it, where the machine does not let us or gives no range of ids.
    """
    _check_alone()
    if os.geteuid() == 0:
        if has_one_id():
            raise Denied("this process has one id alone", hint="start it outside of its user namespace")
        uids, gids = _own_ids("uid"), _own_ids("gid")
        fault = "this process lacks CAP_SETUID or CAP_SETGID"
    else:
        name = _user_name()
        uids = arrange(_ranges("/etc/subuid", name, os.geteuid()))
        gids = arrange(_ranges("/etc/subgid", name, os.getegid()))
        for program in ("newuidmap", "newgidmap"):
            _check_program(program)
        fault = f"check the lines of {name} in /etc/subuid and /etc/subgid"
    helper, go, answer = _fork_mapper(uids, gids)
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        os.write(go, b"!")
    except OSError as error:
        _refuse_user_namespace(error)
    finally:
        os.close(go)
        with os.fdopen(answer, "rb") as pipe:
            problem = pipe.read().decode(errors="replace")
        os.waitpid(helper, 0)
    if problem:
        raise Denied(f"cannot map a range of ids: {problem}", hint=fault)
    try:
        linux.make_slave()
    except OSError as error:
        _refuse_user_namespace(error)


def around_own(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The user's own id keeps its number; the subordinate ones have all the others, from 0 on."""
    own = ranges[0].outside
    kept: list[Range] = []
    inside = 0
    for _, outside, size in ranges[1:]:
        below = min(max(own - inside, 0), size)
        for start, count in ((outside, below), (outside + below, size - below)):
            if inside == own:
                kept.append(Range(own, own, 1))
                inside += 1
            if count:
                kept.append(Range(inside, start, count))
                inside += count
    if inside <= own:
        kept.append(Range(own, own, 1))
    return tuple(kept)


def has_ranges() -> bool:
    """Whether an ordinary user has been given ranges of ids, and the programs to map them."""
    try:
        _ranges("/etc/subuid", _user_name(), os.geteuid())
        _ranges("/etc/subgid", _user_name(), os.getegid())
        for program in ("newuidmap", "newgidmap"):
            _check_program(program)
    except Denied:
        return False
    return True


def enter_with_one() -> None:
    """As `enter_with_ranges`, with the process's own ids alone, which become 0. It needs nobody's help."""
    _check_alone()
    uid, gid = os.geteuid(), os.getegid()
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        # Without setgroups(2) no group can be left, so that no right is won by leaving one: anybody may map.
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        linux.make_slave()
    except OSError as error:
        _refuse_user_namespace(error)


def join(namespace: int) -> None:
    """Move this process, which must have one thread, into a user namespace that exists, and into a mount
    namespace of its own there."""
    _check_alone()
    try:
        linux.join(namespace, linux.CLONE_NEWUSER)
        linux.unshare(linux.CLONE_NEWNS)
        linux.make_slave()
    except OSError as error:
        raise Denied(f"cannot enter the user namespace of other containers: {error.strerror}") from None


def in_user_namespace() -> bool:
    """Whether ids here are not the machine's own."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() != ["0", "0", str(2**32 - 1)]


def has_one_id() -> bool:
    """Whether no owner but one can be told apart here."""
    return [item.size for item in _own_ids("uid")] == [1]


def _check_alone() -> None:
    """The kernel moves no process with several threads; one that was joined may take a moment to be gone."""
    end = time.monotonic() + _FAREWELL
    while len(os.listdir("/proc/self/task")) > 1:
        if time.monotonic() > end:
            raise RuntimeError("a user namespace must be entered before any thread is started")
        time.sleep(0.001)


def _fork_mapper(uids: tuple[Range, ...], gids: tuple[Range, ...]) -> tuple[int, int, int]:
    """A child that stays outside and maps our ids when told so. Its pid, where to say go, and its answer.

    newuidmap(1) has the right to map several ids in the namespace it runs in, not inside the new one.
    """
    parent = os.getpid()
    wait, go = os.pipe()
    answer, say = os.pipe()
    pid = os.fork()
    if pid:
        os.close(wait)
        os.close(say)
        return pid, go, answer
    try:
        os.close(go)
        if os.read(wait, 1):
            os.write(say, _map(parent, uids, gids).encode())
    except Exception as error:
        os.write(say, str(error).encode())
    finally:
        os._exit(0)


def _map(pid: int, uids: tuple[Range, ...], gids: tuple[Range, ...]) -> str:
    """Map both kinds of ids; what went wrong, or nothing."""
    if os.geteuid() == 0:
        return _map_as_root(pid, uids, gids)
    # Side by side, and without the import of subprocess: the start of a container waits for this.
    begun = [_begin_mapping("newuidmap", pid, uids), _begin_mapping("newgidmap", pid, gids)]
    return next(filter(None, [_end_mapping(*one) for one in begun]), "")


def _begin_mapping(program: str, pid: int, ranges: tuple[Range, ...]) -> tuple[str, int, int]:
    """Its name, its pid, and where it says what went wrong."""
    said, says = os.pipe()
    words = [program, str(pid), *(str(number) for item in ranges for number in item)]
    actions = [(os.POSIX_SPAWN_DUP2, says, 1), (os.POSIX_SPAWN_DUP2, says, 2)]
    child = os.posix_spawnp(program, words, os.environ, file_actions=actions)
    os.close(says)
    return program, child, said


def _end_mapping(program: str, child: int, said: int) -> str:
    """What went wrong, or nothing."""
    with os.fdopen(said, "rb") as pipe:
        text = pipe.read().decode(errors="replace").strip()
    _, state = os.waitpid(child, 0)
    return (text or f"{program} failed") if state else ""


def _map_as_root(pid: int, uids: tuple[Range, ...], gids: tuple[Range, ...]) -> str:
    for name, ranges in (("uid_map", uids), ("gid_map", gids)):
        try:
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write("".join(f"{item.inside} {item.outside} {item.size}\n" for item in ranges))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _own_ids(kind: str) -> tuple[Range, ...]:
    """The ids of this namespace as they are, up to the highest that an image may have."""
    ranges = []
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        for line in file:
            first, _, size = map(int, line.split())
            ranges.append(Range(first, first, min(size, _HIGHEST + 1 - first)))
    return tuple(item for item in ranges if item.size > 0)


def _ranges(file: str, name: str, own: int) -> tuple[Range, ...]:
    """Our own id as 0, then every range that `file` gives to the user."""
    lines = _read_ranges(file)
    ranges = [Range(0, own, 1)]
    for owner, start, count in lines:
        if owner in (name, str(os.geteuid())):
            ranges.append(Range(ranges[-1].inside + ranges[-1].size, start, count))
    if len(ranges) == 1:
        free = max([100000, *(start + count for _, start, count in lines)])
        span = f"{free}-{free + _FEW - 1}"
        raise Denied(
            f"{file} gives no subordinate ids to the user {name}",
            hint=f"sudo usermod --add-subuids {span} --add-subgids {span} {name}",
        )
    return tuple(ranges)


def _read_ranges(file: str) -> list[tuple[str, int, int]]:
    ranges = []
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                owner, _, numbers = line.strip().partition(":")
                start, _, count = numbers.partition(":")
                if start.isdecimal() and count.isdecimal():
                    ranges.append((owner, int(start), int(count)))
    except FileNotFoundError:
        pass  # nobody has any
    except OSError as error:
        raise WherryError(f"cannot read {file}: {error.strerror}") from None
    return ranges


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _check_program(name: str) -> None:
    if not which(name):
        raise Denied(
            f"{name} is not installed: without it an ordinary user has a single id",
            hint="sudo apt-get install uidmap",
        )


def _refuse_user_namespace(error: OSError) -> NoReturn:
    """Name the setting of the machine that forbids user namespaces, as far as it can be found."""
    raise Denied(f"cannot create a user namespace: {error.strerror}", hint=allowing(_read)) from None


def allowing(read: Callable[[str], str]) -> str:
    """The command that lets ordinary users make user namespaces, where `read` shows what forbids it.

    `read` gives the content of a file, empty where there is none.
    """
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        # Ubuntu since 23.10: programs that have a profile may, so this Python gets one.
        profile = f"profile wherry {os.path.realpath(sys.executable)} flags=(unconfined) {{ userns, }}"
        return (
            f"echo 'abi <abi/4.0>, {profile}' | sudo tee /etc/apparmor.d/wherry"
            " && sudo apparmor_parser -r /etc/apparmor.d/wherry"
        )
    if read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if read("/proc/sys/user/max_user_namespaces") == "0":
        return "sudo sysctl -w user.max_user_namespaces=65536"
    return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
