"""What starting a process costs: `make bench`, or `PYTHONPATH=tests python -m bench.starts` for this alone.

From the order to the end of `/bin/true` in a small root filesystem, with docker's surroundings as a RUN has
them: as root, and for an ordinary user in a user namespace. crun and runc are those of `--runtime`.
bubblewrap stands beside them with less to do: no seccomp profile, no masked paths. What is missing is left
out.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from support import folders, hosts, ordinary
from support.running import make_rootfs

_TIMES = 50
_RUNTIMES = ("native", "crun", "runc")
_BWRAP = (
    "--unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --proc /proc --dev /dev --die-with-parent"
)


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("bench: starts are measured as root and for a user whom root makes")
    print_table()
    return 0


def print_table() -> None:
    print(f"{'START OF A PROCESS (median, best)':<44}{'root':>24}{'userns':>24}")
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="wherry-starts-", dir=folders.fast()))
        stack.callback(shutil.rmtree, scratch)
        user = stack.enter_context(ordinary.user()) if shutil.which("newuidmap") else None
        places: list[tuple[list[str], Path]] = [([], scratch)]
        if user:
            places.append((user.prefix, user.home))
        for _, folder in places:
            make_rootfs(folder / "rootfs")
        if user:
            hosts.hand_over(user.home)
        for name in (*filter(_is_here, _RUNTIMES), *filter(shutil.which, ["bwrap"])):
            title = name if name == "bwrap" else f"wherry --runtime {name}"
            shown = [_measured(prefix, name, folder) for prefix, folder in places]
            print(f"{title:<44}{''.join(f'{text:>24}' for text in shown)}", flush=True)
    print()


def _is_here(name: str) -> bool:
    return name == "native" or shutil.which(name) is not None


def _measured(prefix: list[str], name: str, folder: Path) -> str:
    words = [*prefix, sys.executable, __file__, name, str(folder)]
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    return done.stdout.strip() if done.returncode == 0 else "failed"


def _measure(name: str, folder: str) -> None:
    """In a process of the user's own: print the middle and the best time."""
    rootfs = f"{folder}/rootfs"
    taken = _timed(_bwrap(rootfs)) if name == "bwrap" else _by_runtime(name, folder)
    print(f"{statistics.median(taken) * 1000:.1f} ms {min(taken) * 1000:>6.1f} ms")


def _by_runtime(name: str, folder: str) -> list[float]:
    from wherry.runtime import modes
    from wherry.runtime.runtimes import open_runtime
    from wherry.runtime.spec import Container, Process

    modes.enter()
    null = os.open(os.devnull, os.O_RDWR)
    container = Container("bench", f"{folder}/rootfs", Process(("/bin/true",)), hostname="bench")
    with open_runtime(name, folder) as runtime:
        return _timed(lambda: runtime.start(container, null, null, null).wait())


def _bwrap(rootfs: str) -> Callable[[], int]:
    user = [] if os.geteuid() == 0 else ["--unshare-user", "--uid", "0"]
    words = ["bwrap", *user, "--bind", rootfs, "/", *_BWRAP.split(), "/bin/true"]
    return lambda: os.waitpid(os.posix_spawnp("bwrap", words, os.environ), 0)[1]


def _timed(work: Callable[[], int]) -> list[float]:
    taken = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        if work():
            sys.exit(1)
        taken.append(time.perf_counter() - begun)
    return taken[1:]  # the first one waits for the helper to be there


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    _measure(*sys.argv[1:])
