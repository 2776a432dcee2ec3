"""Docker's default seccomp profile, as a BPF program for the built-in runtime and as OCI config for others.

The profile (moby, profiles/seccomp/default.json) allows what it lists. It is written down here the other way
round, by the calls that it leaves out among those that were known when this was written (Linux 6.16, number
466): they fail with EPERM, or, where the C library tries an older call then, with ENOSYS. Calls younger than
that do not exist (ENOSYS), nor do those of other architectures: x32, and 32-bit ARM.

A capability given to the container allows the calls that it is for.
"""

from __future__ import annotations

import errno
import functools
import os
from typing import Any

from wherry.base.errors import Unsupported
from wherry.runtime import idcalls
from wherry.runtime import observed as observation
from wherry.runtime.bpf import (
    AND,
    ARCHITECTURE_AT,
    ARGUMENT_AT,
    DENY_EXISTENCE,
    IF_ANY_BIT,
    IF_AT_LEAST,
    IF_EQUAL,
    LOAD,
    NUMBER_AT,
    RETURN,
    Step,
    pack,
)

_UNLOCKED_BY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie"
    " mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname"
    " setns statmount syslog umount umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that docker's profile looks for
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_VSOCK = 40
_NEWEST = 466

# Calls since Linux 5.1 have the same number everywhere. The last ones came after docker's list.
_COMMON = """
    io_uring_setup 425 io_uring_enter 426 io_uring_register 427 open_tree 428 move_mount 429 fsopen 430
    fsconfig 431 fsmount 432 fspick 433 clone3 435 pidfd_getfd 438 process_madvise 440 mount_setattr 442
    quotactl_fd 443 set_mempolicy_home_node 450 statmount 457 listmount 458 lsm_get_self_attr 459
    lsm_set_self_attr 460 lsm_list_modules 461
"""
_X86_64 = """
    socket 41 clone 56 syslog 103 uselib 134 personality 135 ustat 136 sysfs 139 vhangup 153 pivot_root 155
    _sysctl 156 acct 163 settimeofday 164 mount 165 umount2 166 swapon 167 swapoff 168 reboot 169
    sethostname 170 setdomainname 171 iopl 172 ioperm 173 create_module 174 init_module 175 delete_module 176
    get_kernel_syms 177 query_module 178 quotactl 179 nfsservctl 180 getpmsg 181 putpmsg 182 afs_syscall 183
    tuxcall 184 security 185 lookup_dcookie 212 clock_settime 227 vserver 236 mbind 237 set_mempolicy 238
    get_mempolicy 239 kexec_load 246 add_key 248 request_key 249 keyctl 250 migrate_pages 256 unshare 272
    move_pages 279 perf_event_open 298 fanotify_init 300 open_by_handle_at 304 setns 308 kcmp 312
    finit_module 313 kexec_file_load 320 bpf 321 userfaultfd 323
"""
_I386 = """
    break 17 oldstat 18 mount 21 umount 22 stime 25 oldfstat 28 stty 31 gtty 32 nice 34 ftime 35 prof 44
    signal 48 acct 51 umount2 52 lock 53 mpx 56 ulimit 58 oldolduname 59 ustat 62 sigaction 67 sgetmask 68
    ssetmask 69 sigsuspend 72 sigpending 73 sethostname 74 settimeofday 79 oldlstat 84 uselib 86 swapon 87
    reboot 88 readdir 89 profil 98 ioperm 101 syslog 103 olduname 109 iopl 110 vhangup 111 idle 112
    vm86old 113 swapoff 115 clone 120 setdomainname 121 create_module 127 init_module 128 delete_module 129
    get_kernel_syms 130 quotactl 131 bdflush 134 sysfs 135 personality 136 afs_syscall 137 _sysctl 149
    vm86 166 query_module 167 nfsservctl 169 getpmsg 188 putpmsg 189 pivot_root 217 lookup_dcookie 253
    clock_settime 264 vserver 273 mbind 274 get_mempolicy 275 set_mempolicy 276 kexec_load 283 add_key 286
    request_key 287 keyctl 288 migrate_pages 294 unshare 310 move_pages 317 perf_event_open 336
    fanotify_init 338 open_by_handle_at 342 setns 346 kcmp 349 finit_module 350 bpf 357 socket 359
    userfaultfd 374 clock_settime64 404
"""
_AARCH64 = """
    lookup_dcookie 18 umount2 39 mount 40 pivot_root 41 nfsservctl 42 vhangup 58 quotactl 60 acct 89
    personality 92 unshare 97 kexec_load 104 init_module 105 delete_module 106 clock_settime 112 syslog 116
    reboot 142 sethostname 161 setdomainname 162 settimeofday 170 socket 198 add_key 217 request_key 218
    keyctl 219 clone 220 swapon 224 swapoff 225 mbind 235 get_mempolicy 236 set_mempolicy 237
    migrate_pages 238 move_pages 239 perf_event_open 241 fanotify_init 262 open_by_handle_at 265 setns 268
    kcmp 272 finit_module 273 bpf 280 userfaultfd 282 kexec_file_load 294
"""

