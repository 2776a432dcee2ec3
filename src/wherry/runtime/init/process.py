"""The last steps before the command: terminal, folder, limits, user, capabilities, and its look-up.

Messages and exit codes are those of docker (runc): 127 where the command does not exist, 126 where it cannot
be executed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from . import channel, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CAPABILITIES = (  # by number
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
    "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip


_LIMITS = (  # by number
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip


class Failed(Exception):
    """The command cannot be run; `code` is docker's exit code, 0 where it has none of its own."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def enter_keyring() -> None:
    """A keyring of its own, so that none of wherry's keys can be found."""
    try:
        linux.new_session_keyring()
    except OSError:
        pass  # the user's quota of keys is used up, or keyrings are not to be had: docker's runc goes on too


def execute(
    process: dict[str, Any],
    console: int | None,
    seccomp: dict[str, bytes],
    keep: int,
    namespace: int = -1,
    line: int = -1,
) -> NoReturn:
    """Execute the command; every descriptor above `keep` is closed, `keep` itself when it succeeds.

    `seccomp` is the `filter` put on it, an array of struct sock_filter; or `heard`, where the kernel lets
    wherry hear of calls, which is told by `keep`; and on top of it the `profile`, where there is one. With
    `wherry.shown` the user is the only one there is, and is shown by these ids. It becomes a process of the
    user namespace `namespace`, if one is given. With a `line` to its parent it goes on as another process,
    in the container's pid namespace (`descend`), when it has no more rights than the command is to have.
    """
    # No descriptor may lead out of the root any more when the folder is entered (CVE-2024-21626).
    namespace, line = _close_others(keep, namespace, line)
    user = process["user"]
    if console is None:
        _take_own_null()
        _own_pipes(user["uid"])
    elif line < 0:
        take_terminal()
    os.umask(user.get("umask", 0o022))
    _set_limits(process["rlimits"])
    if line < 0:
        set_score(process)
    entered = _enter(process["cwd"], retry=True)
    if namespace >= 0:
        linux.join(namespace, linux.CLONE_NEWUSER)  # not sooner: limits may be raised in the outer one alone
        os.close(namespace)
    if process["noNewPrivileges"]:
        linux.no_new_privileges()
    shown = process.get("wherry.shown")
    if shown:
        if line >= 0:
            line = descend(
                line, console
            )  # its map of ids is written in its own /proc; all rights are one user's
        _show_as(*shown)
    profile = seccomp.get("profile", b"")
    if len(seccomp) > bool(profile):
        _filter(seccomp, keep)  # now: without no_new_privs it takes the CAP_SYS_ADMIN that goes next
    is_late = process["noNewPrivileges"]
    if profile and not is_late:
        linux.filter_calls(profile)
    _become(None if shown else user, process["capabilities"])
    if not entered:
        _enter(process["cwd"], retry=False)
    if line >= 0:
        descend(line, console)
    environment = dict(item.split("=", 1) for item in process["env"])
    path = _find(process["args"][0], environment.get("PATH", ""))
    if profile and is_late:
        linux.filter_calls(profile)  # as late as can be: it need not allow what was done until here
    try:
        os.execve(path, process["args"], environment)
    except OSError as error:
        reason = "exec format error" if error.errno == errno.ENOEXEC else _lower(error)
        raise Failed(f"exec {path}: {reason}", 127 if error.errno == errno.ENOENT else 126) from None


def _close_others(keep: int, *others: int) -> list[int]:
    """Close what is above `keep` but the others (-1: none), which are moved down; where they are then."""
    given = [descriptor for descriptor in others if descriptor >= 0]
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, keep + 1 + len(given)) for descriptor in given]
    for place, descriptor in enumerate(high, keep + 1):
        os.dup2(descriptor, place, inheritable=False)
    linux.close_from(keep + 1 + len(given))
    places = iter(range(keep + 1, keep + 1 + len(given)))
    return [next(places) if descriptor >= 0 else -1 for descriptor in others]


def descend(line: int, console: int | None) -> int:
    """Go on as a child of this process's parent, in the pid namespace that this one has entered.

    Its number goes to the parent over the `line`, and it waits there for a word. -1, where the line was.
    """
    pid = linux.clone(linux.CLONE_PARENT)
    if pid:
        os.write(line, b"%d" % pid)
        os._exit(0)
    if not os.read(line, 1):
        os._exit(1)
    os.close(line)
    linux.die_with_parent()
    os.setsid()
    if console is not None:
        take_terminal()
    return -1


def _take_own_null() -> None:
    """Standard streams that are the host's /dev/null become the container's own, whose mount is read-only.

    Through the host's descriptor the container's root could change the mode of the host's node.
    """
    for number in range(3):
        state = os.fstat(number)
        if stat.S_ISCHR(state.st_mode) and state.st_rdev == os.makedev(1, 3):
            own = _open_null(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE)
            os.dup2(own, number)
            os.close(own)


