"""The programs that run containers, each behind the same few words.

podman gets no cgroups, and small limits: not every root may set those that it wants. Without them it has less
to do. crun and runc alone do much less than the others: a folder is there already, and they have no images,
no log and no network.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.measure import Failure, Sample, run
from support import busybox, running
from wherry.container.containers import Containers
from wherry.container.options.options import Options
from wherry.container.run import create
from wherry.store.store import Store

IMAGE = "busybox"
_LIMITS = ("nofile=1024:4096", "nproc=4096:4096")
_SLEEP = ("sleep", "1000000")


class Engine(ABC):
    """`networks`: those that it can give a container. `home` is a folder of its own."""

    name: str
    networks: tuple[str, ...] = ("default", "none", "host")
    command: tuple[str, ...]
    environment: dict[str, str]

    @abstractmethod
    def available(self) -> bool:
        """Whether it is here and works. It has the image then."""

    def works(self, network: str = "none") -> bool:
        try:
            self.call(self.once(network))
        except Failure:
            return False
        return True

    @abstractmethod
    def once(self, network: str = "none", *args: str) -> list[str]:
        """Words that run `args`, or `true`, in a new container, which goes with it."""

    def detached(
        self, name: str, network: str = "none", *options: str, args: tuple[str, ...] = _SLEEP
    ) -> list[str]:
        """Words that start a container that stays."""
        flags = ["run", "-d", "--name", name, *self._flags(network), *options]
        return [*self.command, *flags, IMAGE, *args]

    def execute(self, name: str) -> list[str]:
        """Words that run `true` in a container that is there."""
        return [*self.command, "exec", name, "true"]

    def remove(self, names: Iterable[str]) -> list[str]:
        return [*self.command, "rm", "-f", *self._at_once(), *names]

    def call(self, words: list[str]) -> Sample:
        return run(words, self.environment)

    def output(self, *words: str) -> str:
        """What the engine writes; "" where that fails."""
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, env=os.environ | self.environment
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    @abstractmethod
    def keepers(self, name: str) -> set[int]:
        """The processes that hold a container, without its own."""

    def fill(self, count: int) -> None:
        """Make containers that do not run."""
        for _ in range(count):
            self.call([*self.command, "create", *self._flags("none"), IMAGE])

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""

    def _flags(self, network: str) -> list[str]:
        return [] if network == "default" else ["--network", network]

    def _at_once(self) -> list[str]:
        """What makes `rm -f` wait for nothing."""
        return []


class Wherry(Engine):
    def __init__(self, home: Path, runtime: str = "native") -> None:
        self.name = "wherry" if runtime == "native" else f"wherry, {runtime}"
        program = shutil.which("wherry", path=os.path.dirname(sys.executable)) or "wherry"
        self.command = (program,)
        self._root = home / self.name.replace(", ", "-")
        self._runtime = runtime
        self.environment = {"WHERRY_ROOT": str(self._root)}

    def available(self) -> bool:
        if self._runtime != "native" and not shutil.which(self._runtime):
            return False
        busybox.put(self._root, IMAGE)
        return self.works()

    def once(self, network: str = "none", *args: str) -> list[str]:
        return [*self.command, "run", "--rm", *self._flags(network), IMAGE, *(args or ("true",))]

    def keepers(self, name: str) -> set[int]:
        found = json.loads(self.output("inspect", name))[0]["State"]
        life = Containers(str(self._root)).find(name).state.monitor
        assert life
        return {life.pid, *running.descendants(life.pid)} - {int(found["Pid"])}

    def fill(self, count: int) -> None:
        with Store.open(str(self._root)) as store:
            for _ in range(count):
                create(store, Options(IMAGE, network="none"))

    def close(self) -> None:
        names = self.output("ps", "-aq").split()
        if names:
            self.output("rm", "-f", *names)

    def _flags(self, network: str) -> list[str]:
        runtime = [] if self._runtime == "native" else ["--runtime", self._runtime]
        return [*runtime, *super()._flags(network)]


class Podman(Engine):
    name = "podman"

    def __init__(self, home: Path, archive: Path) -> None:
        self._home = home / "podman"
        self._archive = archive
        places = ("--root", f"{self._home}/root", "--runroot", f"{self._home}/run")
        self.command = ("podman", *places, "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs")
        self.environment = {"XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)}

    def available(self) -> bool:
        if not shutil.which("podman"):
            return False
        self.output("load", "-q", "-i", str(self._archive))
        return self.works()

    def once(self, network: str = "none", *args: str) -> list[str]:
        return [*self.command, "run", "--rm", *self._flags(network), IMAGE, *(args or ("true",))]

    def keepers(self, name: str) -> set[int]:
        found = json.loads(self.output("inspect", name))[0]
        conmon = int(found["State"]["ConmonPid"])
        namespace = os.path.basename(found["NetworkSettings"].get("SandboxKey") or "")
        return {conmon, *(running.processes(namespace) if namespace else [])}

    def close(self) -> None:
        self.output("rm", "-a", "-f", "-t", "0")
        self.output("rmi", "-a", "-f")
        if os.geteuid():
            pause = self._pause()
            self.output("unshare", "umount", f"{self._home}/root/overlay")
            self.output("unshare", "rm", "-rf", str(self._home))
            if pause:
                os.kill(pause, signal.SIGKILL)
        else:
            subprocess.run(["umount", f"{self._home}/root/overlay"], capture_output=True)

    def _pause(self) -> int:
        """The process that keeps its user namespace."""
        for path in Path(self.environment["XDG_RUNTIME_DIR"]).rglob("pause.pid"):
            return int(path.read_text())
        return 0

    def _flags(self, network: str) -> list[str]:
        ulimits = [word for limit in _LIMITS for word in ("--ulimit", limit)]
        return ["--cgroups", "disabled", *ulimits, *super()._flags(network)]

    def _at_once(self) -> list[str]:
        return ["-t", "0"]


class Alone(Engine):
    """crun or runc without an engine, on a bundle that is there."""

    networks = ("none",)

    def __init__(self, home: Path, program: str) -> None:
        self.name = f"{program} alone"
        self._program = program
        self._home = home / program
        flags = ("--cgroup-manager=disabled",) if program == "crun" else ()
        self.command = (program, "--root", f"{self._home}/state", *flags)
        self.environment = {"XDG_RUNTIME_DIR": str(home)}

    def available(self) -> bool:
        if not shutil.which(self._program):
            return False
        running.make_rootfs(self._home / "rootfs")
        self._bundle("once", ["true"])
        self._bundle("stays", list(_SLEEP))
        return self.works()

    def once(self, network: str = "none", *args: str) -> list[str]:
        return [*self.command, "run", "--bundle", f"{self._home}/once", f"bench-{os.getpid()}"]

    def detached(
        self, name: str, network: str = "none", *options: str, args: tuple[str, ...] = _SLEEP
    ) -> list[str]:
        return [*self.command, "run", "--detach", "--bundle", f"{self._home}/stays", name]

    def remove(self, names: Iterable[str]) -> list[str]:
        """It takes one a time."""
        command = shlex.join([*self.command, "delete", "-f"])
        return ["sh", "-c", f'for name; do {command} "$name"; done', "remove", *names]

    def keepers(self, name: str) -> set[int]:
        return set()

    def close(self) -> None:
        self.call(self.remove(self.output("list", "-q").split()))

    def _bundle(self, name: str, args: list[str]) -> None:
        folder = self._home / name
        folder.mkdir()
        rootless = ["--rootless"] if os.geteuid() else []
        subprocess.run([self._program, "spec", *rootless, "--bundle", folder], check=True, cwd=folder)
        path = folder / "config.json"
        document: dict[str, Any] = json.loads(path.read_text())
        document["process"] |= {"terminal": False, "args": args}
        document["process"].pop("rlimits", None)
        document["root"] = {"path": str(self._home / "rootfs")}
        document["linux"].pop("resources", None)
        document["mounts"] = [item for item in document["mounts"] if item["type"] != "cgroup"]
        path.write_text(json.dumps(document))


def engines(home: Path, archive: Path) -> Iterator[Engine]:
    """Those that work here for the user that this process is."""
    programs = ("crun", "runc")
    everything: list[Engine] = [Wherry(home), *(Wherry(home, name) for name in programs)]
    everything += [Podman(home, archive), *(Alone(home, name) for name in programs)]
    for engine in everything:
        if engine.available():
            yield engine
        else:
            print(f"{engine.name} is not here, or does not work here")
            engine.close()
