"""What a container's root must not be able to do to the machine, tried from within."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running import children, processes, sh, start, unique
from wherry.runtime.native import Native
from wherry.runtime.spec import MASKED_PATHS, Container, Process

pytestmark = pytest.mark.needs("root", "busybox")

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@pytest.fixture
def devices() -> Iterator[dict[str, tuple[object, ...]]]:
    """Mode, owner and time of the host's nodes, which are put right again whatever a test did to them."""
    before = {name: os.stat(f"/dev/{name}") for name in DEVICES}
    yield faces()
    for name, was in before.items():
        os.chmod(f"/dev/{name}", stat.S_IMODE(was.st_mode))
        os.chown(f"/dev/{name}", was.st_uid, was.st_gid)


def faces() -> dict[str, tuple[object, ...]]:
    found = {name: os.stat(f"/dev/{name}") for name in DEVICES}
    return {name: (node.st_mode, node.st_uid, node.st_gid, node.st_mtime) for name, node in found.items()}


def test_the_host_s_device_nodes_keep_their_faces(
    native: Native, rootfs: Path, devices: dict[str, tuple[object, ...]]
) -> None:
    """They, stdin and what covers masked files, the host's /dev/null, are files of the host's root."""
    covers = [path for path in MASKED_PATHS if Path(path).is_file()]
    assert covers
    tries = [
        f"{change} {path}"
        for change in ("chmod 642", "chown 77:77", "touch -d @5")
        for path in [*(f"/dev/{name}" for name in DEVICES), "/proc/self/fd/0", "/dev/stdin", *covers]
    ]
    result = sh(native, rootfs, "; ".join(f"{attempt} && echo DONE {attempt}" for attempt in tries))
    assert "DONE" not in result.output
    assert faces() == devices


def test_devices_can_still_be_written_and_read(native: Native, rootfs: Path) -> None:
    script = "echo gone > /dev/null && cat <&0 && head -c 3 /dev/zero | wc -c && ! echo x 2>&- > /dev/full"
    assert sh(native, rootfs, script).output.split() == ["3"]


def test_standard_streams_to_null_are_the_container_s_own(
    native: Native, rootfs: Path, devices: dict[str, tuple[object, ...]]
) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    with open(rootfs / "out", "w+") as out:
        script = (
            "exec 3> /out; chmod 642 /proc/self/fd/1 /proc/self/fd/2 || echo refused >&3; echo w; echo w >&2"
        )
        process = Process(("sh", "-c", script))
        code = native.start(Container("c", str(rootfs), process), null, null, null).wait()
        os.close(null)
        assert (code, out.read()) == (0, "refused\n")
    assert faces() == devices


def test_the_helper_s_program_cannot_be_changed_through_proc(native: Native, rootfs: Path) -> None:
    """CVE-2019-5736: /proc/self/exe as command is the helper's own program, and leads to the host's file."""
    mark = unique()
    running = start(native, rootfs, "sleep", mark)
    try:
        [sleeping] = [pid for pid in processes(mark) if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]
        parent = int(Path(f"/proc/{sleeping}/stat").read_text().rpartition(")")[2].split()[1])
        program = f"/proc/{parent}/exe"
        assert children(parent)
        mode = stat.S_IMODE(os.stat(program).st_mode)
        with pytest.raises(OSError, match="Read-only file system"):
            os.chmod(program, mode)
    finally:
        running.kill()
        running.wait()
