"""The flags that `build` and `run` have in common: how this host lets a process run. Docker's words."""

from __future__ import annotations

import argparse
import os
import re

from wherry.base.errors import UsageError
from wherry.base.settings import Settings
from wherry.runtime.spec import SHM_SIZE, Conditions, Limit, Resources

_LIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
    "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
_PERIOD = 100_000
"""Microseconds: the period that `--cpus` counts in."""


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--runtime",
        metavar="NAME|PATH",
        default="",
        help="what executes it: native, crun, runc or a path (default native)",
    )
    add("--add-host", action="append", default=[], metavar="NAME:IP", help="add a line to /etc/hosts")
    add("--shm-size", default="", metavar="SIZE", help="the size of /dev/shm (default 64m)")
    add("--ulimit", action="append", default=[], metavar="NAME=SOFT[:HARD]", help="set a resource limit")
    add("-m", "--memory", default="", metavar="SIZE", help="the most memory that may be used")
    add("--memory-reservation", default="", metavar="SIZE", help="what is left to it where memory is short")
    add("--memory-swap", default="", metavar="SIZE", help="the same with swap; -1 for as much as there is")
    add("--cpus", default="", metavar="NUMBER", help="the most processor time, 1.5 is one and a half of them")
    add("--cpu-period", type=int, default=0, metavar="MICROSECONDS", help="what --cpu-quota is a part of")
    add("--cpu-quota", type=int, default=0, metavar="MICROSECONDS", help="processor time in each period")
    add("-c", "--cpu-shares", type=int, default=0, metavar="WEIGHT", help="relative weight (usually 1024)")
    add("--cpuset-cpus", default="", metavar="LIST", help="the processors that may be used, such as 0-2,4")
    add("--cpuset-mems", default="", metavar="LIST", help="the memory nodes that may be used")
    add("--pids-limit", type=int, default=0, metavar="NUMBER", help="the most processes; -1 is no limit")
    add("--cgroup-parent", default="", metavar="PATH", help="the cgroup to make the limited one in")


def read(args: argparse.Namespace, settings: Settings) -> Conditions:
    """What the flags, or else the settings, say. Raises UsageError."""
    return Conditions(
        runtime=args.runtime or settings.runtime,
        hosts=tuple(map(_host, args.add_host)),
        shm_size=_size("--shm-size", args.shm_size) or SHM_SIZE,
        limits=tuple({limit.name: limit for limit in map(_limit, args.ulimit)}.values()),
        resources=Resources(
            memory=_size("--memory", args.memory),
            memory_swap=-1 if args.memory_swap == "-1" else _size("--memory-swap", args.memory_swap),
            cpu_quota=_quota(args),
            cpu_period=args.cpu_period,
            cpu_shares=args.cpu_shares,
            cpus=_list("--cpuset-cpus", args.cpuset_cpus),
            memory_nodes=_list("--cpuset-mems", args.cpuset_mems),
            parent=args.cgroup_parent,
            pids=max(args.pids_limit, 0),
            memory_reservation=_size("--memory-reservation", args.memory_reservation),
        ),
    )


def _host(word: str) -> tuple[str, str]:
    """`name:ip` or `name=ip`; an IPv6 address with or without brackets."""
    separator = "=" if "=" in word else ":"
    name, _, address = word.partition(separator)
    if name and not any(map(str.isspace, name)):
        if address == "host-gateway":
            return name, address
        import ipaddress

        bare = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
        try:
            return name, str(ipaddress.ip_address(bare))
        except ValueError:
            pass
    raise UsageError(f"invalid --add-host {word}", hint="write NAME:IP, such as db:10.0.0.5 or db=[fd00::5]")


def _limit(word: str) -> Limit:
    name, equals, values = word.partition("=")
    soft, colon, hard = values.partition(":")
    form = "write NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:2048; -1 is no limit"
    if not equals or not all(
        re.fullmatch(r"-1|[0-9]{1,18}", text) for text in ((soft, hard) if colon else (soft,))
    ):
        raise UsageError(f"invalid --ulimit {word}", hint=form)
    if name not in _LIMITS:
        raise UsageError(
            f"--ulimit {word}: unknown limit {name!r}", hint=f"the limits are {', '.join(_LIMITS)}"
        )
    low, high = int(soft), int(hard if colon else soft)
    if high != -1 and (low == -1 or low > high):
        raise UsageError(f"--ulimit {word}: the soft limit is above the hard one")
    return Limit(f"RLIMIT_{name.upper()}", low, high)


def _size(flag: str, text: str) -> int:
    """Bytes; 0 where the flag is not given."""
    if not text:
        return 0
    from wherry.dockerfile import values
    from wherry.dockerfile.errors import DockerfileError

    try:
        return values.size(text)
    except DockerfileError as error:
        raise UsageError(f"{flag}: {error.message}", hint=error.hint) from None


def _quota(args: argparse.Namespace) -> int:
    """Microseconds in each period. `--cpus` says the same as period and quota, so not both."""
    if not args.cpus:
        return int(args.cpu_quota)
    if args.cpu_quota or args.cpu_period:
        raise UsageError("--cpus and --cpu-quota or --cpu-period say the same thing in two ways")
    here = os.cpu_count() or 1
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?|\.[0-9]{1,9}", args.cpus):
        raise UsageError(f"--cpus {args.cpus}: not a number")
    if not 0.01 <= float(args.cpus) <= here:
        raise UsageError(f"--cpus {args.cpus}: from 0.01 to {here}, as many as there are processors here")
    return round(float(args.cpus) * _PERIOD)


def _list(flag: str, text: str) -> str:
    if not re.fullmatch(r"(?:[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?)*)?", text):
        raise UsageError(f"invalid {flag} {text}", hint="write numbers and ranges, such as 0-2,4")
    return text
