"""`wherry info`: the store, and what this machine offers; found out by trying, not by looking at versions."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

from wherry import __version__
from wherry.base.errors import WherryError
from wherry.base.settings import ISOLATIONS, Settings, load
from wherry.container.containers import Containers
from wherry.oci.platform import host
from wherry.runtime import emulation
from wherry.runtime.cgroups.tree import usable
from wherry.runtime.init import hearing
from wherry.runtime.net import connect
from wherry.runtime.runtimes import INSTALLED
from wherry.runtime.spec import NATIVE
from wherry.store.store import Store

_LISTENERS = {
    "compiled": "compiled",
    "python": "in Python, which is slower (asked for, or wherry was installed without a C compiler)",
}
"""What hears the system calls of RUN: see docs/cache.md."""


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--format", default="", help="'json' or a Go template")


def run(args: argparse.Namespace) -> int:
    settings = load()
    with Store.open() as store:
        facts = _facts(store, settings)
    if args.format:
        from wherry.ui import format

        print(format.document(args.format, facts), end="")
    else:
        print(_text(facts), end="")
    return 0


def _facts(store: Store, settings: Settings) -> dict[str, Any]:
    kernel, machine = os.uname(), host()
    containers = Containers(store.root).all()
    running = sum(item.is_running for item in containers)
    return {
        "ServerVersion": __version__,
        "Root": store.root,
        "Images": len(store.images.all()),
        "Containers": len(containers),
        "ContainersRunning": running,
        "ContainersStopped": len(containers) - running,
        "KernelVersion": kernel.release,
        "OSType": machine.os,
        "Architecture": kernel.machine,
        "NCPU": os.cpu_count() or 1,
        "Network": _network(),
        "BuildNetwork": {"default": "host"}.get(settings.network, settings.network),
        "DefaultRuntime": settings.runtime,
        "Runtimes": [NATIVE, *filter(shutil.which, INSTALLED)],
        "Limits": usable(),
        "Listener": "python" if settings.listener == "python" or hearing.load() is None else "compiled",
        **_in_a_child(lambda: _mounting(store, settings)),
        **_platforms(settings),
        "Modes": [_in_a_child(partial(_tried, name)) for name in ISOLATIONS[1:]],
    }


def _mounting(store: Store, settings: Settings) -> dict[str, Any]:
    """How processes are kept apart here, and how root filesystems are made of layers."""
    from wherry.runtime import modes
    from wherry.snapshot.snapshotter import choose

    try:
        mode = modes.enter(settings.isolation)
    except WherryError as error:
        return {"Mode": "none", "ModeHint": error.message, "Driver": "not tried"}
    found = {"Mode": mode.name, "ModeHint": ""}
    try:
        choice = choose(store, settings.snapshotter, may_mount=mode.may_mount)
    except WherryError as error:
        return found | {"Driver": "none", "DriverHint": error.message}
    return found | {"Driver": choice.name, "DriverHint": choice.reason}


def _platforms(settings: Settings) -> dict[str, list[str]]:
    """Those whose programs a RUN can execute."""
    own, emulated = emulation.executable(own=settings.runtime == NATIVE)
    return {"Platforms": own, "Emulated": emulated}


def _tried(name: str) -> dict[str, Any]:
    """Whether one mode works here; why it does not, and what would mend that."""
    from wherry.runtime import modes

    try:
        modes.enter(name)
    except WherryError as error:
        return {"Name": name, "Works": False, "Reason": error.message, "Hint": error.hint}
    return {"Name": name, "Works": True, "Reason": "", "Hint": ""}


def _in_a_child(probe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `probe` finds, called in a child process: it moves that one into other namespaces for good."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(probe()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(pid, 0)
    if not raw:
        raise WherryError("the process that was to try the modes has ended early")
    found: dict[str, Any] = json.loads(raw)
    return found


def _network() -> str:
    """What connects containers, and RUNs with --network private."""
    if lacking := connect.missing():
        return f"published ports only ({lacking})"
    return next(filter(shutil.which, connect.PROGRAMS))


def _runtimes(facts: dict[str, Any]) -> str:
    others = [name for name in facts["Runtimes"] if name != facts["DefaultRuntime"]]
    default: str = facts["DefaultRuntime"]
    return default + (f" (also here: {', '.join(others)})" if others else "")


def _limits(usable: dict[str, int]) -> str:
    """What --memory, --cpus and --cpuset-cpus can use."""
    if not usable:
        return "none (no cgroup that this user may write to)"
    return ", ".join(f"{name} (cgroups v{version})" for name, version in sorted(usable.items()))


def _text(facts: dict[str, Any]) -> str:
    lines: list[tuple[str, Any]] = [
        ("wherry", facts["ServerVersion"]),
        ("Store", facts["Root"]),
        ("Images", facts["Images"]),
        ("Containers", f"{facts['Containers']} ({facts['ContainersRunning']} running)"),
        ("Mode", facts["Mode"] + (f" ({facts['ModeHint']})" if facts["ModeHint"] else "")),
        *(("", _result(mode)) for mode in facts["Modes"]),
        *(("", f"for {mode['Name']}: {mode['Hint']}") for mode in _better(facts)),
        ("Snapshots", facts["Driver"] + (f" ({hint})" if (hint := facts.get("DriverHint")) else "")),
        ("Network", facts["Network"]),
        ("RUN net", facts["BuildNetwork"]),
        ("Runtime", _runtimes(facts)),
        ("Limits", _limits(facts["Limits"])),
        ("Listener", _LISTENERS[facts["Listener"]]),
        ("Kernel", facts["KernelVersion"]),
        ("OS/Arch", f"{facts['OSType']}/{facts['Architecture']}"),
        ("Platforms", ", ".join(facts["Platforms"])),
        ("by qemu", ", ".join(facts["Emulated"]) or "none (docs/platforms.md)"),
        ("CPUs", facts["NCPU"]),
    ]
    return "".join(f"{name + ':' if name else '':<12}{value}\n" for name, value in lines)


def _result(mode: dict[str, Any]) -> str:
    return f"{mode['Name']:<10}{'yes' if mode['Works'] else 'no: ' + mode['Reason']}"


def _better(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The best of the modes before the one in use that somebody can mend; at most one."""
    before = itertools.takewhile(lambda mode: mode["Name"] != facts["Mode"], facts["Modes"])
    return [mode for mode in before if mode["Hint"] and mode["Name"] != "root"][:1]
