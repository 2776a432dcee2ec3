"""The shell for one who enters a step, and how the step's command is put at hand."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.base.errors import NotFound
from wherry.build import shells
from wherry.build.shells import Shell, choose
from wherry.runtime.spec import User

PATH = "/usr/bin:/bin"


def program(root: Path, path: str, content: bytes = b"", mode: int = 0o755) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content or b"x")
    place.chmod(mode)


def test_the_shell_of_the_step_comes_first_then_the_most_comfortable(tmp_path: Path) -> None:
    program(tmp_path, "bin/busybox")
    assert choose(str(tmp_path), (), PATH) == Shell(("/bin/busybox", "sh"), False)
    program(tmp_path, "bin/dash")
    (tmp_path / "bin" / "sh").symlink_to("dash")
    assert choose(str(tmp_path), (), PATH) == Shell(("/bin/sh",), False)
    program(tmp_path, "bin/bash", b"\0HISTFILE\0")
    assert choose(str(tmp_path), (), PATH) == Shell(("/bin/bash",), True)
    program(tmp_path, "opt/fish", b"HISTFILE")
    assert choose(str(tmp_path), ("/opt/fish", "-ec"), PATH) == Shell(("/opt/fish",), True)
    assert choose(str(tmp_path), ("dash", "-c"), PATH) == Shell(("/bin/dash",), False)
    assert choose(str(tmp_path), ("/gone", "-c"), PATH) == Shell(("/bin/bash",), True)
    (tmp_path / "bin" / "bash").chmod(0o644)
    assert choose(str(tmp_path), (), PATH) == Shell(("/bin/sh",), False)


def test_a_link_is_followed_inside_the_root_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("../../../../../bin/bash")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotFound, match="no shell in this root filesystem"):
        choose(str(tmp_path), (), PATH)


def test_a_busybox_that_needs_libraries_is_not_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "busybox").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path / "host"))
    with pytest.raises(NotFound, match="no shell"):
        choose(str(tmp_path / "root"), (), PATH)
    (tmp_path / "host" / "busybox").unlink()
    (tmp_path / "host" / "busybox").symlink_to("/bin/busybox")
    assert choose(str(tmp_path / "root"), (), PATH).lent == os.path.realpath("/bin/busybox")


WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=1, max_size=4)


@settings(max_examples=40)
@given(WORDS)
def test_the_line_of_the_history_and_the_script_give_the_same_words(words: list[str]) -> None:
    command = ["printf", "<%s>", *words]
    wanted = "".join(f"<{word}>" for word in words).encode()
    line = shells._line(command)
    assert "\n" not in line
    bash = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert bash.stdout == wanted
    script = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(command[:1])} {shlex.join(command[1:])}"], capture_output=True
    )
    assert script.stdout == wanted


def test_what_the_process_gets(tmp_path: Path) -> None:
    shell = Shell(("/bin/bash",), True)
    user = User(os.getuid(), os.getgid())
    mounts = shells.equip(shell, ("/bin/sh", "-c", "make x"), user, str(tmp_path))
    assert [mount.target for mount in mounts] == [shells.COMMAND, shells.HISTORY]
    assert (tmp_path / "history").read_text() == "make x\n/bin/sh -c 'make x'\n"
    assert (tmp_path / "command").read_text() == "#!/bin/bash\nexec /bin/sh -c 'make x'\n"
    assert shells.equip(shell, (), user, str(tmp_path)) == ()
    assert shells.equip(None, ("/prog",), user, str(tmp_path)) == ()
