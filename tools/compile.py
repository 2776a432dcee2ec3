"""Compiles what wherry has in C when it is installed: a hook of hatchling's.

    libhearing.so   hears the system calls of RUN (src/wherry/runtime/init/hearing.c)
    wherry-init     the first process of a container with --init (reaper.c)

It needs a C compiler (`$CC`, else `cc`) and, for the first, the C library's headers. Without them what is
installed hears the calls in Python, which is slower and does the same, and takes an init of the host's.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = "src/wherry/runtime/init"


class _Product(NamedTuple):
    name: str
    sources: tuple[str, ...]
    flags: str
    without: str
    """What it means that there is none."""


_PRODUCTS = (
    _Product(
        "libhearing.so",
        ("hearing.c", "programs.c"),
        "-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -fstack-protector-strong"
        " -Wl,-z,relro,-z,now",
        "RUN is observed by Python",
    ),
    _Product(
        "wherry-init",
        ("reaper.c",),
        "-std=c11 -O2 -Wall -Wextra -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie"
        " -Wl,-z,noexecstack -Wl,--build-id=none -s",
        "--init needs tini or catatonit",
    ),
)


class Compiling(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = os.path.join(self.root, _FOLDER)
        if version == "editable":
            # beside the source, where it is not taken for a part of any wheel: git ignores it
            for product in _PRODUCTS:
                _compile(product, folder, os.path.join(folder, product.name))
            return
        self._scratch = tempfile.TemporaryDirectory()
        for product in _PRODUCTS:
            made = os.path.join(self._scratch.name, product.name)
            if _compile(product, folder, made):
                build_data["force_include"][made] = f"{_FOLDER.removeprefix('src/')}/{product.name}"
                build_data["pure_python"] = False
                platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
                build_data["tag"] = f"py3-none-{platform}"  # none is made for one Python: any will do


def _compile(product: _Product, folder: str, target: str) -> bool:
    """Whether it could be compiled. What was there is replaced in one step: a build may be using it."""
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    sources = (os.path.join(folder, name) for name in product.sources)
    made = f"{target}.new"
    try:
        subprocess.run(
            [*compiler, *shlex.split(product.flags), "-o", made, *sources],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        print(f"wherry: {product.without}: {product.name} could not be compiled: {reason}")
        if os.path.exists(target):
            os.unlink(target)
        return False
    os.chmod(made, 0o755)  # users of a container execute it too
    os.replace(made, target)
    return True
