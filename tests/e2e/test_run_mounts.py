"""RUN --mount: what a step sees, what it leaves behind, and what makes it run again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import ordinary
from support.cli import Wherry, write_files
from support.trees import contents

pytestmark = pytest.mark.needs("root")

Context = Callable[[Mapping[str, str | bytes]], Path]


def is_reused(printed: str, step: str) -> bool:
    number = next(line.split()[0] for line in printed.splitlines() if step in line and line[:1] == "#")
    return f"{number} CACHED" in printed.splitlines()


def test_the_context_is_seen_as_copy_sees_it(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM busybox\nWORKDIR /w\n"
        "RUN --mount=target=. ls -A > /names; cat a.txt > /a; touch x 2> /dev/null || echo ro > /ro\n"
        "RUN --mount=target=/src,rw touch /src/new && ls /src > /writable\n"
        "RUN --mount=source=a.txt,target=/one cat /one > /file\n",
        "-t", "m-context", a_txt="text\n", _dockerignore="hidden\n", hidden="x",
    )  # fmt: skip
    found = contents(shared.root, "m-context")
    assert "hidden" not in found["names"].split()
    assert (found["a"], found["ro"], found["file"]) == ("text\n", "ro\n", "text\n")
    assert "new" in found["writable"].split()
    assert not {"one", "src", "src/new", "w/a.txt"} & found.keys()


def test_a_changed_mounted_file_runs_the_step_again_and_no_other_does(built: Callable[..., str]) -> None:
    text = "FROM busybox\nRUN --mount=source=a.txt,target=/a cat /a > /copy\n"
    built(text, a_txt="1", b_txt="1")
    assert is_reused(built(text, a_txt="1", b_txt="2"), "RUN --mount")
    assert not is_reused(built(text, a_txt="2", b_txt="2"), "RUN --mount")


def test_files_of_a_stage_are_mounted_and_count_by_content(shared: Wherry, built: Callable[..., str]) -> None:
    text = (
        "FROM busybox AS tools\nRUN mkdir /t && echo tool > /t/x && echo {} > /other\n"
        "FROM busybox\nRUN --mount=from=tools,source=/t,target=/mnt/t cp /mnt/t/x /out\nRUN echo next > /n\n"
    )
    built(text.format(1), "-t", "m-stage")
    found = contents(shared.root, "m-stage")
    assert found["out"] == "tool\n"
    assert "mnt" not in found or "mnt/t" not in found
    assert is_reused(built(text.format(2), "-t", "m-stage"), "RUN echo next")


def test_a_cache_outlives_builds_and_is_in_no_layer(shared: Wherry, built: Callable[..., str]) -> None:
    for number in (1, 2):
        built(
            "FROM busybox\nRUN --mount=type=cache,target=/root/.cache/pip,id=outlives "
            f"echo {number} >> /root/.cache/pip/log; cat /root/.cache/pip/log > /log\n",
            "-t", "m-cache",
        )  # fmt: skip
    found = contents(shared.root, "m-cache")
    assert found["log"] == "1\n2\n"
    assert not [path for path in found if path.startswith("root/.cache")]
    assert shared.ok("system", "df")
    shared.ok("builder", "prune", "-f")
    assert not list((shared.root / "cache-mounts").iterdir())


def test_locked_caches_are_used_one_after_the_other(shared: Wherry, context: Context) -> None:
    line = "RUN --mount=type=cache,target=/c,id=locks,sharing=locked mkdir /c/in && sleep 0.5 && rmdir /c/in"
    folder = context({"Dockerfile": f"FROM busybox\n{line}\n"})
    processes = [shared.start("build", "--no-cache", folder) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def test_a_secret_is_seen_by_its_step_and_nowhere_else(
    shared: Wherry, context: Context, tmp_path: Path
) -> None:
    value = "s3cr" + os.urandom(12).hex()
    (tmp_path / "secret").write_text(value)
    folder = context(
        {
            "Dockerfile": "FROM busybox\n"
            "RUN --mount=type=secret,id=x,required --mount=type=secret,id=y,env=Y "
            'sleep 1; test "$(cat /run/secrets/x)" = "$Y"; stat -c %a /run/secrets/x > /mode; '
            "echo -n $Y | wc -c > /length\n"
        }
    )
    words = [
        "build",
        "-t",
        "m-secret",
        "--secret",
        f"id=x,src={tmp_path / 'secret'}",
        "--secret",
        "id=y,env=Y",
    ]
    process = shared.start(*words, folder, env={"Y": value})
    listed = ""
    while process.poll() is None:
        listed += subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
        time.sleep(0.1)
    _, err = process.communicate()
    assert process.returncode == 0, err
    found = contents(shared.root, "m-secret")
    assert (found["mode"], found["length"].strip()) == ("400\n", str(len(value)))
    assert not [path for path in found if path.startswith("run/secrets")]
    assert value not in listed
    assert subprocess.run(["grep", "-rlF", value, str(shared.root)], capture_output=True).stdout == b""


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
def test_a_secret_that_a_step_prints_is_masked(
    shared: Wherry, context: Context, tmp_path: Path, progress: str
) -> None:
    first, second = os.urandom(12).hex(), os.urandom(12).hex()
    (tmp_path / "secret").write_text(f"{first}\n{second}\n")
    folder = context(
        {
            "Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=x --mount=type=secret,id=y,env=Y \\\n"
            "  set -x; cat /run/secrets/x; echo said $Y >&2; printf ${Y%??????}; sleep 0.2;"
            " printf ${Y#??????????????????}; false\n"
        }
    )
    secrets = ("--secret", f"id=x,src={tmp_path / 'secret'}", "--secret", "id=y,env=Y")
    result = shared("build", f"--progress={progress}", *secrets, folder, env={"Y": first})
    assert result.code == 1
    assert "said ***" in result.err
    for value in (first, second):
        assert value not in result.err
        assert subprocess.run(["grep", "-rlF", value, str(shared.root)], capture_output=True).stdout == b""


def test_a_missing_secret(shared: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=z test ! -e /run/secrets/z\n"})
    shared.ok("build", folder)
    (folder / "Dockerfile").write_text("FROM busybox\nRUN --mount=type=secret,id=z,required true\n")
    result = shared("build", folder)
    assert result.code == 1
    assert "the secret 'z' is required and missing" in result.err
    assert "Dockerfile:2" in result.err


@pytest.mark.needs("newuidmap", "setpriv")
def test_mounts_as_an_ordinary_user() -> None:
    lines = (
        "FROM base\nUSER 1000\n"
        "RUN --mount=target=/src --mount=type=cache,target=/c,uid=1000 --mount=type=tmpfs,target=/t \\\n"
        " --mount=type=secret,id=x,uid=1000 --mount=type=ssh,uid=1000,required \\\n"
        " echo a >> /c/log && touch /t/x && test -w $SSH_AUTH_SOCK \\\n"
        ' && test "$(cat /src/a.txt)$(cat /run/secrets/x)" = textvalue\n'
    )
    with ordinary.user() as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "base")
        wherry = Wherry(root, someone.home / "docker", prefix=someone.prefix)
        folder = write_files(someone.home / "context", {"a.txt": "text", "Dockerfile": lines})
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(someone.home / "agent"))
            lent = ["--secret", "id=x,env=X", "--ssh", f"default={someone.home / 'agent'}"]
            wherry.ok("build", *lent, folder, env={"X": "value"})
        wherry.ok("prune", "-a", "-f")
        assert not list((root / "cache-mounts").iterdir())


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    socket, key = tmp_path / "agent", tmp_path / "key"
    started = subprocess.run(["ssh-agent", "-a", str(socket)], capture_output=True, text=True, check=True)
    pid = int(started.stdout.split("SSH_AGENT_PID=")[1].split(";")[0])
    environment = {"SSH_AUTH_SOCK": str(socket)}
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        subprocess.run(
            ["ssh-add", "-q", str(key)], check=True, env=os.environ | environment, stderr=subprocess.DEVNULL
        )
        yield environment | {"KEY": str(key)}
    finally:
        os.kill(pid, signal.SIGTERM)


@pytest.mark.needs("ssh-agent", "ssh-keygen")
def test_an_agent_is_lent_and_a_key_is_refused(
    shared: Wherry, context: Context, agent: dict[str, str]
) -> None:
    lines = "RUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo seen > /seen\n"
    folder = context({"Dockerfile": f"FROM busybox\n{lines}"})
    shared.ok("build", "-t", "m-ssh", "--ssh", "default", folder, env=agent)
    found = contents(shared.root, "m-ssh")
    assert found["seen"] == "seen\n"
    assert not [path for path in found if path.startswith("run/buildkit")]
    refused = shared("build", "--ssh", f"default={agent['KEY']}", folder)
    assert (refused.code, "is a private key" in refused.err) == (125, True)
    missing = shared("build", "--no-cache", folder)
    assert (missing.code, "the ssh agent 'default' is required" in missing.err) == (1, True)


SIGN = """\
import os, socket, struct

