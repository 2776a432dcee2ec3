"""Other programs that read images: what each of them makes of one, as a tree."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support import folders
from support.realtrees import Tree, tree_of

Reader = Callable[[str], Tree]
"""`oci-archive:a.tar` -> the files of the image."""


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def umoci(source: str) -> Tree:
    """By way of skopeo, as umoci reads nothing but layouts. Debian's reads no zstd."""
    with _scratch() as scratch:
        run("skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{scratch}/layout:read")
        run("umoci", "unpack", "--image", f"{scratch}/layout:read", f"{scratch}/bundle")
        return _below(f"{scratch}/bundle/rootfs")


def podman(source: str) -> Tree:
    with _scratch() as scratch:
        with_storage = ("podman", *_storage(scratch))
        image = run(*with_storage, "pull", "-q", "--tls-verify=false", source).split()[-1]
        return _below(run(*with_storage, "image", "mount", image).strip())


def buildah(source: str) -> Tree:
    with _scratch() as scratch:
        with_storage = ("buildah", *_storage(scratch))
        container = run(*with_storage, "from", "-q", "--tls-verify=false", source).split()[-1]
        return _below(run(*with_storage, "mount", container).strip())


READERS: dict[str, Reader] = {"umoci": umoci, "podman": podman, "buildah": buildah}


@contextmanager
def _scratch() -> Iterator[str]:
    """Podman takes no long path."""
    scratch = tempfile.mkdtemp(prefix="r", dir=folders.fast())
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


def _below(root: str) -> Tree:
    return {path: node for path, node in tree_of(root).items() if path}


def _storage(scratch: str) -> tuple[str, ...]:
    return ("--root", f"{scratch}/root", "--runroot", f"{scratch}/run", "--storage-driver", "vfs")
