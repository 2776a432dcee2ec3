"""`cp`: files into containers and out of them, running or not, in every mode."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ordinary
from support.cli import Wherry
from support.containers import MODES, boxed, boxed_in, state
from support.ports import until

pytestmark = pytest.mark.needs("root", "busybox")

QUIET = ["--network", "none"]
STATES = ("running", "stopped")


@pytest.fixture(params=MODES)
def box(request: pytest.FixtureRequest, wherry: Wherry) -> Iterator[Wherry]:
    with boxed_in(request.param, wherry) as box:
        yield box


@pytest.fixture
def folder(box: Wherry) -> Path:
    """The user's own, with a tree `d` and a file `f`."""
    folder = box.root.parent / "files"
    (folder / "d/deep").mkdir(parents=True)
    (folder / "d/deep/x").write_text("x")
    (folder / "d/link").symlink_to("deep/x")
    (folder / "d/tool").write_text("#!/bin/sh\necho tool\n")
    (folder / "f").write_text("file\n")
    if box.prefix:
        ordinary.hand_over(folder)
    (folder / "d/tool").chmod(0o4750)  # chown(2) takes it away
    return folder


def _make(box: Wherry, how: str, *words: str) -> None:
    """A container `web` that sleeps, or that has ended."""
    box.ok("run", "-d", *QUIET, "--name", "web", *words, "busybox", "sleep", "600")
    if how == "stopped":
        box.ok("kill", "web")
        until(lambda: state(box, "web").startswith("Exited"))


def _bytes(box: Wherry, *words: str) -> bytes:
    done = subprocess.run([*box.command, *words], capture_output=True, env=box.environment, check=True)
    return done.stdout


def _sh(box: Wherry, script: str) -> str:
    """What a command in the container says; one that has ended is started for it."""
    box("start", "web")
    return box.ok("exec", "web", "sh", "-c", script)


@pytest.mark.parametrize("how", STATES)
def test_in_and_out(box: Wherry, folder: Path, how: str) -> None:
    _make(box, how, "-v", "named:/volume", "-v", f"{folder}/shared:/shared")
    done = box("cp", folder / "f", "web:/data/")
    assert (done.code, done.err) == (0, "Successfully copied 5B to web:/data/\n")
    assert box("cp", "-q", f"{folder}/d", "web:/data/new").err == ""
    box.ok("cp", f"{folder}/d/.", "web:/volume")
    box.ok("cp", folder / "f", "web:/shared")
    assert (folder / "shared/f").read_text() == "file\n"
    box.ok("cp", "web:/data/new", folder / "back")
    box.ok("cp", "web:volume/deep", folder)
    box.ok("cp", "-L", "web:/escape/notes.txt", folder / "notes")
    shown = "stat -c '%n %u:%g %a' /data/f /data/new/tool /volume/deep; readlink /data/new/link; cat /data/f"
    found = _sh(box, shown).splitlines()
    assert found == [
        "/data/f 0:0 644", "/data/new/tool 0:0 750", "/volume/deep 0:0 755", "deep/x", "file",
    ]  # fmt: skip
    owner = folder.stat().st_uid
    for path in ("back", "back/tool", "back/deep/x", "back/link", "deep/x", "notes"):
        assert (folder / path).lstat().st_uid == owner, path
    assert (folder / "back/tool").stat().st_mode & 0o7777 == 0o750
    assert os.readlink(folder / "back/link") == "deep/x"
    assert (folder / "back/tool").stat().st_mtime_ns == (folder / "d/tool").stat().st_mtime_ns
    assert (folder / "notes").read_text() == "not a program\n"


@pytest.mark.parametrize("how", STATES)
def test_an_archive_there_and_back(box: Wherry, how: str) -> None:
    """Owners, modes and links, in a folder of the container's and in a volume."""
    _make(box, how, "-v", "/volume")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, owner, more in (
            ("t", tarfile.DIRTYPE, 0o2770, (5, 6), ""),
            ("t/file", tarfile.REGTYPE, 0o4751, (1000, 44), ""),
            ("t/same", tarfile.LNKTYPE, 0o4751, (1000, 44), "t/file"),
            ("t/link", tarfile.SYMTYPE, 0o777, (0, 0), "/etc/passwd"),
            ("t/pipe", tarfile.FIFOTYPE, 0o600, (0, 0), ""),
            ("t/.wh.odd", tarfile.REGTYPE, 0o600, (0, 0), ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname, member.mtime = kind, mode, more, 1234567890.5
            member.uid, member.gid = owner
            member.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"text"))
    for place in ("/data", "/volume"):
        box.ok("cp", "-", f"web:{place}", stdin=archive.getvalue())
        with tarfile.open(fileobj=io.BytesIO(_bytes(box, "cp", f"web:{place}/t", "-"))) as tar:
            found = {item.name: (item.mode, (item.uid, item.gid), item.mtime) for item in tar}
            assert found == {
                "t": (0o2770, (5, 6), 1234567890.5),
                "t/file": (0o4751, (1000, 44), 1234567890.5),
                "t/same": (0o4751, (1000, 44), 1234567890.5),
                "t/link": (0o777, (0, 0), 1234567890.5),
                "t/pipe": (0o600, (0, 0), 1234567890.5),
                "t/.wh.odd": (0o600, (0, 0), 1234567890.5),
            }
            assert tar.getmember("t/same").islnk()
    assert "wherry" not in _sh(box, "ls -A /data /volume")


