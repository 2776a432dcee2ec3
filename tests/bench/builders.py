"""The builders that can be measured, each behind the same few words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bench.measure import Sample, run


class Builder(ABC):
    """`reset` leaves the base image in place and nothing else: what is built next is built from cold."""

    name: str

    @abstractmethod
    def available(self) -> bool:
        """Whether it is installed and works here."""

    @abstractmethod
    def reset(self, base: str) -> None: ...

    @abstractmethod
    def build(self, context: Path) -> Sample: ...

    @abstractmethod
    def pull(self, reference: str) -> Sample:
        """Fetch and unpack an image that is not there."""

    @abstractmethod
    def close(self) -> None:
        """Remove what was made outside of the scratch folder."""


class Wherry(Builder):
    name = "wherry"

    def __init__(self, scratch: Path) -> None:
        self._root = scratch / "wherry"
        self._template = scratch / "wherry-with-base"
        self._base = ""
        self._command = shutil.which("wherry", path=os.path.dirname(sys.executable)) or "wherry"

    def available(self) -> bool:
        return True

    def reset(self, base: str) -> None:
        """A store in which the base is unpacked, as after an earlier build."""
        if self._base != base:
            self._base = base
            shutil.rmtree(self._template, ignore_errors=True)
            self._call(self._template, "pull", "-q", base)
            context = self._template.parent / "warm"
            context.mkdir(exist_ok=True)
            (context / "Dockerfile").write_text(f"FROM {base}\nRUN true\n")
            self._call(self._template, "build", "-q", str(context))
            self._call(self._template, "builder", "prune", "-a", "-f")
        shutil.rmtree(self._root, ignore_errors=True)
        subprocess.run(["cp", "-a", self._template, self._root], check=True)

    def build(self, context: Path) -> Sample:
        return self._call(self._root, "build", "-q", "-t", "bench", str(context))

    def pull(self, reference: str) -> Sample:
        """Pulling unpacks nothing by itself: a first step that needs the files is part of it."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()
        pulled = self._call(self._root, "pull", "-q", reference)
        ran = self._call(self._root, "run", "--rm", reference, "true")
        return Sample(pulled.seconds + ran.seconds, max(pulled.memory, ran.memory))

    def close(self) -> None:
        pass

    def _call(self, root: Path, *words: str) -> Sample:
        return run([self._command, *words], {"WHERRY_ROOT": str(root)})


class Buildah(Builder):
    name = "buildah"

    def __init__(self, scratch: Path) -> None:
        self._root = scratch / "buildah"
        folders = ["--root", f"{self._root}/root", "--runroot", f"{self._root}/run"]
        self._command = ["buildah", *folders, "--storage-driver", "overlay"]

    def available(self) -> bool:
        return shutil.which("buildah") is not None and _works([*self._command, "images"])

    def reset(self, base: str) -> None:
        run([*self._command, "rm", "--all"])
        run([*self._command, "rmi", "--all", "--force"])
        run([*self._command, "pull", "--tls-verify=false", base])

    def build(self, context: Path) -> Sample:
        flags = ["--layers", "--isolation", "chroot", "--tls-verify=false", "--quiet", "--tag", "bench"]
        return run([*self._command, "build", *flags, str(context)])

    def pull(self, reference: str) -> Sample:
        run([*self._command, "rmi", "--all", "--force"])
        return run([*self._command, "pull", "--quiet", "--tls-verify=false", reference])

    def close(self) -> None:
        if self._root.exists():
            run([*self._command, "rm", "--all"])
            run([*self._command, "rmi", "--all", "--force"])


class Docker(Builder):
    """Its memory is the client's alone. Its build cache is emptied."""

    name = "docker"

    def available(self) -> bool:
        return shutil.which("docker") is not None and _works(["docker", "version"])

    def reset(self, base: str) -> None:
        run(["docker", "builder", "prune", "--all", "--force"])
        run(["docker", "pull", "--quiet", base])

    def build(self, context: Path) -> Sample:
        return run(["docker", "build", "--quiet", "--tag", "wherry-bench", str(context)])

    def pull(self, reference: str) -> Sample:
        subprocess.run(["docker", "rmi", "--force", reference], capture_output=True)
        return run(["docker", "pull", "--quiet", reference])

    def close(self) -> None:
        subprocess.run(["docker", "rmi", "--force", "wherry-bench"], capture_output=True)


class Buildctl(Builder):
    """BuildKit with its own daemon; it reads the base from the registry once and keeps it."""

    name = "buildctl"

    def available(self) -> bool:
        return shutil.which("buildctl") is not None and _works(["buildctl", "debug", "workers"])

    def reset(self, base: str) -> None:
        run(["buildctl", "prune", "--all"])

    def build(self, context: Path) -> Sample:
        folders = ["--local", f"context={context}", "--local", f"dockerfile={context}"]
        output = ["--output", "type=image,name=wherry-bench", "--progress", "quiet"]
        return run(["buildctl", "build", "--frontend", "dockerfile.v0", *folders, *output])

    def close(self) -> None:
        run(["buildctl", "prune", "--all"])

    def pull(self, reference: str) -> Sample:
        context = Path("/tmp", f"wherry-bench-{os.getpid()}")
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(f"FROM {reference}\nRUN true\n")
        run(["buildctl", "prune", "--all"])
        try:
            return self.build(context)
        finally:
            shutil.rmtree(context)


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
