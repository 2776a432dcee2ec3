"""What `wherry debug` is told, before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.cli import debug
from wherry.cli.main import main
from wherry.cli.parser import Parser


@pytest.mark.parametrize(
    ("words", "build", "step", "command"),
    [
        ("", "", "", []),
        ("-- make", "", "", ["make"]),
        ("3f2a -- sh -c x", "3f2a", "", ["sh", "-c", "x"]),
        ("--step 2 -- -- --step", "", "2", ["--", "--step"]),
        ("app:v1 --step=2 --", "app:v1", "2", []),
    ],
)
def test_a_command_stands_behind_two_dashes(words: str, build: str, step: str, command: list[str]) -> None:
    parser = Parser(["debug"], "")
    debug.register(parser)
    args = parser.parse(words.split())
    assert (args.build, args.step, args.command) == (build, step, command)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--ls --rm 3f2a", "ask for different things"),
        ("--rm", "--rm needs the ID"),
        ("-q", "belong to --ls"),
        ("--format json 3f2a", "belong to --ls"),
        ("--ls -q 3f2a", "about the list of builds"),
        ("--ls --step 2", "enter nothing"),
        ("--rm 3f2a -- make", "enter nothing"),
        ("--keep --secret id=x", "do not go together"),
        ("a b", "at most 1 argument"),
        ("3f2a", "no such build"),
        ("", "no failed step is kept"),
        ("--step 2", "no build is kept"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WHERRY_ROOT", str(tmp_path / "store"))
    assert main(["debug", *words.split()]) != 0
    assert message in capfd.readouterr().err
