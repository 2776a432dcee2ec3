"""What to run and in which surroundings: pure values, the same for every runtime.

Paths named `source` and `rootfs` are the host's, absolute; `target` and `cwd` are the container's, absolute.
Defaults are Docker's (moby, oci/defaults.go and oci/caps/defaults.go).
"""

from __future__ import annotations

from wherry.base.tuples import NamedTuple

DEFAULT_CAPABILITIES = (
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
    "CAP_SYS_CHROOT",
)  # fmt: skip

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
    "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip

READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM_SIZE = 64 << 20
"""Bytes of /dev/shm."""

NATIVE = "native"
"""The built-in runtime."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Emulator(NamedTuple):
    """A static program of this host's that executes another machine's, and the line that registers it."""

    path: str
    registration: bytes


class User(NamedTuple):
    """Who a process runs as. `groups` are the supplementary ones; `name` is empty for a bare number."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""


class Mount(NamedTuple):
    """One mount besides the standard ones.

    `kind` is "bind" or "tmpfs". Options: ro, rw, nosuid, noexec, dev (without it device nodes cannot be
    opened); for binds bind or rbind (the default); for tmpfs size=, mode=, uid=, gid=, nr_inodes=. With
    `root`, `source` is a path inside that folder, and a symbolic link met on the way never leads out of it.
    """

    kind: str
    source: str
    target: str
    options: tuple[str, ...] = ()
    root: str = ""
    movable: bool = False
    """Nobody else uses the source meanwhile: where nothing can be mounted it may be moved to the target."""


class Limit(NamedTuple):
    """A resource limit: `name` as in RLIMIT_NOFILE; -1 means unlimited."""

    name: str
    soft: int
    hard: int


class Resources(NamedTuple):
    """What the processes of a container may use together. Memory is in bytes, times in microseconds.

    `memory_swap` counts memory and swap together; -1 is no limit, and where it is not given, swap may be as
    much as memory. All processors together get `cpu_quota` in each `cpu_period` (0: 100 ms). `cpu_shares` is
    a weight, 1024 the usual one; `cpus` and `memory_nodes` are lists such as 0-2,4. `parent` is the cgroup
    to make the container's in. `pids` counts processes and threads. Where memory is short, the container
    keeps its `memory_reservation` longest. What is 0 or empty is not limited.
    """

    memory: int = 0
    memory_swap: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpu_shares: int = 0
    cpus: str = ""
    memory_nodes: str = ""
    parent: str = ""
    pids: int = 0
    memory_reservation: int = 0


class Conditions(NamedTuple):
    """How this host lets a process run. None of it is an input of a result: it is in no digest and no record.

    `runtime` is that of `runtimes.open_runtime`; `hosts` are names with addresses, or `host-gateway`;
    `shm_size` is in bytes.
    """

    runtime: str = NATIVE
    hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = SHM_SIZE
    limits: tuple[Limit, ...] = ()
    resources: Resources = Resources()


class Process(NamedTuple):
    """`args[0]` is looked up in the PATH of `env`, whose items read NAME=value. `cwd` must exist."""

    args: tuple[str, ...]
    env: tuple[str, ...] = (f"PATH={DEFAULT_PATH}",)
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    no_new_privileges: bool = False
    limits: tuple[Limit, ...] = ()
    oom_score_adj: int | None = None
    """-1000 (never) to 1000: how soon the kernel kills it where memory is short; None: as wherry."""


class Device(NamedTuple):
    """A device node: `source` on the host, `target` in the container. It is one there by a mount."""

    source: str
    target: str


class Container(NamedTuple):
    """A process and its root filesystem.

    `network` is "host", "none" (a loopback device only), "private" (as "none"; who starts the container
    attaches it to something) or the absolute path of a file that a network name space is mounted on.
    `shm_size` is in bytes. An empty `hostname` keeps the host's name. `seccomp`
    is docker's default profile, on or off, or the one whose text is `profile` (profiles.py). `upper` is
    overlay's folder of the changes to `rootfs`; in the single-id mode the file `journal` gets the owners
    that files in it were given and cannot carry, behind those that it has.
    `observed` is a new file that gets whether the container made a socket that leads to a network, and with
    `watched` what it looked at (`init/listener.py`); "" for neither. `caches` are mounts of it that other
    processes may write to at the same time; their content is no matter, but for links in them. `emulator`
    executes what is for its machine; it comes from `Runtime.emulator`.
    `privileged`: /sys can be written to as far as the kernel lets its root; for the machine's root, device
    nodes that it makes can be opened. Its capabilities, paths and devices are given like all others'.
    The numbers of further processes begin above `first_pid`, where runtime and kernel let us choose.
    `annotations` are for the runtime; the built-in one knows none.
    """

    id: str
    rootfs: str
    process: Process
    mounts: tuple[Mount, ...] = ()
    hostname: str = ""
    network: str = "host"
    read_only: bool = False
    shm_size: int = SHM_SIZE
    masked_paths: tuple[str, ...] = MASKED_PATHS
    read_only_paths: tuple[str, ...] = READ_ONLY_PATHS
    seccomp: bool = True
    profile: str = ""
    devices: tuple[Device, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    privileged: bool = False
    upper: str = ""
    journal: str = ""
    observed: str = ""
    watched: bool = False
    caches: tuple[str, ...] = ()
    emulator: Emulator | None = None
    first_pid: int = 0
    annotations: tuple[tuple[str, str], ...] = ()
