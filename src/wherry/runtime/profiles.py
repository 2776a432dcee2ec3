"""Seccomp profiles of the user's: docker's JSON format (moby, profiles/seccomp), and what it means here.

Which of its rules hold depends on the container's capabilities, the machine and the kernel, as `includes` and
`excludes` say. A profile is never taken for less than it says: what cannot be understood is refused.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from typing import Any

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.runtime import syscalls
from wherry.runtime.init.linux import release

ALLOW, LOG = "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"

LARGEST = 1 << 20
"""Bytes of a profile's text."""

ACTIONS = {
    ALLOW: 0x7FFF0000,
    LOG: 0x7FFC0000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
}
"""What the kernel calls them (linux/seccomp.h)."""

WITH_ERROR = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_OPERATIONS = {f"SCMP_CMP_{name}" for name in ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")}
_HARMLESS_FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC"}  # a process that is to be confined has one thread
_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": syscalls.X86_64,
    "SCMP_ARCH_X86": syscalls.I386,
    "SCMP_ARCH_AARCH64": syscalls.AARCH64,
}
_MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
}
_HIGHEST = {"index": 5, "value": 2**64 - 1, "valueTwo": 2**64 - 1, "errnoRet": 4095, "defaultErrnoRet": 4095}


class Check(NamedTuple):
    """A condition of a call's argument, counted from 0; with SCMP_CMP_MASKED_EQ `value` is the mask."""

    argument: int
    op: str
    value: int
    second: int = 0


class Rule(NamedTuple):
    """What becomes of calls where all checks hold; `error` is for SCMP_ACT_ERRNO and SCMP_ACT_TRACE."""

    names: tuple[str, ...]
    action: str
    error: int
    checks: tuple[Check, ...] = ()


class Profile(NamedTuple):
    """The rules that hold for a container, and what becomes of other calls.

    `names` are the architectures as libseccomp calls them, `architectures` those whose programs run here.
    """

    action: str
    error: int
    names: tuple[str, ...]
    architectures: tuple[int, ...]
    rules: tuple[Rule, ...]


