"""Commands as root of a container without privileges, as `docker run` makes it: docker's capabilities and
seccomp profile, no CAP_SYS_ADMIN, no mounts, no namespaces. The container is wherry's own, its root file
system this machine's, with changes thrown away.

    python -m support.confined FOLDER [--without CAPABILITY] -- COMMAND...

FOLDER is the one place that is the machine's own; device nodes work there, as in docker's volumes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support import folders
from wherry.runtime import modes
from wherry.runtime.native import Native
from wherry.runtime.spec import DEFAULT_CAPABILITIES, Container, Mount, Process

_TESTS = Path(__file__).parents[1]


def prefix(folder: Path, *flags: str) -> list[str]:
    """Words to put before a command."""
    program = f"import sys; sys.path.insert(0, {str(_TESTS)!r}); from support.confined import main; main()"
    return [sys.executable, "-c", program, str(folder), *flags, "--"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    modes.enter("root")
    with tempfile.TemporaryDirectory(prefix="wherry-confined-", dir=folders.fast()) as scratch:
        container = Container(
            id="outer",
            rootfs=_ground(Path(scratch)),
            process=Process(
                args=tuple(args.command),
                env=tuple(f"{key}={value}" for key, value in os.environ.items()),
                capabilities=tuple(name for name in DEFAULT_CAPABILITIES if name not in args.without),
            ),
            mounts=tuple(Mount("bind", path, path, ("rw", "dev")) for path in _shown(args.folder)),
            hostname="outer",
        )
        with Native() as runtime:
            code = runtime.start(container, 0, 1, 2).wait()
        subprocess.run(["umount", container.rootfs], check=True)
    sys.exit(code)


def _ground(scratch: Path) -> str:
    for name in ("upper", "work", "root"):
        (scratch / name).mkdir()
    options = f"lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", scratch / "root"], check=True)
    return str(scratch / "root")


def _shown(folder: str) -> list[str]:
    """The folder, and what Python and these tests need where that is not on the root file system."""
    needed = {sys.base_prefix, sys.prefix, str(_TESTS.parent)}
    return [folder, *(path for path in needed if os.stat(path).st_dev != os.stat("/").st_dev)]
