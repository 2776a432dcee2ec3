"""Compiles what hears the system calls of RUN (src/wherry/runtime/init/hearing.c) when wherry is installed.

A hook of hatchling's. It needs a C compiler (`$CC`, else `cc`) and the C library's headers. Without them what
is installed hears the calls in Python, which is slower and does the same.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = "src/wherry/runtime/init"
_SOURCES, _LIBRARY = ("hearing.c", "programs.c"), "libhearing.so"
_FLAGS = (
    "-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -fstack-protector-strong"
    " -Wl,-z,relro,-z,now"
)


class Compiling(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = os.path.join(self.root, _FOLDER)
        if version == "editable":
            # beside the source, where it is not taken for a part of any wheel: git ignores it
            _compile(folder, os.path.join(folder, _LIBRARY))
            return
        self._scratch = tempfile.TemporaryDirectory()
        library = os.path.join(self._scratch.name, _LIBRARY)
        if _compile(folder, library):
            build_data["force_include"][library] = f"{_FOLDER.removeprefix('src/')}/{_LIBRARY}"
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"  # it is loaded by ctypes: any Python will do


def _compile(folder: str, library: str) -> bool:
    """Whether it could be compiled. What was there is replaced in one step: a build may be using it."""
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    sources = (os.path.join(folder, name) for name in _SOURCES)
    made = f"{library}.new"
    try:
        subprocess.run(
            [*compiler, *shlex.split(_FLAGS), "-o", made, *sources],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        print(f"wherry: RUN is observed by Python: {_LIBRARY} could not be compiled: {reason}")
        if os.path.exists(library):
            os.unlink(library)
        return False
    os.replace(made, library)
    return True