_ARCHITECTURES = {
    "x86_64": ((0xC000003E, _X86_64), (0x40000003, _I386)),
    "aarch64": ((0xC00000B7, _AARCH64),),
}
_OCI_NAMES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
_NOT_THERE = {
    "clone3",
    "statmount",
    "listmount",
    "lsm_get_self_attr",
    "lsm_set_self_attr",
    "lsm_list_modules",
}

_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_SUCCEED = 0x00050000
_NOTIFY = 0x7FC00000


_ANSWERS = [Step(RETURN, value) for value in (_ALLOW, _REFUSE, DENY_EXISTENCE, _NOTIFY, _SUCCEED)]
_ALLOWED, _REFUSED, _UNKNOWN, _HEARD, _SUCCEEDS = range(len(_ANSWERS))
_KIND, _DEVICES = 0xF000, (0x2000, 0x6000)  # of a file's mode: its kind; character and block devices
_MODE_ARGUMENT = {"mknod": 1, "mknodat": 2}
_ARGUMENT = Step(LOAD, ARGUMENT_AT)
_CHECKS = {
    "clone": [_ARGUMENT, Step(IF_ANY_BIT, _NAMESPACES, 1, 0), *_ANSWERS[:2]],
    "personality": [
        _ARGUMENT,
        *(Step(IF_EQUAL, value, len(_PERSONALITIES) - at) for at, value in enumerate(_PERSONALITIES)),
        Step(RETURN, _REFUSE),
        Step(RETURN, _ALLOW),
    ],
    "socket": [_ARGUMENT, Step(IF_EQUAL, _AF_VSOCK, 1, 0), *_ANSWERS[:2]],
}


PLAIN, HEARD = "plain", "heard"


@functools.cache
def program(
    capabilities: tuple[str, ...],
    machine: str = os.uname().machine,
    ids: str = "",
    observed: str = "",
    is_confined: bool = True,
) -> bytes:
    """The filter as an array of struct sock_filter. Unsupported on a machine whose calls it does not know.

    `ids`: calls about owners and users (idcalls.py) are the kernel's, answered with success (PLAIN), or a
    listener's to answer (HEARD). With `observed` (FILES or SOCKETS of observed.py) a listener hears also of
    sockets that lead to a network, and with FILES of calls that look at files, and of every call of programs
    whose calls it cannot tell. Without `is_confined` docker's profile is not asked.
    """
    younger = _UNKNOWN if is_confined else _ALLOWED
    steps = [Step(LOAD, ARCHITECTURE_AT)]
    for architecture, table in tables(machine):
        answered = _answered(architecture, ids)
        heard = observation.numbers(architecture) if observed == observation.FILES else frozenset()
        answered |= dict.fromkeys(heard, _HEARD)
        rest = _HEARD if observed == observation.FILES and not heard else _ALLOWED
        if rest == _HEARD:
            answered = dict.fromkeys(answered, _HEARD)  # also where they make nothing
        refused = set(table) - _allowed_by(capabilities) if is_confined else set()
        if observed:
            answered |= _sockets(architecture)
            refused -= {"socket"}
        block = _block({table[name]: name for name in table if name in refused}, answered, rest, younger)
        steps += [Step(IF_EQUAL, architecture, 0, len(block)), *block]
    steps.append(_ANSWERS[younger])
    return pack(steps)


def profile(capabilities: tuple[str, ...], machine: str = os.uname().machine) -> dict[str, Any]:
    """The same for an OCI config, by names: libseccomp knows the numbers, and passes over unknown names.

    What is not named is allowed here, calls younger than this list included; and personality is, because runc
    takes several checks of one argument for alternatives.
    """
    names = {name for _, table in tables(machine) for name in table} - _allowed_by(capabilities)
    rules = [
        _rule(names & _NOT_THERE, errno.ENOSYS),
        _rule(names - _NOT_THERE - _CHECKS.keys(), errno.EPERM),
        _rule({"socket"}, errno.EPERM, {"value": _AF_VSOCK, "op": "SCMP_CMP_EQ"}),
    ]
    for bit in (1 << number for number in range(32) if _NAMESPACES >> number & 1):
        same = {"value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append(_rule(names & {"clone"}, errno.EPERM, same))
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": _OCI_NAMES[machine],
        "syscalls": [rule for rule in rules if rule["names"]],
    }


