"""What a build is lent and does not keep: `--secret` and `--ssh`.

Only where a value is to be had stands here. It is read when a step needs it, and goes nowhere but there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from wherry.base.errors import UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.pairs import pairs

_MOST = 500 * 1024
"""Bytes of a secret, as BuildKit has it: it is kept in memory."""

_KEY_LIMIT = 64 * 1024


class Secret(NamedTuple):
    """A secret in the file `path`, or in the environment variable `variable`."""

    id: str
    path: str = ""
    variable: str = ""

    def read(self) -> bytes | None:
        """The value; None where the variable is not set."""
        if self.variable:
            return os.environb.get(os.fsencode(self.variable))
        try:
            with open(self.path, "rb") as file:
                value = file.read(_MOST + 1)
        except OSError as error:
            raise WherryError(f"cannot read the secret {self.id!r}, {self.path}: {error.strerror}") from None
        if len(value) > _MOST:
            raise WherryError(f"the secret {self.id!r}, {self.path}, is longer than {_MOST // 1024} KB")
        return value


class Agent(NamedTuple):
    """An agent of ssh that listens on the socket `path`."""

    id: str
    path: str


def secret(text: str, environment: Mapping[str, str]) -> Secret:
    """What `--secret id=NAME[,src=FILE|,env=VARIABLE]` says; without a place, the variable or file NAME.

    Raises UsageError, for a file that is not there too.
    """
    given = pairs("--secret", text, ("id", "src", "source", "env", "type"))
    name = given.get("id", "")
    if not name:
        raise UsageError(
            f"--secret {text}: the id is missing", hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE"
        )
    path = given.get("src") or given.get("source", "")
    variable = given.get("env", "")
    kind = given.get("type", "")
    if kind not in ("", "file", "env"):
        raise UsageError(f"--secret {text}: there is no type {kind!r}: it is file or env")
    if kind == "env" and not variable:
        path, variable = "", path or name
    if path and variable:
        raise UsageError(f"--secret {text}: a secret comes from a file or a variable, not from both")
    if not path and not variable:
        path, variable = (name, "") if kind == "file" or name not in environment else ("", name)
    if path:
        path = os.path.abspath(path)
        if not os.path.isfile(path) and not _is_pipe(path):
            raise UsageError(f"--secret id={name}: {path} is not a file, or does not exist")
    return Secret(name, path, variable)


def agent(text: str, environment: Mapping[str, str]) -> Agent:
    """What `--ssh default|ID[=SOCKET]` says; without a socket, that of SSH_AUTH_SOCK.

    A private key in the place of a socket is refused: an agent keeps it out of reach of what is built.
    """
    name, _, path = text.partition("=")
    name = name or "default"
    if "," in path:
        raise UsageError(f"--ssh {text}: one agent has one socket", hint="add the keys to one ssh-agent")
    path = path or environment.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            f"--ssh {name}: there is no agent, SSH_AUTH_SOCK is not set",
            hint='start one: eval "$(ssh-agent)" && ssh-add',
        )
    path = os.path.abspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise UsageError(f"--ssh {name}: cannot use the socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        what = "a private key" if _is_key(path) else "not a socket"
        raise UsageError(
            f"--ssh {name}: {path} is {what}; keys are used through an agent only",
            hint='eval "$(ssh-agent)" && ssh-add KEY, then --ssh default',
        )
    return Agent(name, path)


def _is_pipe(path: str) -> bool:
    """As of `src=<(command)`."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def _is_key(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"PRIVATE KEY" in file.read(_KEY_LIMIT)
    except OSError:
        return False
