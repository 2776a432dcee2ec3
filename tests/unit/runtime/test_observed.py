"""Which calls are heard: of all that the kernel has, none that takes a name gets past the observer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.filters import ALLOW, HEADERS, I386, NOTIFY, decide
from wherry.runtime import observed
from wherry.runtime.seccomp import HEARD, program, tables
from wherry.runtime.spec import DEFAULT_CAPABILITIES

_NAMELESS = """
    accept accept4 adjtimex alarm arch_prctl brk cachestat capget capset clock_adjtime clock_getres
    clock_gettime clock_nanosleep clone close close_range copy_file_range dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 exit exit_group fadvise64 fallocate fanotify_mark fchdir fchmod fchown fcntl fdatasync
    fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
    futex_requeue futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu getcwd getegid
    geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup
    io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self listen lseek madvise map_shadow_stack membarrier memfd_create memfd_secret
    mincore mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    nanosleep pause personality pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect
    poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev
    pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readv recvfrom recvmmsg recvmsg
    remap_file_pages restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    seccomp select semctl semget semop semtimedop sendfile set_robust_list set_thread_area set_tid_address
    setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid
    setrlimit setsid setsockopt setuid shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
    socketpair splice sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
    tkill umask uname vfork vmsplice wait4 waitid write writev
"""
NAMELESS = frozenset(_NAMELESS.split())
"""Calls that are let through and look nothing up by its name: what they work on was opened before, or is no
file. Whoever lets through a new one says here that it is one of these, or gives it a row in `observed.py`."""
DOCUMENTED = frozenset(("sendto", "sendmsg", "sendmmsg"))
"""Files that a datagram is sent to by name: docs/cache.md says that these are not looked at."""
UNREAL = {
    "arch_specific_syscall": "where the generic numbers are free",
    "syscalls": "how many there are",
    "sync_file_range2": "sync_file_range elsewhere",
    "clock_adjtime64": "machines of 32 bits",
    "clock_settime64": "machines of 32 bits",
}
"""What the generic header has, and no 64-bit machine calls; like all that end with time64."""


NETWORK = frozenset(("socket", "socketpair"))
"""Heard for another reason."""
OTHERWISE = {"fstatat": "newfstatat"}
"""Names of the generic header that x86-64 has not."""


@pytest.mark.parametrize("ids", ["", HEARD])
def test_every_call_of_a_program_of_32_bits_is_heard(ids: str) -> None:
    """Also one that is answered in the mode single-id only where it makes a file."""
    filter_ = program(DEFAULT_CAPABILITIES, "x86_64", ids=ids, observed=observed.FILES)
    for number in (5, 295, 14, 182, 33, 106):  # open, openat, mknod, chown, access, stat
        assert decide(filter_, I386, number) == NOTIFY


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_is_heard_refused_or_nameless(machine: str) -> None:
    header = Path(HEADERS[machine, 0])
    if not header.exists():
        pytest.skip("needs linux-libc-dev")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+([0-9]+)", header.read_text(encoding="ascii"))
    architecture, _ = tables(machine)[0]
    filter_ = program(DEFAULT_CAPABILITIES, machine, observed=observed.FILES)
    decisions = {
        OTHERWISE.get(name, name): decide(filter_, architecture, int(number)) for name, number in found
    }
    heard = {name for name, decision in decisions.items() if decision == NOTIFY}
    assert heard - NETWORK == observed.CALLS.keys() & decisions.keys()
    passed = {name for name, decision in decisions.items() if decision == ALLOW} - UNREAL.keys()
    unknown = {name for name in passed if not name.endswith("time64")} - NAMELESS - DOCUMENTED - NETWORK
    assert unknown == set()
    assert not NAMELESS & observed.CALLS.keys()
