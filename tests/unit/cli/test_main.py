"""The command line itself: which command, which flags, which words for a mistake, which exit code."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from wherry import __version__
from wherry.cli import commands
from wherry.cli.main import main
from wherry.cli.misuse import Misuse
from wherry.cli.parser import Parser, boolean


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_ROOT", str(tmp_path / "store"))


def wherry(*words: str, environment: dict[str, str] | None = None, **options: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", *words],
        capture_output=True,
        text=True,
        env=os.environ | (environment or {}),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_by_group(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    for group, members in commands.GROUPS.items():
        assert f"\n{group}:\n" in text
        for name, command in members.items():
            assert f"  {name:<12}  {command.help}\n" in text


def test_every_command_has_its_module() -> None:
    members = [command for _, family in commands.FAMILIES.values() for command in family.values()]
    for command in [*commands.COMMANDS.values(), *members]:
        assert importlib.util.find_spec(f"wherry.cli.{command.module}"), command.module


@pytest.mark.parametrize(
    ("words", "module", "count"),
    [
        ("images", "images", 1),
        ("image ls", "images", 2),
        ("image list", "images", 2),
        ("image rm x", "rmi", 2),
        ("image remove", "rmi", 2),
        ("image prune", "prune", 2),
        ("image build .", "build", 2),
        ("container ls", "ps", 2),
        ("container ps", "ps", 2),
        ("container run x", "run", 2),
        ("system df", "df", 2),
        ("system info", "info", 2),
        ("builder build", "build", 2),
        ("builder prune", "prune", 2),
    ],
)
def test_docker_s_other_names_of_commands(words: str, module: str, count: int) -> None:
    found = commands.find(words.split())
    assert found is not None
    assert (found[0].module, found[1]) == (module, count)


@pytest.mark.parametrize("words", ["foo", "image", "image foo", "build ls", "container df"])
def test_what_is_no_command(words: str) -> None:
    found = commands.find(words.split())
    assert found is None or found[1] == 1


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (
            ["foo"],
            1,
            "wherry: 'foo' is not a wherry command\n\nRun 'wherry --help' for the list of commands\n",
        ),
        (
            ["buidl"],
            1,
            "wherry: 'buidl' is not a wherry command\n\nDid you mean:\n  wherry build\n  wherry builder\n\n"
            "Run 'wherry --help' for the list of commands\n",
        ),
        (
            ["checkpoint", "ls"],
            1,
            "wherry: 'checkpoint' is not a wherry command\n\ndocker has it, and wherry has not: "
            "processes cannot be kept on disk; `wherry pause` keeps them in memory\n\n"
            "Run 'wherry --help' for the list of commands\n",
        ),
        (
            ["stop", "-t", "x", "web"],
            125,
            'invalid argument "x" for "-t, --timeout, --time" flag: not a whole number\n\n'
            "Usage:  wherry stop [OPTIONS] CONTAINER [CONTAINER...]\n\n"
            "Run 'wherry stop --help' for more information\n",
        ),
        (
            ["run", "--isolation", "jail", "app"],
            125,
            'invalid argument "jail" for "--isolation" flag: '
            "it is one of auto, root, userns, single-id, chroot\n\n"
            "Usage:  wherry run [OPTIONS] IMAGE [COMMAND...]\n\n"
            "Run 'wherry run --help' for more information\n",
        ),
        (
            ["image", "lss"],
            1,
            "wherry: 'image lss' is not a wherry command\n\nDid you mean:\n  wherry image ls\n\n"
            "Run 'wherry image --help' for the list of commands\n",
        ),
        (
            ["--foo"],
            125,
            "unknown flag: --foo\n\nUsage:  wherry [OPTIONS] COMMAND [ARG...]\n\n"
            "Run 'wherry --help' for more information\n",
        ),
        (
            ["images", "--foo"],
            125,
            "unknown flag: --foo\n\nUsage:  wherry images [OPTIONS] [REPOSITORY[:TAG]]\n\n"
            "Run 'wherry images --help' for more information\n",
        ),
        (
            ["tag", "a"],
            1,
            "wherry: 'wherry tag' requires 2 arguments\n\n"
            "Usage:  wherry tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]\n\n"
            "Run 'wherry tag --help' for more information\n",
        ),
        (
            ["rebase", "app"],
            125,
            "the following arguments are required: --onto\n\n"
            "Usage:  wherry rebase [OPTIONS] IMAGE --onto BASE\n\n"
            "Run 'wherry rebase --help' for more information\n",
        ),
        (
            ["image", "ls", "a", "b"],
            1,
            "wherry: 'wherry image ls' requires at most 1 argument\n\n"
            "Usage:  wherry image ls [OPTIONS] [REPOSITORY[:TAG]]\n\n"
            "Run 'wherry image ls --help' for more information\n",
        ),
    ],
)
def test_a_mistake_is_told_in_docker_s_words(
    words: list[str], code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    assert capsys.readouterr() == ("", error)


def test_help_of_a_command_has_docker_s_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "Usage:  wherry images [OPTIONS] [REPOSITORY[:TAG]]\n\nList images\n\nOptions:\n  -a, --all  "
    )
    assert "\n      --digests  " in text
    assert main(["image", "ls", "-h"]) == 0
    assert "Usage:  wherry image ls [OPTIONS]" in capsys.readouterr().out


def test_no_value_is_capitalised_in_help() -> None:
    """The first letter of a flag's help is made a capital: a value at its beginning could not be typed so."""
    members = [command for _, family in commands.FAMILIES.values() for command in family.values()]
    for command in [*commands.COMMANDS.values(), *members]:
        parser = Parser([command.module], "")
        importlib.import_module(f"wherry.cli.{command.module}").register(parser)
        for flag in parser._actions:
            assert not re.match(r"[a-z=-]+(?:[,|;:]| or | is the only)", flag.help or ""), (
                command.module,
                flag.help,
            )


