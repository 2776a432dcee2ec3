"""Whether conditions can be had here, told before any work is done."""

from __future__ import annotations

import os
import resource

from wherry.base.errors import Denied, UsageError
from wherry.base.rights import has_capability
from wherry.runtime import runtimes
from wherry.runtime.spec import Conditions, Limit, Resources

_CAP_SYS_RESOURCE = 24
_LEAST_MEMORY = 6 << 20  # docker's
_SHARES = range(2, 262145)  # the kernel's (cgroup-v1/cgroups.rst)
_QUOTA = 1000
_PERIODS = range(1000, 1_000_001)  # cgroup-v1, CFS bandwidth control


def checked(conditions: Conditions) -> Conditions:
    """The same, with the runtime's path.

    NotFound for a runtime that is not there, Denied for a limit that this user may not set, UsageError for
    what cannot be.
    """
    for limit in conditions.limits:
        _check_limit(limit)
    _check_resources(conditions.resources)
    return conditions._replace(runtime=runtimes.resolve(conditions.runtime))


def _check_limit(limit: Limit) -> None:
    """Raising a hard limit takes CAP_SYS_RESOURCE in the machine's own user namespace (setrlimit(2))."""
    most = resource.getrlimit(getattr(resource, limit.name))[1]
    if most == resource.RLIM_INFINITY or 0 <= limit.hard <= most:
        return
    from wherry.runtime import idmap

    if has_capability(_CAP_SYS_RESOURCE) and os.geteuid() == 0 and not idmap.in_user_namespace():
        return
    name = limit.name.removeprefix("RLIMIT_").lower()
    asked = "unlimited" if limit.hard < 0 else limit.hard
    raise Denied(
        f"--ulimit {name}: cannot raise the limit to {asked}, wherry itself has {most}",
        hint=f"ask for {most} at most, or raise the limit of the shell that starts wherry",
    )


def _check_resources(asked: Resources) -> None:
    """Docker's checks, in its order (moby, daemon_unix.go)."""
    if asked.memory and asked.memory < _LEAST_MEMORY:
        raise UsageError("--memory: at least 6m")
    if asked.memory_swap and not asked.memory:
        raise UsageError("--memory-swap needs --memory: it is the limit of memory and swap together")
    if 0 < asked.memory_swap < asked.memory:
        raise UsageError(
            "--memory-swap is less than --memory",
            hint="it is the limit of memory and swap together; -1 is no limit",
        )
    if asked.memory_reservation and asked.memory_reservation < _LEAST_MEMORY:
        raise UsageError("--memory-reservation: at least 6m")
    if 0 < asked.memory < asked.memory_reservation:
        raise UsageError("--memory-reservation is more than --memory")
    if asked.cpu_shares and asked.cpu_shares not in _SHARES:
        raise UsageError(f"--cpu-shares {asked.cpu_shares}: from {_SHARES[0]} to {_SHARES[-1]}")
    if asked.cpu_period and asked.cpu_period not in _PERIODS:
        raise UsageError(
            f"--cpu-period {asked.cpu_period}: from {_PERIODS[0]} to {_PERIODS[-1]} microseconds"
        )
    if asked.cpu_quota and asked.cpu_quota < _QUOTA:
        raise UsageError(
            f"the quota of processor time is too small: at least {_QUOTA} microseconds (--cpus 0.01)"
        )
    if ".." in asked.parent.split("/"):
        raise UsageError(f"--cgroup-parent {asked.parent}: no .. in the path")