@pytest.mark.parametrize("how", STATES)
def test_what_is_read_only_stays(box: Wherry, folder: Path, how: str) -> None:
    (folder / "fixed").mkdir()
    (folder / "open").mkdir(mode=0o777)
    if box.prefix:
        ordinary.hand_over(folder)
    words = ["--read-only", "-v", f"{folder}/fixed:/fixed:ro", "-v", f"{folder}/open:/open"]
    _make(box, how, *words)
    for target in ("/", "/etc/new", "/etc/passwd", "/fixed", "/new"):
        done = box("cp", folder / "f", f"web:{target}")
        assert (done.code, "it is read-only" in done.err) == (1, True), (target, done.err)
    assert os.listdir(folder / "fixed") == []
    box.ok("cp", folder / "f", "web:/open")
    assert (folder / "open/f").read_text() == "file\n"


def test_what_only_a_running_container_has(box: Wherry, folder: Path) -> None:
    _make(box, "running")
    box.ok("cp", folder / "f", "web:/dev/shm")
    assert _sh(box, "cat /dev/shm/f") == "file\n"
    _sh(box, "echo from memory > /dev/shm/g")
    box.ok("cp", "web:/dev/shm/g", folder)
    assert (folder / "g").read_text() == "from memory\n"
    box.ok("cp", folder / "f", "web:/etc/hosts")
    assert _sh(box, "cat /etc/hosts") == "file\n"
    assert "/etc/hosts " in _sh(box, "cat /proc/mounts"), "it is written to, and the mount stays"
    done = box("cp", folder / "f", "web:/dev/null")
    assert "a device is there" in done.err
    done = box("cp", "web:/proc/1/root/etc/passwd", folder / "passwd")
    assert (done.code, "passwd" in os.listdir(folder)) == (1, False)


def test_a_container_that_never_ran(box: Wherry, folder: Path) -> None:
    """What is copied is there when it starts: how a configuration gets into a container."""
    box.ok("create", "--name", "web", *QUIET, "-v", "/data", "busybox", "sh", "-c", "cat /data/* /etc/app/x")
    box.ok("cp", folder / "f", "web:/data")
    box.ok("cp", f"{folder}/d/deep", "web:/etc/app")
    assert box.ok("start", "-a", "web") == "file\nfrom the image\nx"


def test_owners_are_kept_where_they_can_be(box: Wherry, folder: Path) -> None:
    _make(box, "running")
    _sh(box, "touch /tmp/a /tmp/b; chown 33:33 /tmp/b; chmod 4755 /tmp/a")
    box.ok("cp", "-a", "web:/tmp/a", folder)
    assert (folder / "a").stat().st_mode & 0o7777 == 0o4755
    assert (folder / "a").stat().st_uid == folder.stat().st_uid
    done = box("cp", "-a", "web:/tmp/b", folder)
    if box.prefix:
        assert "cannot give b to its owner, 33:33: only root can" in done.err
        assert "b" not in os.listdir(folder)
    else:
        assert (folder / "b").stat().st_uid == 33
    box.ok("cp", "-a", folder / "d/tool", "web:/tmp/tool")
    assert _sh(box, "stat -c '%u:%g %a' /tmp/tool") == "0:0 4750\n"


@pytest.mark.parametrize("how", STATES)
def test_a_hostile_container(box: Wherry, folder: Path, how: str) -> None:
    """It exchanges a folder and links that lead out of it, or has left them behind."""
    (folder / "secret").mkdir()
    (folder / "secret/f").write_text("secret")
    if box.prefix:
        ordinary.hand_over(folder)
    script = (
        f"cd /; mkdir -p real up; echo mine > real/f; ln -s {folder}/secret away;"
        f" ln -s ../../../../../../../..{folder}/secret up/up; ln -s /proc/1/cwd/../../..{folder}/secret p;"
        " echo ready; while true; do mv real kept; mv away real; mv real away; mv kept real; done"
    )
    box.ok("run", "-d", *QUIET, "--name", "web", "busybox", "sh", "-c", script)
    until(lambda: box.ok("logs", "web") == "ready\n")
    if how == "stopped":
        box.ok("kill", "web")
    for source in ("real/f", "away/f", "up/up/f", "p/f", "real/."):
        box("cp", "-L", f"web:/{source}", folder / f"out-{source.replace('/', '-')}")
    for target in ("real", "away", "up/up", "p", "real/f"):
        box("cp", folder / "f", f"web:/{target}")
    assert {path.name: path.read_text() for path in (folder / "secret").iterdir()} == {"f": "secret"}
    for path in folder.glob("out*/**/*"):
        assert path.is_dir() or path.read_text() != "secret"
    if how == "running":
        assert box.ok("exec", "web", "echo", "well") == "well\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["f", "nobody:/x"], "no such container: nobody"),
        (["web:/a", "web:/b"], "copying between containers is not supported"),
        (["f", "g"], "cp needs a container"),
        (["-", "-"], "cp needs a container"),
        (["-", "web:/nothing"], "there is no such folder"),
        (["-", "web:/etc/passwd"], "there is no such folder"),
        (["web:/nothing", "."], "there is no such file"),
        (["nothing", "web:/"], "there is no such file"),
        (["web:/etc/passwd/", "."], "it is not a folder"),
        (["web:/etc", "f"], "cannot copy the folder"),
        (["f", "web:/no/folder/f"], "there is no folder /no/folder"),
        (["--frob", "f", "web:/"], "--frob"),
        (["f"], ""),
    ],
)
def test_what_cannot_be(wherry: Wherry, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "f").write_text("f")
    with boxed(wherry) as box:
        box.ok("create", "--name", "web", "busybox")
        done = box("cp", *words, cwd=tmp_path, stdin=b"no tar" * 200)
        assert done.code != 0
        assert message in done.err
        assert "Traceback" not in done.err


