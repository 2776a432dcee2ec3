"""The command line as a user runs it: a process of its own, a store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

COMMAND = [sys.executable, "-c", "from wherry.cli.main import program; program()"]

# Settings of the machine that would make results depend on it.
_FOREIGN = ("BUILDKIT_", "DOCKER_", "NO_COLOR", "SOURCE_DATE_EPOCH", "WHERRY_", "XDG_")

_MODE = "WHERRY_ISOLATION"
"""Passed on: all tests can be run in one mode."""

RUNTIME = os.environ.get("WHERRY_TEST_RUNTIME", "")
"""Another runtime than the built-in one, for all that tests run: `WHERRY_TEST_RUNTIME=crun pytest tests/e2e`.
Where it says something in words of its own, the test asks for the exit code alone."""


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Wherry:
    """Calls `wherry` on the store `root`; `config` is the folder of docker's client configuration.

    `prefix` are words before the command: see ordinary.py.
    """

    def __init__(
        self,
        root: Path,
        config: Path,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.root = root
        self.prefix = prefix
        self.command = [*prefix, *COMMAND]
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name == _MODE or not name.startswith(_FOREIGN)
        }
        if RUNTIME:
            self.environment["WHERRY_RUNTIME"] = RUNTIME
        self.environment |= {"WHERRY_ROOT": str(root), "DOCKER_CONFIG": str(config), **(environment or {})}

    def __call__(
        self,
        *words: str | Path,
        cwd: str | Path | None = None,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> Result:
        """Run one command to its end, whatever that is; `timeout` in seconds."""
        done = subprocess.run(
            [*self.command, *map(str, words)],
            cwd=cwd,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=self.environment | dict(env or {}),
            timeout=timeout,
        )
        return Result(done.returncode, _text(done.stdout), _text(done.stderr))

    def ok(
        self,
        *words: str | Path,
        cwd: str | Path | None = None,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> str:
        """Run a command that must succeed; what it printed on its standard output."""
        result = self(*words, cwd=cwd, stdin=stdin, env=env, timeout=timeout)
        assert result.code == 0, f"wherry {' '.join(map(str, words))} gave {result.code}\n{result.err}"
        return result.out

    def start(
        self, *words: str | Path, cwd: str | Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run a command beside the test; who starts it ends it."""
        return subprocess.Popen(
            [*self.command, *map(str, words)],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment | dict(env or {}),
        )


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def behind_proxy() -> dict[str, str]:
    """For steps that download: lends them the certificates that this machine trusts, where it has its own."""
    signs = any(name in os.environ for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"))
    return {"WHERRY_HOST_CA": "1"} if signs else {}


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """A build context: paths relative to `folder` with their content; a name that ends with / is a folder."""
    for name, content in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
