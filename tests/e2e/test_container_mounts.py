"""What is mounted in containers: --mount, --tmpfs, --volumes-from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry
from support.containers import boxed
from wherry.oci.config import Execution

pytestmark = pytest.mark.needs("root", "busybox")

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def test_bind_of_what_is_there(box: Wherry, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("host\n")
    folder = f"type=bind,source={tmp_path}/here,target=/mnt"
    assert box.ok(*RUN, "--mount", folder, "busybox", "cat", "/mnt/file") == "host\n"
    file = "type=bind,src=./here/file,dst=/etc/new.conf,ro"
    assert box.ok(*RUN, "--mount", file, "busybox", "cat", "/etc/new.conf", cwd=tmp_path) == "host\n"
    refused = box(*RUN, "--mount", f"{folder},readonly", "busybox", "touch", "/mnt/new")
    assert "Read-only file system" in refused.err


def test_bind_of_what_is_not_there(box: Wherry, tmp_path: Path) -> None:
    """Neither when it is created nor when it is started again."""
    source = tmp_path / "gone"
    mount = f"type=bind,source={source},target=/mnt"
    refused = box("run", "--name", "web", "--network", "none", "--mount", mount, "busybox", "true")
    assert refused.code == 125
    assert f"does not exist: {source}" in refused.err
    assert box.ok("ps", "-aq") == ""
    source.mkdir()
    box.ok("run", "--name", "web", "--network", "none", "--mount", mount, "busybox", "true")
    source.rmdir()
    assert f"does not exist: {source}" in box("start", "web").err
    assert not source.exists()


def test_mounts_below_a_bind(box: Wherry, tmp_path: Path) -> None:
    """They come along, and are read-only where it is, or stay away."""
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", source / "inner"], check=True)
    try:
        (source / "inner" / "file").write_text("mounted\n")
        mount = f"type=bind,source={source},target=/mnt"
        assert box.ok(*RUN, "--mount", mount, "busybox", "cat", "/mnt/inner/file") == "mounted\n"
        for read_only in ("--mount", f"{mount},readonly"), ("-v", f"{source}:/mnt:ro"):
            refused = box(*RUN, *read_only, "busybox", "touch", "/mnt/inner/new")
            assert "Read-only file system" in refused.err
        if os.environ.get("WHERRY_ISOLATION", "root") == "root":
            # In a user namespace the kernel shows nobody what a mount covers.
            alone = f"{mount},bind-recursive=disabled"
            assert box.ok(*RUN, "--mount", alone, "busybox", "ls", "-A", "/mnt/inner") == ""
    finally:
        subprocess.run(["umount", source / "inner"], check=True)


def test_tmpfs(box: Wherry) -> None:
    script = "grep ' /scratch ' /proc/mounts; cp /bin/busybox /scratch/true; /scratch/true"
    run = (*RUN, "--read-only")
    shown = box(*run, "--tmpfs", "/scratch:size=8m,mode=700", "busybox", "sh", "-c", script)
    for option in ("rw", "nosuid", "nodev", "noexec", "size=8192k", "mode=700"):
        assert option in shown.out.split()[3].split(",")
    assert shown.code == 126
    assert box(*run, "--tmpfs", "/scratch:exec", "busybox", "sh", "-c", script).code == 0
    mount = "type=tmpfs,dst=/scratch,tmpfs-size=8m,tmpfs-mode=1770,readonly"
    options = box(*run, "--mount", mount, "busybox", "sh", "-c", script).out.split()[3].split(",")
    assert {"ro", "noexec", "size=8192k", "mode=1770"} <= set(options)


def test_tmpfs_is_bounded_and_forgotten(box: Wherry) -> None:
    full = "dd if=/dev/zero of=/scratch/file bs=1M count=2; echo kept > /scratch/small; ls /scratch"
    box(
        "run",
        "--name",
        "job",
        "--network",
        "none",
        "--tmpfs",
        "/scratch:size=1m",
        "busybox",
        "sh",
        "-c",
        full,
    )
    assert "No space left on device" in box("logs", "job").err
    again = box("start", "-a", "job")
    assert "No space left on device" in again.err
    assert again.out == "file\nsmall\n"
    assert "scratch" not in {path.name for path in box.root.glob("containers/*/root/**/scratch/*")}


def test_volume_with_all_its_words(box: Wherry) -> None:
    mount = "source=data,target=/data,volume-label=kind=seeds"
    assert box.ok(*RUN, "--mount", mount, "busybox", "cat", "/data/seed") == "from the image\n"
    assert box.ok(*RUN, "--mount", "src=none,dst=/data,volume-nocopy", "busybox", "ls", "/data") == ""
    box.ok(*RUN, "-v", "data:/data", "busybox", "sh", "-c", "mkdir -p /data/a/b; echo deep > /data/a/b/file")
    inner = "source=data,target=/inner,volume-subpath=a/b"
    assert box.ok(*RUN, "--mount", inner, "busybox", "cat", "/inner/file") == "deep\n"
    one = "source=data,target=/etc/one.conf,volume-subpath=a/b/file"
    assert box.ok(*RUN, "--mount", one, "busybox", "cat", "/etc/one.conf") == "deep\n"


def test_path_of_a_volume_never_leads_out(box: Wherry) -> None:
    links = "mkdir /data/inside; ln -s /inside /data/in; ln -s /etc /data/out; ln -s ../../../../etc /data/up"
    box.ok(*RUN, "-v", "data:/data", "busybox", "sh", "-c", links)
    for path in ("out", "up", "missing"):
        refused = box(*RUN, "--mount", f"source=data,target=/x,volume-subpath={path}", "busybox", "ls", "/x")
        assert (refused.code, refused.out) == (125, "")
        assert "No such file or directory" in refused.err
    inside = "source=data,target=/x,volume-subpath=in"
    assert box.ok(*RUN, "--mount", inside, "busybox", "ls", "-A", "/x") == ""


def test_volumes_of_another_container(box: Wherry, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("host\n")
    busybox.put(box.root, "volumed", Execution(volumes=("/data",)))
    first = ("-v", f"{tmp_path}/here:/host", "-v", "named:/named", "--tmpfs", "/scratch")
    box.ok("run", "--name", "first", "--network", "none", *first, "volumed", "touch", "/data/x", "/named/y")
    from_it = ("--volumes-from", "first", "busybox")
    shown = box.ok(*RUN, *from_it, "ls", "/data", "/host", "/named")
    assert shown == "/data:\nseed\nx\n\n/host:\nfile\n\n/named:\ny\n"
    assert "/scratch" not in box.ok(*RUN, *from_it, "cat", "/proc/mounts")
    refused = box(*RUN, "--volumes-from", "first:ro", "busybox", "touch", "/named/z")
    assert "Read-only file system" in refused.err
    own = box.ok(*RUN, "-v", "mine:/named", "--volumes-from", "first", "busybox", "ls", "-A", "/named")
    assert own == ""
    assert box(*RUN, "--volumes-from", "nobody", "busybox", "true").code == 125


def test_shared_anonymous_volume_goes_with_the_last(box: Wherry) -> None:
    busybox.put(box.root, "volumed", Execution(volumes=("/data",)))
    box.ok("run", "--name", "first", "--network", "none", "volumed", "true")
    box.ok("run", "--name", "second", "--network", "none", "--volumes-from", "first", "busybox", "true")
    box.ok("rm", "-v", "first")
    assert box.ok(*RUN, "--volumes-from", "second", "busybox", "cat", "/data/seed") == "from the image\n"
    box.ok("rm", "-v", "second")
    assert os.listdir(box.root / "volumes") == []


def test_volumes_of_a_container_that_has_never_run(box: Wherry) -> None:
    """Data containers: what the image has is in its volumes as soon as it is created."""
    busybox.put(box.root, "volumed", Execution(volumes=("/data",)))
    box.ok("create", "--name", "store", "volumed", "none")
    assert box.ok(*RUN, "--volumes-from", "store", "busybox", "cat", "/data/seed") == "from the image\n"


def test_files_of_names_lie_on_what_is_mounted_at_etc(box: Wherry, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    read = ("busybox", "grep", "-c", "localhost", "/etc/hosts")
    for words in ("--tmpfs", "/etc"), ("-v", "etc:/etc"), ("-v", f"{tmp_path}/etc:/etc"):
        assert int(box.ok(*RUN, *words, *read)) > 0, words
    shown = box.ok(*RUN, "-v", "more:/etc:ro", "busybox", "ls", "/etc").split()
    assert {"notes.txt", "passwd"} <= set(shown)


@pytest.mark.needs("newuidmap", "setpriv")
@pytest.mark.parametrize("subordinate", [True, False], ids=["ranges", "one-id"])
def test_mounts_of_an_ordinary_user(subordinate: bool) -> None:
    with ordinary.user(subordinate) as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        best = {"WHERRY_ISOLATION": "auto"}
        user = Wherry(root, someone.home / "docker", best, someone.prefix)
        own = someone.home / "own"
        own.mkdir()
        ordinary.hand_over(own)
        user.ok("create", "--name", "store", "-v", "data:/data", "--tmpfs", "/gone", "busybox")
        bind = f"type=bind,source={own},target=/mnt"
        memory = "/scratch:uid=1000,size=1m" if subordinate else "/scratch:size=1m"
        words = ("--volumes-from", "store:ro", "--mount", bind, "--tmpfs", memory, "busybox", "sh", "-c")
        script = "cat /data/seed; echo new > /mnt/file; ls -ld /scratch; touch /data/x"
        shown = user(*RUN, *words, script)
        assert shown.out.startswith("from the image\n")
        assert (" web " in shown.out) == subordinate
        assert "Read-only file system" in shown.err
        if not subordinate:
            refused = user(*RUN, "--tmpfs", "/x:uid=1000", "busybox", "true")
            assert "no such user or group (uid=1000)" in refused.err
        status = (own / "file").stat()
        assert (status.st_uid, (own / "file").read_text()) == (ordinary.UID, "new\n")


def test_two_mounts_at_one_place(box: Wherry) -> None:
    refused = box(*RUN, "--tmpfs", "/data", "-v", "data:/data", "busybox", "true")
    assert (refused.code, "duplicate mount point: /data" in refused.err) == (125, True)