def parse(
    text: str,
    capabilities: Sequence[str],
    machine: str = os.uname().machine,
    kernel: tuple[int, int] | None = None,
) -> Profile:
    """UsageError for what is no profile, Unsupported for what cannot be done as it says."""
    if machine not in _MACHINES:
        raise Unsupported(f"a seccomp profile of your own cannot be used on the machine {machine}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("it is not JSON") from None
    if not isinstance(document, dict):
        raise _wrong("it is not an object")
    here = _Here(frozenset(capabilities), machine, kernel or release())
    action = _action(document.get("defaultAction"), "defaultAction")
    error = _number(document, "defaultErrnoRet", errno.EPERM)
    _refuse_flags(document)
    names = _names_of_architectures(document, machine)
    rules = [
        rule
        for entry in _list(document, "syscalls")
        for rule in _rules(_object(entry, "syscalls"), here, action)
    ]
    architectures = tuple(_ARCHITECTURES[name] for name in names if name in _ARCHITECTURES)
    return Profile(action, error, names, architectures, tuple(rules))


def as_oci(profile: Profile) -> dict[str, Any]:
    """The same for an OCI config."""
    return {
        "defaultAction": profile.action,
        **_error("defaultErrnoRet", profile.action, profile.error),
        "architectures": list(profile.names),
        "syscalls": [
            {
                "names": list(rule.names),
                "action": rule.action,
                **_error("errnoRet", rule.action, rule.error),
                "args": [
                    {"index": one.argument, "value": one.value, "valueTwo": one.second, "op": one.op}
                    for one in rule.checks
                ],
            }
            for rule in profile.rules
        ],
    }


def _error(key: str, action: str, error: int) -> dict[str, int]:
    return {key: error} if action in WITH_ERROR else {}


class _Here(NamedTuple):
    capabilities: frozenset[str]
    machine: str
    kernel: tuple[int, int]


def _rules(entry: dict[str, Any], here: _Here, default: str) -> list[Rule]:
    """The rules of an entry, if it holds here; two checks of one argument are alternatives, as in runc."""
    single = [entry["name"]] if entry.get("name") else []
    names = tuple(_strings(entry, "names") or single)
    if not names or not all(isinstance(name, str) for name in names):
        raise _wrong("a rule names no calls")
    action = _action(entry.get("action"), f"the rule for {names[0]}")
    if action != default and default in (ALLOW, LOG):
        _refuse_unknown(names)
    error = _number(entry, "errnoRet", errno.EPERM)
    checks = tuple(_check(_object(item, "args")) for item in _list(entry, "args"))
    if not _holds(entry, here):
        return []
    if len({check.argument for check in checks}) < len(checks):
        return [Rule(names, action, error, (check,)) for check in checks]
    return [Rule(names, action, error, checks)]


def _refuse_unknown(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in syscalls.known()]
    if unknown:
        raise Unsupported(
            f"the seccomp profile refuses the call {unknown[0]!r}, which wherry does not know",
            hint="take it out of the profile, or let the profile name the calls that it allows",
        )


def _holds(entry: dict[str, Any], here: _Here) -> bool:
    includes, excludes = (_object(entry.get(key) or {}, key) for key in ("includes", "excludes"))
    architecture = _MACHINES[here.machine][1]
    if not set(_strings(includes, "caps")) <= here.capabilities:
        return False
    if _strings(includes, "arches") and architecture not in _strings(includes, "arches"):
        return False
    if includes.get("minKernel") and here.kernel < _kernel(includes["minKernel"]):
        return False
    if set(_strings(excludes, "caps")) & here.capabilities or architecture in _strings(excludes, "arches"):
        return False
    return not (excludes.get("minKernel") and here.kernel >= _kernel(excludes["minKernel"]))


def _kernel(text: Any) -> tuple[int, int]:
    try:
        major, minor = str(text).split(".")
        return int(major), int(minor)
    except ValueError:
        raise _wrong(f"minKernel is {text!r}: write two numbers, such as 4.8") from None


def _check(item: dict[str, Any]) -> Check:
    op = item.get("op")
    if op not in _OPERATIONS:
        raise _wrong(f"there is no comparison {op!r}")
    value = _number(item, "value", 0)
    second = _number(item, "valueTwo", 0)
    return Check(_number(item, "index", 0), str(op), value, second)


def _names_of_architectures(document: dict[str, Any], machine: str) -> tuple[str, ...]:
    """Those that are listed; or this machine's with what `archMap` says belongs to it."""
    own = _MACHINES[machine][0]
    listed = _strings(document, "architectures")
    if listed and _list(document, "archMap"):
        raise _wrong("'architectures' and 'archMap' exclude each other")
    names = [own, *listed]
    for item in _list(document, "archMap"):
        entry = _object(item, "archMap")
        if entry.get("architecture") == own:
            names += _strings(entry, "subArchitectures")
    return tuple(dict.fromkeys(names))


def _refuse_flags(document: dict[str, Any]) -> None:
    for flag in _strings(document, "flags"):
        if flag not in _HARMLESS_FLAGS:
            raise Unsupported(f"the seccomp profile has the flag {flag}, which is not supported")
    for key in ("listenerPath", "listenerMetadata"):
        if document.get(key):
            raise Unsupported(f"the seccomp profile has {key}: calls that others answer are not supported")


def _action(value: Any, where: str) -> str:
    if value == "SCMP_ACT_NOTIFY":
        raise Unsupported(f"the seccomp profile has SCMP_ACT_NOTIFY ({where}), which is not supported")
    if value not in ACTIONS:
        raise _wrong(f"there is no action {value!r} ({where})")
    return str(value)


def _number(holder: dict[str, Any], key: str, default: int) -> int:
    value = holder.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _HIGHEST[key]:
        raise _wrong(f"{key} is {value!r}: it is a number from 0 to {_HIGHEST[key]}")
    return value


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key) or []
    if not isinstance(value, list):
        raise _wrong(f"{key!r} is not a list")
    return value


def _strings(holder: dict[str, Any], key: str) -> list[str]:
    values = _list(holder, key)
    if not all(isinstance(value, str) for value in values):
        raise _wrong(f"{key!r} is not a list of strings")
    return values


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"what is in {where!r} is not an object")
    return value


def _wrong(why: str) -> UsageError:
    return UsageError(f"invalid seccomp profile: {why}", hint="its format is that of docker's default.json")
