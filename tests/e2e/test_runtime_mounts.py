"""Mounts of a container: what they show, where they may not lead, and what they leave."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from support.hosts import Host
from support.running import (
    run,
    sh,
)
from wherry.base.errors import WherryError
from wherry.runtime.mounts import remove_created
from wherry.runtime.runtime import Runtime
from wherry.runtime.spec import Mount

pytestmark = pytest.mark.needs("root", "busybox")


def test_bind_and_tmpfs(runtime: Runtime, rootfs: Path, ground: Path) -> None:
    (ground / "folder").mkdir()
    (ground / "folder/file").write_text("content\n")
    mounts = (
        Mount("bind", str(ground / "folder"), "/ro", ("ro",)),
        Mount("bind", str(ground / "folder"), "/rw"),
        Mount("bind", str(ground / "folder/file"), "/etc/motd", ("ro",)),
        Mount("tmpfs", "", "/t", ("size=64k", "mode=1700")),
    )
    script = """
        cat /ro/file /etc/motd; (echo x > /ro/new) 2>/dev/null || echo refused; echo x > /rw/new
        stat -c %a /t; dd if=/dev/zero of=/t/x bs=1k count=100 2>/dev/null || echo full
    """
    result = sh(runtime, rootfs, script, container={"mounts": mounts})
    assert result.output.split() == ["content", "content", "refused", "1700", "full"]
    assert (ground / "folder/new").read_text() == "x\n"


def test_a_read_only_bind_is_so_all_the_way_down(runtime: Runtime, rootfs: Path, ground: Path) -> None:
    outer = ground / "outer"
    (outer / "inner").mkdir(parents=True)
    mounts = (
        Mount("bind", str(outer), "/a"),
        Mount("tmpfs", "", "/a/inner"),
        Mount("bind", "/dev/shm", "/b", ("ro",)),
    )
    result = sh(runtime, rootfs, "touch /b/x 2>/dev/null || echo refused", container={"mounts": mounts})
    assert result.output.split() == ["refused"]


def test_mount_points_are_reported_and_can_be_unmade(runtime: Runtime, rootfs: Path, ground: Path) -> None:
    (ground / "file").write_text("x")
    before = {path: path.lstat().st_mtime_ns for path in (rootfs, rootfs / "etc")}
    mounts = (
        Mount("tmpfs", "", "/root/.cache/pip"),
        Mount("bind", str(ground / "file"), "/etc/new"),
        Mount("bind", str(ground / "file"), "/dev/.wherry/ca.crt"),
    )
    result = sh(runtime, rootfs, "cat /etc/new /dev/.wherry/ca.crt", container={"mounts": mounts})
    assert result.output == "xx"
    assert [item.path for item in result.running.created] == [
        "/root",
        "/root/.cache",
        "/root/.cache/pip",
        "/etc/new",
    ]
    remove_created(str(rootfs), result.running.created)
    assert not (rootfs / "root").exists()
    assert {path: path.lstat().st_mtime_ns for path in before} == before


def test_a_link_in_the_image_cannot_redirect_a_mount(runtime: Runtime, rootfs: Path) -> None:
    """CVE-2019-16884 and its kin: the target is looked up inside the root."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside:
        (rootfs / "evil").symlink_to(outside)
        (rootfs / "up").symlink_to("../../../.." + outside)
        mounts = (Mount("tmpfs", "", "/evil/a"), Mount("tmpfs", "", "/up/b"))
        result = sh(runtime, rootfs, f"grep -c ' {outside}/[ab] ' /proc/mounts", container={"mounts": mounts})
        assert result.output.strip() == "2"
        assert os.listdir(outside) == []
        assert sorted(os.listdir(rootfs / outside.lstrip("/"))) == ["a", "b"]
        remove_created(str(rootfs), result.running.created)
        assert not (rootfs / "var").exists()


def test_links_that_lead_in_circles(runtime: Runtime, rootfs: Path) -> None:
    (rootfs / "a").symlink_to("b/x")
    (rootfs / "b").symlink_to("a/x")
    with pytest.raises(WherryError, match="cannot mount tmpfs on /a/x: Too many levels"):
        run(runtime, rootfs, "true", container={"mounts": (Mount("tmpfs", "", "/a/x"),)})


def test_proc_as_a_link_is_refused_or_stays_inside(host: Host, runtime: Runtime, rootfs: Path) -> None:
    """CVE-2019-19921: an image whose /proc is a link must not get the mounts' guards lifted."""
    (rootfs / "proc").rmdir()
    (rootfs / "elsewhere").mkdir()
    (rootfs / "proc").symlink_to("elsewhere")
    if not host.is_native:
        with pytest.raises(WherryError, match=r"/proc.*(Not a directory|ordinary directory)"):
            run(runtime, rootfs, "true")
        return
    result = sh(runtime, rootfs, "(echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo refused")
    assert result.output.split() == ["refused"]


def test_a_file_over_a_dangling_link_makes_nothing(
    host: Host, runtime: Runtime, rootfs: Path, ground: Path
) -> None:
    """In a build nothing is made by the others either: the stub has a file where the link leads."""
    (ground / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    (rootfs / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    mounts = (Mount("bind", str(ground / "resolv.conf"), "/etc/resolv.conf"),)
    result = run(runtime, rootfs, "cat", "/etc/resolv.conf", container={"mounts": mounts})
    assert result.output == "nameserver 192.0.2.1\n"
    assert not result.running.created
    assert not host.is_native or not (rootfs / "run").exists()


def test_a_source_inside_a_root_stays_there(runtime: Runtime, rootfs: Path, ground: Path) -> None:
    stage = ground / "stage"
    (stage / "etc").mkdir(parents=True)
    (stage / "etc/hostname").write_text("stage\n")
    (stage / "link").symlink_to("/etc/hostname")
    mounts = (Mount("bind", "link", "/etc/seen", ("ro",), root=str(stage)),)
    assert run(runtime, rootfs, "cat", "/etc/seen", container={"mounts": mounts}).output == "stage\n"
    escape = (Mount("bind", "../../../../../../etc/passwd", "/etc/seen", root=str(stage)),)
    with pytest.raises(WherryError, match=r"cannot mount .*: No such file or directory"):
        run(runtime, rootfs, "true", container={"mounts": escape})


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (Mount("bind", "/no/such", "/x"), "cannot mount /no/such on /x: No such file or directory"),
        (Mount("bind", "/etc/passwd", "/tmp"), "cannot mount a file on a folder: /tmp"),
        (Mount("bind", "/etc", "/etc/passwd"), "cannot mount a folder on a file: /etc/passwd"),
        (Mount("bind", "/etc", "/x", ("size=3",)), "a bind mount has no option 'size'"),
        (Mount("tmpfs", "", "/x", ("color=red",)), "cannot mount tmpfs on /x: .*color"),
    ],
)
def test_mounts_that_fail_say_why(runtime: Runtime, rootfs: Path, mount: Mount, message: str) -> None:
    with pytest.raises(WherryError, match=message):
        run(runtime, rootfs, "true", container={"mounts": (mount,)})


def test_nothing_stays_mounted(runtime: Runtime, rootfs: Path) -> None:
    before = Path("/proc/self/mounts").read_text()
    sh(runtime, rootfs, "true", container={"mounts": (Mount("tmpfs", "", "/t"),)})
    assert Path("/proc/self/mounts").read_text() == before
    shutil.rmtree(rootfs)
