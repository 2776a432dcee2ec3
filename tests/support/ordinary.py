"""Commands as a user without rights, who has subordinate ids: for root's test runs, CI's among them.

Nothing on the machine is changed: /etc/passwd and its kin are covered in the command's own mount namespace.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support import folders

UID = 12345
NAME = "wherry-tester"

_RECORDS = {
    "passwd": f"{NAME}:x:{UID}:{UID}::{{home}}:/bin/sh\n",
    "group": f"{NAME}:x:{UID}:\n",
    "subuid": f"{NAME}:200000:65536\n",
    "subgid": f"{NAME}:200000:65536\n",
}


class User(NamedTuple):
    """`prefix` are words to put before a command; `home` is the user's own folder."""

    prefix: list[str]
    home: Path


_PUT = """
import sys
sys.path.insert(0, sys.argv[1])
from support import busybox
busybox.put(sys.argv[2], sys.argv[3])
"""


def put_busybox(someone: User, root: Path, name: str) -> None:
    """Enter busybox's image as `name` into the user's store, by his own hands."""
    tests = Path(__file__).parents[1]
    subprocess.run([*someone.prefix, sys.executable, "-c", _PUT, tests, root, name], check=True)


def hand_over(folder: Path) -> None:
    """Make `folder` with all below it the user's own: a store that root has filled, for one."""
    subprocess.run(["chown", "-R", f"{UID}:{UID}", folder], check=True)


@contextmanager
def user(subordinate: bool = True) -> Iterator[User]:
    """The user, as long as the context lasts; without `subordinate` he has no ranges of ids.

    His home is not in pytest's folder, which pytest closes to all but its owner.
    """
    scratch = Path(tempfile.mkdtemp(prefix="wherry-user-", dir=folders.fast()))
    try:
        scratch.chmod(0o711)
        home = scratch / "home"
        home.mkdir()
        os.chown(home, UID, UID)
        yield User(
            ["unshare", "--mount", "bash", "-c", _script(scratch, home, subordinate), "ordinary"], home
        )
    finally:
        shutil.rmtree(scratch)


def _script(scratch: Path, home: Path, subordinate: bool) -> str:
    lines = ["set -e"]
    for name, record in _RECORDS.items():
        own = scratch / name
        is_range = name.startswith("sub")
        text = "" if is_range else Path("/etc", name).read_text()
        own.write_text(text + (record.format(home=home) if subordinate or not is_range else ""))
        lines.append(f"mount --bind {shlex.quote(str(own))} /etc/{name}")
    lines += _opened()
    identity = f"setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all"
    lines.append(f'cd /; exec {identity} env HOME={shlex.quote(str(home))} USER={NAME} "$@"')
    return "\n".join(lines)


def _opened() -> list[str]:
    """Mounts that let the user reach Python and this checkout where they lie in a home of root's.

    What is to be seen is kept below /mnt meanwhile: a mount below /dev/shm would stop mmdebstrap from binding
    that folder.
    """
    closed: dict[Path, list[Path]] = {}
    for needed in {Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]}:
        for folder in reversed(needed.parents):
            if not folder.stat().st_mode & 0o001:
                closed.setdefault(folder, []).append(needed)
                break
    lines = ["mount -t tmpfs -o mode=0755 none /mnt"] if closed else []
    for folder, inside in closed.items():
        kept = [shlex.quote(f"/mnt/{'-'.join(path.parts[1:])}") for path in inside]
        places = [shlex.quote(str(path)) for path in inside]
        for path, place in zip(places, kept, strict=True):
            lines.append(f"mkdir {place}; mount --bind {path} {place}")
        lines.append(f"mount -t tmpfs -o mode=0755 none {shlex.quote(str(folder))}")
        for path, place in zip(places, kept, strict=True):
            lines.append(f"mkdir -p {path}; mount --bind {place} {path}")
    return lines
