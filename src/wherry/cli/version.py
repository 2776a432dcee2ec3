"""`wherry version`."""

from __future__ import annotations

import argparse
import platform

from wherry import __version__
from wherry.oci.platform import host


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--format", default="", help="'json' or a Go template")


def run(args: argparse.Namespace) -> int:
    machine = host()
    facts = {
        "Version": __version__,
        "PythonVersion": platform.python_version(),
        "Os": machine.os,
        "Arch": machine.architecture,
    }
    if args.format:
        from wherry.ui import format

        # There is no daemon; scripts that ask docker for one or the other get the same answer.
        print(format.document(args.format, {"Client": facts, "Server": facts}), end="")
    else:
        print(f"wherry:\n Version:   {__version__}\n Python:    {facts['PythonVersion']}")
        print(f" OS/Arch:   {machine.os}/{machine.architecture}")
    return 0
