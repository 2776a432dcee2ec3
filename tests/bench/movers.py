"""The programs that move images, each behind the same few words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench.measure import Sample, run

LOCAL = "--tls-verify=false"


class Mover(NamedTuple):
    """A program with a folder of its own for the images that it has."""

    name: str
    folder: Path

    def pull(self, source: str) -> Sample:
        """The image comes from a registry, to one who has nothing: to a store, an OCI layout with skopeo."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.name == "wherry":
            return self._wherry("pull", "-q", source)
        return run(["skopeo", "copy", "-q", f"--src-{LOCAL[2:]}", f"docker://{source}", self._layout])

    def push(self, source: str, target: str) -> Sample:
        """The image, which was pulled from `source`, goes to a registry that has nothing."""
        if self.name == "wherry":
            self._wherry("tag", source, target)
            return self._wherry("push", "-q", target)
        return run(["skopeo", "copy", "-q", f"--dest-{LOCAL[2:]}", self._layout, f"docker://{target}"])

    def copy(self, source: str, target: str) -> Sample:
        """The image goes from a registry to another one, which has nothing."""
        if self.name == "wherry":
            return self._wherry("copy", "-q", f"docker://{source}", f"docker://{target}")
        flags = [f"--src-{LOCAL[2:]}", f"--dest-{LOCAL[2:]}"]
        return run(["skopeo", "copy", "-q", *flags, f"docker://{source}", f"docker://{target}"])

    def unpacked(self, source: str) -> Sample:
        """Pulled, and with a tree to run something in; what podman's `pull` makes too."""
        if self.name == "podman":
            folders = ["--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run"]
            podman = ["podman", *folders, "--storage-driver", "overlay"]
            subprocess.run([*podman, "rmi", "--all", "--force"], check=True, capture_output=True)
            return run([*podman, "pull", "-q", LOCAL, source])
        shutil.rmtree(self.folder, ignore_errors=True)
        return self._wherry("run", "--rm", source, "true")

    @property
    def _layout(self) -> str:
        return f"oci:{self.folder}:bench"

    def _wherry(self, *words: str) -> Sample:
        command = Path(sys.executable).parent / "wherry"
        return run([str(command), *words], {"WHERRY_ROOT": str(self.folder)})
