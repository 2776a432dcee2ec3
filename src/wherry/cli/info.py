"""`wherry info`: the store, and what this machine offers; found out by trying, not by looking at versions."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from typing import Any

from wherry import __version__
from wherry.base.errors import WherryError
from wherry.base.settings import Settings, load
from wherry.container.containers import Containers
from wherry.oci.platform import host
from wherry.runtime.net.connect import missing_tap
from wherry.store.store import Store


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
        **_in_a_child(lambda: _mounting(store, settings)),
    }


def _mounting(store: Store, settings: Settings) -> dict[str, Any]:
    """How processes are kept apart here, and how root filesystems are made of layers."""
    from wherry.runtime import modes
    from wherry.snapshot.snapshotter import choose

    try:
        mode = modes.enter(settings.isolation)
    except WherryError as error:
        hint = f": {error.hint}" if error.hint else ""
        return {"Mode": "none", "ModeHint": f"{error.message}{hint}", "Driver": "not tried"}
    try:
        choice = choose(store, settings.snapshotter, may_mount=mode.may_mount)
    except WherryError as error:
        return {"Mode": mode.name, "ModeHint": "", "Driver": "none", "DriverHint": error.message}
    return {"Mode": mode.name, "ModeHint": "", "Driver": choice.name, "DriverHint": choice.reason}


def _in_a_child(probe: Any) -> dict[str, Any]:
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
    found: dict[str, Any] = json.loads(
        raw or b'{"Mode":"none","ModeHint":"the probe failed","Driver":"not tried"}'
    )
    return found


def _network() -> str:
    """The helper that connects containers, best first (runtime/net/connect.py)."""
    lacking = missing_tap()
    if lacking:
        return f"published ports only ({lacking})"
    for program in ("pasta", "slirp4netns"):
        if shutil.which(program):
            return program
    return "published ports only (neither pasta nor slirp4netns is installed)"


def _text(facts: dict[str, Any]) -> str:
    lines = [
        ("wherry", facts["ServerVersion"]),
        ("Store", facts["Root"]),
        ("Images", facts["Images"]),
        ("Containers", f"{facts['Containers']} ({facts['ContainersRunning']} running)"),
        ("Mode", facts["Mode"] + (f" ({facts['ModeHint']})" if facts["ModeHint"] else "")),
        ("Snapshots", facts["Driver"] + (f" ({hint})" if (hint := facts.get("DriverHint")) else "")),
        ("Network", facts["Network"]),
        ("Kernel", facts["KernelVersion"]),
        ("OS/Arch", f"{facts['OSType']}/{facts['Architecture']}"),
        ("CPUs", facts["NCPU"]),
    ]
    return "".join(f"{name + ':':<12}{value}\n" for name, value in lines)