def _open_null(access: int) -> int:
    """The container's /dev/null. What its processes have put there is refused; a pipe does not stop it."""
    try:
        null = os.open("/dev/null", access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        state = os.fstat(null)
        if stat.S_ISCHR(state.st_mode) and state.st_rdev == os.makedev(1, 3):
            os.set_blocking(null, True)
            return null
    except OSError as error:
        raise Failed(f"cannot open the container's /dev/null: {_lower(error)}") from None
    raise Failed("the container's /dev/null is something else")


def _own_pipes(uid: int) -> None:
    """The user may open /dev/stdout again, which asks for the rights of a pipe's owner.

    Nothing but pipes: a terminal or a file that wherry was given stays its owner's.
    """
    for number in range(3):
        state = os.fstat(number)
        if stat.S_ISFIFO(state.st_mode) and state.st_uid != uid:
            try:
                os.fchown(number, uid, -1)
            except OSError:
                pass  # a pipe of another user namespace


def use_terminal(master: int, owner: int) -> int:
    """Make the far side of a terminal 0, 1 and 2, and `owner`'s; a descriptor of it."""
    unlock, get_peer = 0x40045431, 0x5441  # TIOCSPTLCK, TIOCGPTPEER
    fcntl.ioctl(master, unlock, struct.pack("=i", 0))
    peer = fcntl.ioctl(master, get_peer, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(peer, owner, -1)
    for number in range(3):
        os.dup2(peer, number)
    return peer


def take_terminal() -> None:
    set_controlling = 0x540E  # TIOCSCTTY
    fcntl.ioctl(0, set_controlling, 0)


def _set_limits(limits: list[dict[str, Any]]) -> None:
    for limit in limits:
        name = limit["type"].removeprefix("RLIMIT_")
        if name not in _LIMITS:
            raise Failed(f"unknown limit {limit['type']}")
        try:
            linux.set_limit(_LIMITS.index(name), limit["soft"], limit["hard"])
        except OSError as error:
            raise Failed(f"cannot set {limit['type']}: {_lower(error)}") from None


def set_score(process: dict[str, Any]) -> None:
    """How soon the kernel kills it where memory is short, if that is said."""
    if "oomScoreAdj" not in process:
        return
    score = process["oomScoreAdj"]
    try:
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_NOFOLLOW)
        os.write(file, b"%d" % score)
        os.close(file)
    except OSError as error:
        raise Failed(f"cannot set the OOM score to {score}: {_lower(error)}") from None


def _enter(folder: str, *, retry: bool) -> bool:
    """Change to the working folder; False where the user's own rights may succeed later."""
    try:
        os.chdir(folder)
        os.getcwd()  # fails where the folder is not below the root
    except PermissionError as error:
        if retry:
            return False
        raise Failed(f"cannot enter the working directory {folder}: {_lower(error)}", 126) from None
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        raise Failed(f"cannot enter the working directory {folder}: {_lower(error)}", code) from None
    return True


def _filter(seccomp: dict[str, bytes], keep: int) -> None:
    if "heard" not in seccomp:
        linux.filter_calls(seccomp["filter"])
        return
    try:
        listener = linux.filter_and_listen(seccomp["heard"])
    except OSError:
        # somebody hears of our own calls (EBUSY), or the kernel has no such thing
        linux.filter_calls(seccomp["filter"])
        channel.announce_listener(keep, None)
        return
    channel.announce_listener(keep, listener)
    os.close(listener)


def _show_as(uid: int, gid: int) -> None:
    """Enter a user namespace where the only user has the number `uid`, and the only group `gid`."""
    if (uid, gid) == (0, 0):
        return
    try:
        linux.unshare(linux.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
            file = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(file, text.encode())
            os.close(file)
    except OSError as error:
        raise Failed(f"cannot become user {uid}:{gid}: {_lower(error)}") from None


def _become(user: dict[str, Any] | None, capabilities: dict[str, list[str]]) -> None:
    """Take on the user's ids, where there are others, and no more than the capabilities given."""
    linux.bound_capabilities(_mask(capabilities["bounding"]))
    if user:
        _set_ids(user)
    linux.set_capabilities(_mask(capabilities["effective"]))
    linux.die_with_parent()  # a change of user forgets it


def _set_ids(user: dict[str, Any]) -> None:
    try:
        os.setgroups(user["additionalGids"])
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])
    except OSError as error:
        ids = f"{user['uid']}:{user['gid']}"
        more = ": no id of this user namespace stands for it" if error.errno == errno.EINVAL else ""
        raise Failed(f"cannot become user {ids}: {_lower(error)}{more}") from None


def _mask(names: list[str]) -> int:
    """The bits of capability names; one that this list does not know is refused by name."""
    mask = 0
    for name in names:
        bare = name.removeprefix("CAP_")
        if bare not in CAPABILITIES:
            raise Failed(f"unknown capability {name}")
        mask |= 1 << CAPABILITIES.index(bare)
    return mask


def _find(name: str, search: str) -> str:
    """The file to execute, as Go's exec.LookPath finds it, which is docker's."""
    if "/" in name:
        _check_executable(name)
        return name
    for folder in search.split(":") if search else ():
        path = f"{folder or '.'}/{name}"
        try:
            _check_executable(path)
            return path
        except Failed:
            continue
    raise Failed(f'exec: "{name}": executable file not found in $PATH', 127)


def _check_executable(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        raise Failed(f'exec: "{path}": stat {path}: {_lower(error)}', code) from None
    if stat.S_ISDIR(mode):
        raise Failed(f'exec: "{path}": is a directory', 126)
    if not os.access(path, os.X_OK):
        raise Failed(f'exec: "{path}": permission denied', 126)


def _lower(error: OSError) -> str:
    """The C library's words, as Go writes them."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