def text(data):
    return struct.pack(">I", len(data)) + data

def ask(message):
    agent.sendall(text(message))
    size = struct.unpack(">I", agent.recv(4))[0]
    return agent.recv(size, socket.MSG_WAITALL)

agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
identities = ask(b"\\x0b")
size = struct.unpack(">I", identities[5:9])[0]
key = identities[9 : 9 + size]
answer = ask(b"\\x0d" + text(key) + text(b"to be signed") + bytes(4))
assert answer[0] == 14, answer
open("/key", "wb").write(key[-32:])
open("/signature", "wb").write(answer[-64:])
"""
"""The agent's protocol: draft-ietf-sshm-ssh-agent, 3.5 and 3.6."""


@pytest.mark.needs("ssh-agent", "ssh-keygen", "openssl")
def test_a_lent_key_signs(shared: Wherry, context: Context, agent: dict[str, str], tmp_path: Path) -> None:
    lines = "FROM python:3.11-slim\nCOPY sign.py /\nRUN --mount=type=ssh python3 /sign.py\n"
    last = "FROM scratch\nCOPY --from=0 /key /signature /\n"
    folder = context({"Dockerfile": lines + last, "sign.py": SIGN})
    shared.ok("build", "--ssh", "default", "-o", tmp_path / "out", folder, env=agent)
    public = bytes.fromhex("302a300506032b6570032100") + (tmp_path / "out/key").read_bytes()
    (tmp_path / "public").write_bytes(public)  # RFC 8410, section 4: SubjectPublicKeyInfo
    (tmp_path / "text").write_bytes(b"to be signed")
    words = ["-verify", "-pubin", "-keyform", "DER", "-inkey", "public", "-rawin", "-in", "text"]
    command = ["openssl", "pkeyutl", *words, "-sigfile", "out/signature"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "Signature Verified Successfully", done.stderr