def test_a_damaged_archive(wherry: Wherry) -> None:
    with boxed(wherry) as box:
        box.ok("create", "--name", "web", "busybox")
        done = box("cp", "-", "web:/tmp", stdin=b"no tar" * 200)
        assert done.code == 1
        assert "tar" in done.err


def test_a_start_waits_for_a_copy(wherry: Wherry) -> None:
    """Two mounts of one root filesystem would damage it."""
    with boxed(wherry) as box:
        _make(box, "stopped")
        command = [*box.command, "cp", "-", "web:/tmp"]
        copy = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=box.environment)
        assert copy.stdin
        member = tarfile.TarInfo("file")
        member.size = 4
        copy.stdin.write(member.tobuf())
        copy.stdin.flush()
        path = box.root / "containers" / box.ok("ps", "-aq", "--no-trunc").strip()
        until(lambda: f"{path}/root" in Path(f"/proc/{copy.pid}/mounts").read_text())
        start = box.start("start", "web")
        waiting = re.compile(rf"-> FLOCK +ADVISORY +WRITE +{start.pid} ")
        until(lambda: bool(waiting.search(Path("/proc/locks").read_text())))
        copy.stdin.write(b"text".ljust(512, b"\0") + bytes(1024))
        copy.stdin.close()
        assert copy.wait() == 0
        assert start.wait() == 0
        for stream in (copy.stderr, start.stdout, start.stderr):
            assert stream
            stream.close()
        assert box.ok("exec", "web", "cat", "/tmp/file") == "text"


def test_a_container_between_two_runs(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    with boxed(wherry) as box:
        box.ok("run", "-d", *QUIET, "--restart", "always", "--name", "web", "busybox", "false")
        until(lambda: "container web is restarting" in box("cp", tmp_path / "f", "web:/").err)
        box.ok("stop", "web")
        box.ok("cp", tmp_path / "f", "web:/")


def test_what_events_say(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    with boxed(wherry) as box:
        box.ok("create", "--name", "web", "busybox")
        box.ok("cp", tmp_path / "f", "web:/")
        box.ok("cp", "web:/f", tmp_path / "g")
        _bytes(box, "cp", "web:/f", "-")
        box.ok("commit", "-m", "words", "web", "image:v1")
        past = ("--since", "24h", "--until", "0s", "--filter", "type=container")
        form = "{{.Action}} {{.Actor.Attributes.imageRef}} {{.Actor.Attributes.comment}}"
        told = [line.split() for line in box.ok("events", *past, "--format", form).splitlines()]
        actions = [words[0] for words in told]
        assert actions == ["create", "extract-to-dir", "archive-path", "archive-path", "commit"]
        assert told[-1][1:] == ["image:v1", "words"]


@pytest.mark.parametrize("how", STATES)
def test_mounts_of_every_kind_are_seen(wherry: Wherry, tmp_path: Path, how: str) -> None:
    (tmp_path / "f").write_text("file\n")
    (tmp_path / "bound").write_text("bound\n")
    with boxed(wherry) as box:
        box.ok("run", "--rm", *QUIET, "-v", "vol:/v", "busybox", "sh", "-c", "mkdir /v/inner; ln -s / /v/up")
        mounts = [
            "type=volume,source=vol,target=/part,volume-subpath=inner",
            f"type=bind,source={tmp_path}/bound,target=/etc/notes.txt",
        ]
        _make(box, how, *(word for mount in mounts for word in ("--mount", mount)), "-v", "vol:/whole:ro")
        box.ok("cp", tmp_path / "f", "web:/part")
        assert box("cp", tmp_path / "f", "web:/whole").code == 1
        box.ok("cp", "web:/whole/inner/f", tmp_path / "g")
        box.ok("cp", tmp_path / "f", "web:/etc/notes.txt")
        assert (tmp_path / "g").read_text() == (tmp_path / "bound").read_text() == "file\n"
