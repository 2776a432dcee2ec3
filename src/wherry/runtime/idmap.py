"""A place to mount in: a mount namespace of our own, for ordinary users inside a user namespace.

In the user namespace the user is root (id 0), and the ids from 1 on are the user's subordinate ones
(subuid(5)): owners of files and users of a container keep their numbers, and none is a user of the host.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import NamedTuple, NoReturn

from wherry.base.errors import Denied, WherryError
from wherry.runtime.init import linux

_CAP_SYS_ADMIN = 21
_FAREWELL = 0.5  # seconds
_FEW = 65536  # ids of an image go from 0 to 65535 (nobody is 65534)


class Range(NamedTuple):
    """`size` ids, from `inside` on in a user namespace and from `outside` on outside of it."""

    inside: int
    outside: int
    size: int


class Mode(NamedTuple):
    """How root filesystems are mounted: as `root`, or in a user namespace (`userns`) with these ids."""

    name: str
    uids: tuple[Range, ...] = ()
    gids: tuple[Range, ...] = ()


@functools.cache
def enter() -> Mode:
    """Move this process into a mount namespace of its own; nothing mounted in it is seen elsewhere.

    For the whole life of the process, so a second call does nothing. As root it is the calling thread, with
    those that it starts later, that moves; an ordinary user's process must not have another thread yet.
    As an ordinary user the process is root afterwards (os.getuid() is 0): what depends on who the user is
    must be decided before. Denied, with the command that mends it, where the machine does not let us.
    """
    if os.geteuid() == 0:
        return _enter_as_root()
    if not _is_alone():
        raise RuntimeError("idmap.enter() must be called before any thread is started")
    return _enter_as_user()


def enter_as_user() -> None:
    """As `enter`, for an ordinary user who is to read or delete what containers' users own; else nothing.

    A user without subordinate ids has no such files, so what `enter` would refuse is passed over.
    """
    if os.geteuid() != 0:
        with contextlib.suppress(Denied):
            enter()


def in_user_namespace() -> bool:
    """Whether ids here are not the machine's own."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() != ["0", "0", str(2**32 - 1)]


def _is_alone() -> bool:
    """Whether this process has one thread. One that was joined may take a moment more to leave the kernel."""
    end = time.monotonic() + _FAREWELL
    while len(os.listdir("/proc/self/task")) > 1:
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def _enter_as_root() -> Mode:
    if not _has_capability(_CAP_SYS_ADMIN):
        raise Denied(
            "root without the right to mount: this process lacks CAP_SYS_ADMIN",
            hint="in a container, start it with --cap-add SYS_ADMIN, or run wherry as an ordinary user",
        )
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.make_slave()  # a disk that is unmounted while we run is not kept busy
    except OSError as error:
        raise Denied(f"cannot create a mount namespace: {error.strerror}") from None
    return Mode("root")


def _enter_as_user() -> Mode:
    name = _user_name()
    uids = _ranges("/etc/subuid", name, os.geteuid())
    gids = _ranges("/etc/subgid", name, os.getegid())
    for program in ("newuidmap", "newgidmap"):
        _check_program(program)
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
        raise Denied(
            f"cannot map subordinate ids: {problem}",
            hint=f"check the lines of {name} in /etc/subuid and /etc/subgid",
        )
    try:
        linux.make_slave()
    except OSError as error:
        _refuse_user_namespace(error)
    return Mode("userns", uids, gids)


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
    """Run both programs; what they complain of, or nothing."""
    import subprocess

    for program, ranges in (("newuidmap", uids), ("newgidmap", gids)):
        numbers = [str(number) for item in ranges for number in item]
        done = subprocess.run([program, str(pid), *numbers], capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip() or f"{program} failed"
    return ""


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
    import shutil

    if not shutil.which(name):
        raise Denied(
            f"{name} is not installed: without it an ordinary user has a single id",
            hint="sudo apt-get install uidmap",
        )


def _refuse_user_namespace(error: OSError) -> NoReturn:
    """Name the setting of the machine that forbids user namespaces, as far as it can be found."""
    settings = (
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "1"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("/proc/sys/user/max_user_namespaces", "0", "65536"),
    )
    hint = ""
    for path, forbidding, allowing in settings:
        if _read(path) == forbidding:
            hint = f"sudo sysctl -w {path.removeprefix('/proc/sys/').replace('/', '.')}={allowing}"
            break
    raise Denied(f"cannot create a user namespace: {error.strerror}", hint=hint) from None


def _has_capability(number: int) -> bool:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