def _rule(names: set[str], number: int, check: dict[str, Any] | None = None) -> dict[str, Any]:
    arguments = [{"index": 0, **check}] if check else []
    return {"names": sorted(names), "action": "SCMP_ACT_ERRNO", "errnoRet": number, "args": arguments}


def tables(machine: str) -> list[tuple[int, dict[str, int]]]:
    """For each architecture whose programs run here: its number for the kernel, and numbers of its calls."""
    if machine not in _ARCHITECTURES:
        raise Unsupported(f"there is no seccomp profile for the machine {machine}")
    tables = []
    for architecture, text in _ARCHITECTURES[machine]:
        words = iter((text + _COMMON).split())
        tables.append((architecture, {name: int(number) for name, number in zip(words, words, strict=True)}))
    return tables


def _allowed_by(capabilities: tuple[str, ...]) -> set[str]:
    return {name for capability in capabilities for name in _UNLOCKED_BY.get(capability, "").split()}


def _answered(architecture: int, ids: str) -> dict[int, int | list[Step]]:
    """What becomes of the calls about ids, by their numbers."""
    if not ids:
        return {}
    answer = _HEARD if ids == HEARD else _SUCCEEDS
    return {
        number: _checked(name, answer)
        for name, number in idcalls.numbers(architecture).items()
        if ids == HEARD or not (name.startswith("get") or name in idcalls.MAKING)
    }


def _sockets(architecture: int) -> dict[int, int | list[Step]]:
    """What becomes of the calls that make sockets, where it is heard of those that lead to a network."""
    local = observation.LOCAL_FAMILIES
    check = [
        _ARGUMENT,
        Step(IF_EQUAL, _AF_VSOCK, len(local) + 2),
        *(Step(IF_EQUAL, family, len(local) - at) for at, family in enumerate(local)),
        _ANSWERS[_HEARD],
        _ANSWERS[_ALLOWED],
        _ANSWERS[_REFUSED],
    ]
    makers = observation.makers(architecture)
    return {number: check if name == "socket" else _HEARD for name, number in makers.items()}


def _checked(name: str, answer: int) -> int | list[Step]:
    if name in _MODE_ARGUMENT:
        return _of_devices(_MODE_ARGUMENT[name], answer)
    argument = idcalls.MAKING.get(name)
    if argument is None:
        return answer
    check = [Step(LOAD, ARGUMENT_AT + 8 * argument), Step(IF_ANY_BIT, os.O_CREAT, 0, 1)]
    return [*check, _ANSWERS[answer], _ANSWERS[_ALLOWED]]


def _of_devices(argument: int, answer: int) -> list[Step]:
    """`answer` where the kind of file to make is a device; pipes and files are really made."""
    return [
        Step(LOAD, ARGUMENT_AT + 8 * argument),
        Step(AND, _KIND),
        Step(IF_EQUAL, _DEVICES[0], 1, 0),
        Step(IF_EQUAL, _DEVICES[1], 0, 1),
        _ANSWERS[answer],
        Step(RETURN, _ALLOW),
    ]


def _block(
    refused: dict[int, str], answered: dict[int, int | list[Step]], rest: int, younger: int
) -> list[Step]:
    """The decision for one architecture: numbers compared one by one, then the answers, then the checks.

    `rest` is the answer to calls that nothing is said of, `younger` to those that nobody knew. The kernel
    remembers which calls are always allowed (Linux 5.11), and asks for those no more.
    """
    decisions: dict[int, int | list[Step]] = {
        number: _CHECKS.get(name) or (_UNKNOWN if name in _NOT_THERE else _REFUSED)
        for number, name in refused.items()
    }
    decisions |= {number: decision for number, decision in answered.items() if number not in refused}
    steps = [Step(LOAD, NUMBER_AT), Step(IF_AT_LEAST, _NEWEST + 1, len(decisions) + 1 + younger)]
    checks: list[Step] = []
    for at, (number, decision) in enumerate(decisions.items()):
        # Behind the last comparison is the answer to the rest, then all answers, and the checks.
        target = len(decisions) - at
        if isinstance(decision, int):
            target += decision
        else:
            target += len(_ANSWERS) + len(checks)
            checks += decision
        steps.append(Step(IF_EQUAL, number, target))
    return [*steps, _ANSWERS[rest], *_ANSWERS, *checks]
