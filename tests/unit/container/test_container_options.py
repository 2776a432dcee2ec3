"""docker's words for ports, volumes, variables, signals and commands."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.container.options import environment
from wherry.container.options.command import combine
from wherry.container.options.mounting import Volume, resolve
from wherry.container.options.mountwords import parse_volume
from wherry.container.options.options import Options, check, parse_pair
from wherry.container.options.publishing import parse_ports
from wherry.container.signals import number_of
from wherry.oci.config import Execution
from wherry.runtime.net.ports import Port


@pytest.mark.parametrize(
    ("word", "ports"),
    [
        ("80", [Port("", 0, 80)]),
        ("8080:80", [Port("", 8080, 80)]),
        ("8080:80/udp", [Port("", 8080, 80, "udp")]),
        ("8080:80/TCP", [Port("", 8080, 80)]),
        ("127.0.0.1:8080:80", [Port("127.0.0.1", 8080, 80)]),
        ("127.0.0.1::80", [Port("127.0.0.1", 0, 80)]),
        ("[::1]:8080:80", [Port("::1", 8080, 80)]),
        ("[::1]::80/udp", [Port("::1", 0, 80, "udp")]),
        ("0:80", [Port("", 0, 80)]),
        ("8000-8002:80-82", [Port("", 8000, 80), Port("", 8001, 81), Port("", 8002, 82)]),
        ("8000-8010:80", [Port("", 8000, 80, last=8010)]),
        ("80-81", [Port("", 0, 80), Port("", 0, 81)]),
    ],
)
def test_ports(word: str, ports: list[Port]) -> None:
    assert parse_ports(word) == ports


@pytest.mark.parametrize(
    "word",
    [
        "", ":", "0", "65536", "80:0", "65536:80", "x:80", "80:x", "1.2.3:80:80", "256.0.0.1:80:80", "80/x",
        "8000-8001:80-82", "82-80", "a:b:c:d", "²:80", "80:80/", "-80", "80-",
    ],
)  # fmt: skip
def test_ports_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse_ports(word)


@pytest.mark.parametrize("word", ["80/sctp"])
def test_ports_unsupported(word: str) -> None:
    with pytest.raises(Unsupported):
        parse_ports(word)


def test_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bind = Volume("bind", f"{tmp_path}/a", "/b", copy=False)
    assert parse_volume("./a:/b") == bind
    assert parse_volume(f"{tmp_path}/a:/b/") == bind
    assert parse_volume("../a:/b:ro").source == f"{tmp_path.parent}/a"
    assert parse_volume("./a:/b:ro,z").read_only
    assert parse_volume(".:/x/../b").target == "/b"
    assert parse_volume("data:/b") == Volume("volume", "data", "/b")
    assert not parse_volume("data:/b:nocopy").copy
    assert parse_volume("/b") == Volume("volume", "", "/b", anonymous=True)


@pytest.mark.parametrize(
    "word", ["", ":/b", "a:", "a:b", "a b:/c", "/a:/", "/a:/..", "/a:/b:ro:x", "b", "a/b:/c", "x:/b", "-a:/b"]
)
def test_volumes_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse_volume(word)


def test_volume_option_unsupported() -> None:
    with pytest.raises(Unsupported, match="shared"):
        parse_volume("/a:/b:shared")


def test_volumes_of_image_and_user() -> None:
    mine = Volume("bind", "/host", "/data/inner")
    resolved = resolve([mine, Volume("volume", "n", "/b")], [], ["/b/", "data", "/"])
    assert [item.target for item in resolved] == ["/b", "/data", "/data/inner"]
    anonymous = resolved[1]
    assert anonymous.anonymous
    assert len(anonymous.source) == 64
    assert resolved[2] == mine


def test_labels() -> None:
    assert parse_pair("a=b=c", "--label") == ("a", "b=c")
    assert parse_pair("a", "--label") == ("a", "")
    with pytest.raises(UsageError):
        parse_pair("=b", "--label")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a"}, {"name": "-ab"}, {"name": "a/b"}, {"hostname": "a b"},
        {"network": "container:x", "hostname": "y"},
        {"hostname": "x" * 65}, {"hostname": "-a"}, {"working_dir": "a"},
        {"volumes": (Volume("volume", "a", "/x"), Volume("bind", "/a", "/x"))},
        {"ports": (Port("", 1, 1),), "network": "none"},
    ],
)  # fmt: skip
def test_options_refused(changes: dict[str, Any]) -> None:
    check(Options("image"))
    with pytest.raises(WherryError):
        check(Options("image")._replace(**changes))


# The table in docker's Dockerfile reference: rows are CMD, columns ENTRYPOINT.
SHELL = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "whole"),
    [
        (None, ("exec_cmd", "p1"), ("exec_cmd", "p1")),
        (None, (*SHELL, "exec_cmd p1"), (*SHELL, "exec_cmd p1")),
        ((*SHELL, "exec_entry e1"), None, (*SHELL, "exec_entry e1")),
        (("exec_entry", "e1"), None, ("exec_entry", "e1")),
        (("exec_entry", "e1"), ("exec_cmd", "p1"), ("exec_entry", "e1", "exec_cmd", "p1")),
        (("exec_entry",), (*SHELL, "exec_cmd"), ("exec_entry", *SHELL, "exec_cmd")),
    ],
)
def test_entrypoint_and_cmd(
    entrypoint: tuple[str, ...] | None, cmd: tuple[str, ...] | None, whole: tuple[str, ...]
) -> None:
    image = Execution(entrypoint=entrypoint, cmd=cmd)
    assert combine(image, None, ()) == whole
    assert combine(image, None, ("a", "b")) == (*(entrypoint or ()), "a", "b")
    assert combine(image, "x", ()) == ("x",)
    assert combine(image, "x", ("a",)) == ("x", "a")
    assert combine(image, "", ("a",)) == ("a",)
    with pytest.raises(UsageError, match="no command specified"):
        combine(image, "", ())


def test_no_command_at_all() -> None:
    with pytest.raises(UsageError, match="no command specified"):
        combine(Execution(), None, ())


def test_environment_options() -> None:
    own = {"SET": "value"}
    assert environment.from_option("A=b=c", own) == "A=b=c"
    assert environment.from_option("A=", own) == "A="
    assert environment.from_option("SET", own) == "SET=value"
    assert environment.from_option("UNSET", own) == "UNSET"
    for wrong in ("", "=x", "A=\0"):
        with pytest.raises(UsageError):
            environment.from_option(wrong, own)


def test_environment_file(tmp_path: Path) -> None:
    file = tmp_path / "vars"
    file.write_bytes(b'\xef\xbb\xbfA=1\n# no\n\n  B= "2" \r\nSET\nUNSET\nC=#3\n')
    assert environment.from_file(str(file), {"SET": "v"}) == ["A=1", 'B= "2" ', "SET=v", "C=#3"]


@pytest.mark.parametrize("content", [b"A=1\nX Y=2\n", b"A=1\n=2\n", b"A=1\n\xff=2\n"])
def test_environment_file_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "vars"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        environment.from_file(str(file), {})
    assert caught.value.where
    assert caught.value.where.line == 2


def test_environment_file_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        environment.from_file(str(tmp_path / "no"), {})


def test_environment_merged() -> None:
    assert environment.merge(["A=1", "B=2", "C=3"], ["B=4", "C", "D=5"]) == ("A=1", "B=4", "D=5")
    whole = environment.complete(
        ("HOME=/mine",), hostname="h", home="/root", terminal=True, extra=("HOME=/x",)
    )
    assert dict(item.split("=", 1) for item in whole) == {
        "PATH": environment.DEFAULT_PATH,
        "HOSTNAME": "h",
        "TERM": "xterm",
        "HOME": "/mine",
    }


def test_signals() -> None:
    assert number_of("") == signal.SIGTERM
    assert number_of("SIGQUIT") == number_of("quit") == number_of("3") == signal.SIGQUIT
    assert number_of("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert number_of("RTMAX-1") == signal.SIGRTMAX - 1
    for wrong in ("SIGNO", "0", "65", "-1", "RTMIN-1", "RTMAX+1", "SIG"):
        with pytest.raises(UsageError):
            number_of(wrong)
