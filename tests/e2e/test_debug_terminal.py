"""A shell in a failed step on a real terminal: `wherry debug`, and `build --on-failure=shell`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry, write_files
from support.failing import fail
from support.ports import until
from support.terminal import UP, Terminal, terminal

pytestmark = pytest.mark.needs("root", "busybox")

Context = Callable[[Mapping[str, str | bytes]], Path]

TERM = {"TERM": "xterm", "NO_COLOR": "1"}


@pytest.fixture
def box(wherry: Wherry) -> Wherry:
    busybox.put(wherry.root, "base")
    wherry.environment |= TERM
    return wherry


def is_restored(opened: Terminal) -> bool:
    return opened.settings_now() == opened.settings


def test_the_command_is_in_the_history_of_bash(shared: Wherry, context: Context) -> None:
    command = "echo it\\'s; echo left > /tmp/left; exit 9"
    folder = context(
        {"Dockerfile": f"FROM debian:bookworm-slim\nENV A=b\nUSER 1000\nWORKDIR /tmp\nRUN {command}\n"}
    )
    failed = fail(shared, folder)
    with terminal([*shared.command, "debug", failed.id], shared.environment | TERM) as opened:
        opened.read_until(b":/tmp$ ")
        assert b"RUN echo it\\'s; echo left > /tmp/left; exit 9 failed: exit code: 9" in opened.seen
        opened.type(UP + b"\r")
        shown = opened.read_until(b"it's\r\n")
        assert b"/bin/sh -c 'echo it" in shown
        opened.read_until(b":/tmp$ ")
        opened.type(b"echo code $?; cat /tmp/left; id -u; echo $A $TERM; stty size; tty\r")
        opened.read_until(b"code 9\r\nleft\r\n1000\r\nb xterm\r\n33 77\r\n/dev/pts/0\r\n")
        opened.resize(44, 88)
        opened.process.send_signal(signal.SIGWINCH)
        resized = b'until [ "$(stty size)" = "44 88" ]; do sleep 0.05; done; '
        opened.type(resized + b"stty size; sh -c 'echo in; exec sleep 100'\r")
        opened.read_until(b"44 88\r\nin\r\n")
        opened.type(b"\x03")
        opened.read_until(b":/tmp$ ")
        opened.type(b"!1\r")  # the text alone ends the shell, as it ended the step's
        opened.read_until(b"echo it\\'s; echo left > /tmp/left; exit 9\r\n")
        assert opened.end() == 9
        assert is_restored(opened)


def test_a_script_of_many_lines_is_one_in_the_history(shared: Wherry, context: Context) -> None:
    folder = context(
        {"Dockerfile": "FROM debian:bookworm-slim\nRUN <<EOF\necho one\necho 'two  words'\nfalse\nEOF\n"}
    )
    failed = fail(shared, folder)
    with terminal([*shared.command, "debug", failed.id], shared.environment | TERM) as opened:
        opened.read_until(b"# ")
        opened.type(UP + b"\r")
        assert b"one\r\ntwo  words\r\n" in opened.read_until(b"words\r\n\x1b[?2004h")
        opened.read_until(b"# ")
        opened.type(b"history\r")
        assert b"    3  history\r\n" in opened.read_until(b"# ")
        opened.type(b"exit 4\r")
        assert opened.end() == 4


def test_a_shell_where_a_step_fails(box: Wherry, context: Context) -> None:
    steps = "RUN --mount=type=secret,id=s,required=true echo 1 > /n; sleep 0.5; cat /run/secrets/s; exit 3\n"
    folder = context({"Dockerfile": f"FROM base AS a\nRUN sleep 100\nFROM base\n{steps}COPY --from=a / /a\n"})
    (folder / "secret").write_text("the secret")
    words = (
        "build",
        "--on-failure=shell",
        "--jobs=2",
        "-t",
        "app",
        f"--secret=id=s,src={folder}/secret",
        folder,
    )
    with terminal([*box.command, *map(str, words)], box.environment) as opened:
        opened.read_until(b"/ # ")
        before = opened.seen.rpartition(b"\r\n")[0]
        assert b" => ERROR [stage-1 2/3] RUN" in before
        assert b" => CANCELED [a 2/2] RUN sleep 100" in before
        assert b"exit code: 3" in before
        assert b"\x1b[?25h" in before or b"\x1b[?25l" not in before  # the cursor is there again
        opened.type(b"cat /n /run/secrets/s; $WHERRY_COMMAND; echo code $?\r")
        opened.read_until(b"1\r\nthe secretthe secretcode 3\r\n")
        opened.type(b"exit 7\r")
        assert opened.end() == 1
        assert is_restored(opened)
        after = opened.seen.rpartition(b"exit 7")[2]
        assert b"exit code: 3" in after
        assert b"wherry debug " in after
    assert box.ok("images", "-q", "--no-trunc").count("\n") == 1
    assert box.ok("debug", "--", "cat", "/n") == "1\n"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("COPY nothing /w/", b"cat /n; pwd; echo $A\r"),
        ("COPY --from=base /nothing /w/", b"cat /n; pwd; echo $A\r"),
        ("WORKDIR /n/w", b"cat /n; cd /etc; cd ..; pwd; echo $A\r"),
    ],
)
def test_a_shell_where_something_else_than_a_process_fails(
    box: Wherry, context: Context, step: str, words: bytes
) -> None:
    folder = context({"Dockerfile": f"FROM base\nRUN echo before > /n\nENV A=b\n{step}\n"})
    with terminal([*box.command, "build", "--on-failure=shell", str(folder)], box.environment) as opened:
        opened.read_until(b"/ # ")
        assert b"error: " in opened.seen
        opened.type(words)
        opened.read_until(b"before\r\n/\r\nb\r\n")
        opened.type(b"exit\r")
        assert opened.end() == 1


def test_without_a_terminal_nothing_is_built(box: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM base\nRUN false\n"})
    result = box("build", "--on-failure=shell", folder)
    assert result.code == 125
    assert "--on-failure=shell needs a terminal" in result.err
    assert "RUN" not in result.err
    assert box("build", "--on-failure=pray", folder).code == 125


def test_a_build_that_succeeds_opens_no_shell(box: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM base\nRUN true\n"})
    with terminal([*box.command, "build", "--on-failure=shell", str(folder)], box.environment) as opened:
        assert opened.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_puts_the_terminal_back(box: Wherry, context: Context, number: int) -> None:
    fail(box, context({"Dockerfile": "FROM base\nRUN false\n"}))
    with terminal([*box.command, "debug"], box.environment) as opened:
        opened.read_until(b"/ # ")
        assert not is_restored(opened)
        opened.process.send_signal(number)
        assert opened.end() == 128 + number
        assert is_restored(opened)
    until(lambda: not list((box.root / "tmp").iterdir()))


def test_a_shell_without_mounts(box: Wherry, context: Context) -> None:
    box.environment["WHERRY_ISOLATION"] = "chroot"
    folder = context({"Dockerfile": "FROM base\nUSER web\nRUN echo left > /tmp/n; exit 3\n"})
    with terminal([*box.command, "build", "--on-failure=shell", str(folder)], box.environment) as opened:
        opened.read_until(b"/ $ ")
        opened.type(b"cat /tmp/n; id -u; stty size; sh -c 'echo in; exec sleep 100'\r")
        opened.read_until(b"left\r\n1000\r\n33 77\r\nin\r\n")
        opened.type(b"\x03")
        opened.read_until(b"/ $ ")
        opened.type(b"exit\r")
        assert opened.end() == 1
        assert is_restored(opened)


@pytest.mark.needs("newuidmap", "setpriv")
def test_a_shell_of_an_ordinary_user() -> None:
    with ordinary.user() as someone:
        user = Wherry(someone.home / "store", someone.home / "docker", TERM, prefix=someone.prefix)
        ordinary.put_busybox(someone, user.root, "base")
        lines = "FROM base\nUSER web\nRUN echo left > /tmp/n; exit 3\n"
        folder = write_files(someone.home / "context", {"Dockerfile": lines})
        words = [*user.command, "build", "--on-failure=shell", "--progress=plain", str(folder)]
        with terminal(words, user.environment) as opened:
            opened.read_until(b"/ $ ")
            opened.type(b"cat /tmp/n; id -u; stat -c %U /tmp/n\r")
            opened.read_until(b"left\r\n1000\r\nweb\r\n")
            opened.type(b"exit\r")
            assert opened.end() == 1