def test_help_of_a_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["system"]) == 0
    assert "\n  df            Show how much disk is used\n" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out == f"wherry version {__version__}\n"


def test_an_error_is_on_stderr_and_gives_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", "no-such-image", "b"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: no such image: no-such-image\nhint: `wherry images` lists the ones that are here\n"


def test_debug_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "tag", "a", "b"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_store_that_cannot_be_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, error = wherry("images", environment={"WHERRY_ROOT": str(tmp_path / "file")})
    assert code == 1
    assert error.startswith("error: cannot use the store ")
    assert "Traceback" not in error


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "wherry.cli.main", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wherry.cli.main", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


def test_the_end_waits_for_threads_that_have_work() -> None:
    lines = "\n".join(
        (
            "from threading import Thread",
            "from time import sleep",
            "from wherry.cli.main import program",
            "Thread(target=lambda: (sleep(0.2), print('done'))).start()",
            "program()",
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", lines, "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("done\n")


def test_any_name_can_be_shown_in_any_locale() -> None:
    code, _, error = wherry(
        "tag", "\udce9漢", "b", environment={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    )
    assert code == 1
    assert error.startswith("error: no such image: ")
    assert "Traceback" not in error


def parse(argv: Sequence[str], interspersed: bool = True) -> dict[str, object]:
    parser = Parser(["run"], "help")
    parser.interspersed = interspersed
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-e", "--env", action="append", default=[])
    parser.add_argument("-f", "--file")
    parser.add_argument("--human", type=boolean, nargs="?", const=True, default=True)
    parser.add_argument("image", nargs="?")
    parser.add_argument("rest", nargs="..." if not interspersed else "*")
    values = vars(parser.parse(argv))
    del values["words"]
    defaults = {"quiet": False, "i": False, "env": [], "file": None, "human": True, "image": None, "rest": []}
    return {key: value for key, value in values.items() if value != defaults[key]}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("", {}),
        ("-q", {"quiet": True}),
        ("--quiet=true", {"quiet": True}),
        ("--quiet=false", {}),
        ("-q --quiet=false", {}),
        ("-qi", {"quiet": True, "i": True}),
        ("-qf name", {"quiet": True, "file": "name"}),
        ("-fname", {"file": "name"}),
        ("-f=name", {"file": "name"}),
        ("--file name", {"file": "name"}),
        ("--file=name=x", {"file": "name=x"}),
        ("--file=", {"file": ""}),
        ("-f -q", {"file": "-q"}),
        ("--file=-- image", {"file": "--", "image": "image"}),
        ("-f -- image", {"file": "--", "image": "image"}),
        ("-e a=b --env c", {"env": ["a=b", "c"]}),
        ("--human=false", {"human": False}),
        ("--human image", {"image": "image"}),
        ("image -q a -f x b", {"image": "image", "rest": ["a", "b"], "quiet": True, "file": "x"}),
        ("-- -q", {"image": "-q"}),
        ("a -- -q b", {"image": "a", "rest": ["-q", "b"]}),
        ("-", {"image": "-"}),
    ],
)
def test_flags_are_read_as_docker_reads_them(argv: str, expected: dict[str, object]) -> None:
    assert parse(argv.split()) == expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("-q image ls -l --all", {"quiet": True, "image": "image", "rest": ["ls", "-l", "--all"]}),
        ("image -q", {"image": "image", "rest": ["-q"]}),
        ("image -- x", {"image": "image", "rest": ["--", "x"]}),
        ("-e A image --help", {"env": ["A"], "image": "image", "rest": ["--help"]}),
        ("-- image -q", {"image": "image", "rest": ["-q"]}),
    ],
)
def test_flags_end_where_a_command_line_begins(argv: str, expected: dict[str, object]) -> None:
    assert parse(argv.split(), interspersed=False) == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--nope", "unknown flag: --nope"),
        ("--nope=1", "unknown flag: --nope"),
        ("--qui", "unknown flag: --qui"),
        ("-qz", "unknown shorthand flag: 'z' in -qz"),
        ("--file", "flag needs an argument: --file"),
        ("-qf", "flag needs an argument: 'f' in -qf"),
        ("--quiet=maybe", 'invalid argument "maybe" for "-q, --quiet" flag'),
    ],
)
def test_flags_that_are_wrong(argv: str, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse(argv.split())
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 125


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_command_that_lacks_a_stream_has_no_other_file_in_its_place(closed: str, tmp_path: Path) -> None:
    """The database would be opened as number 1, and get what is printed."""
    command = [sys.executable, "-c", "from wherry.cli.main import program; program()", "images"]
    environment = {**os.environ, "WHERRY_ROOT": str(tmp_path / "store")}
    for _ in range(2):
        ended = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
            capture_output=True,
            env=environment,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
