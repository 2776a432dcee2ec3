"""The relay in front of an ssh agent, with OpenSSH's own programs: it signs, and changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.build.operations.agent import connected, receive, relay, send

pytestmark = pytest.mark.needs("ssh-agent", "ssh-keygen")


@pytest.fixture
def lent(tmp_path: Path) -> Iterator[Path]:
    """A relay's socket, whose agent has one key."""
    socket = tmp_path / "agent"
    started = subprocess.run(["ssh-agent", "-a", str(socket)], capture_output=True, text=True, check=True)
    pid = int(started.stdout.split("SSH_AGENT_PID=")[1].split(";")[0])
    try:
        key = str(tmp_path / "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        assert call(socket, "ssh-add", "-q", key) == 0
        with relay(str(socket), str(tmp_path / "lent")):
            yield tmp_path / "lent"
    finally:
        os.kill(pid, signal.SIGTERM)


def call(socket: Path, *words: str) -> int:
    environment = os.environ | {"SSH_AUTH_SOCK": str(socket)}
    return subprocess.run(words, env=environment, capture_output=True).returncode


def test_keys_are_listed_and_sign(lent: Path, tmp_path: Path) -> None:
    assert call(lent, "ssh-add", "-L") == 0
    (tmp_path / "key").unlink()  # only the agent has it now
    (tmp_path / "text").write_text("text")
    key, text = str(tmp_path / "key.pub"), str(tmp_path / "text")
    assert call(lent, "ssh-keygen", "-Y", "sign", "-f", key, "-n", "test", text) == 0
    assert (tmp_path / "text.sig").exists()


def test_keys_are_neither_removed_nor_added_nor_locked(lent: Path, tmp_path: Path) -> None:
    assert call(lent, "ssh-add", "-D") != 0
    assert call(lent, "ssh-add", str(tmp_path / "key")) != 0
    with connected(str(lent)) as agent:
        send(agent, b"\x16\x00\x00\x00\x01x")  # lock it with the passphrase "x"
        assert receive(agent) == b"\x05"
    assert call(tmp_path / "agent", "ssh-add", "-l") == 0
