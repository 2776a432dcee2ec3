"""`wherry info`: the store, and what this machine offers; found out by trying, not by looking at versions."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from typing import Any

from wherry import __version__
from wherry.base.errors import WherryError
from wherry.base.settings import load
from wherry.container.containers import Containers
from wherry.oci.platform import host
from wherry.runtime.net.connect import missing_tap
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--format", default="", help="'json' or a Go template")


def run(args: argparse.Namespace) -> int:
    isolation = load().isolation
    with Store.open() as store:
        facts = _facts(store, isolation)
    if args.format:
        from wherry.ui import format

        print(format.document(args.format, facts), end="")
    else:
        print(_text(facts), end="")
    return 0


def _facts(store: Store, isolation: str) -> dict[str, Any]:
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
        **_in_a_child(lambda: _mounting(store, isolation)),
    }


def _mounting(store: Store, isolation: str) -> dict[str, Any]:
    """How root filesystems are mounted here, and whether overlay works on the store's file system."""
    from wherry.layer.layers import Layers
    from wherry.runtime import modes
    from wherry.snapshot.overlay import overlay

    try:
        mode = modes.enter(isolation).name
    except WherryError as error:
        return {"Mode": "none", "ModeHint": f"{error.message}: {error.hint}", "Overlay": "not tried"}
    try:
        with store.scratch("info") as scratch, overlay(store, Layers(store), [], scratch):
            works = "yes"
    except WherryError as error:
        works = f"no: {error.message}"
    return {"Mode": mode, "ModeHint": "", "Overlay": works}


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
        raw or b'{"Mode":"none","ModeHint":"the probe failed","Overlay":"not tried"}'
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
        ("Overlay", facts["Overlay"]),
        ("Network", facts["Network"]),
        ("Kernel", facts["KernelVersion"]),
        ("OS/Arch", f"{facts['OSType']}/{facts['Architecture']}"),
        ("CPUs", facts["NCPU"]),
    ]
    return "".join(f"{name + ':':<12}{value}\n" for name, value in lines)
