"""The built-in runtime for an ordinary user: in a user namespace, with subordinate ids or a refusal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support import ordinary
from support.running import (
    DOCKER_CAPABILITIES,
    make_rootfs,
)

FIRST_SUBID = 200_000

SCRIPT = """
import os, sys
from wherry.base.errors import WherryError
from wherry.runtime import modes
from wherry.runtime.native import Native
from wherry.runtime.spec import Container, Process, User
try:
    mode = modes.enter(sys.argv[2])
    assert mode is modes.enter(sys.argv[2]) and mode.name == sys.argv[2], mode
    with Native() as runtime:
        for user in (User(), User(1000, 1000, (1000, 50))):
            script = "id -u; id -G; touch /tmp/by-$(id -u); grep CapBnd /proc/self/status; echo x > /dev/null"
            script += "; test $(id -u) != 0 || chown 33:44 /tmp/by-0 /etc/owned"
            process = Process(("sh", "-c", script), user=user)
            for network in ("host", "none"):
                code = runtime.start(Container("c", sys.argv[1], process, network=network), 0, 1, 2).wait()
                assert code == 0, code
except WherryError as error:
    print(error.message)
    print(error.hint)
    sys.exit(9)
"""


def run_as(user: ordinary.User, isolation: str = "userns") -> subprocess.CompletedProcess[str]:
    """The script with a root filesystem of the user's own, one file of which is a subordinate user's."""
    rootfs = make_rootfs(user.home / "rootfs")
    for path in (rootfs, *rootfs.rglob("*")):
        os.chown(path, ordinary.UID, ordinary.UID, follow_symlinks=False)
    (rootfs / "etc/owned").touch()
    os.chown(rootfs / "etc/owned", FIRST_SUBID + 32, FIRST_SUBID + 43)
    (rootfs / "tmp").chmod(0o1777)
    command = [*user.prefix, sys.executable, "-c", SCRIPT, str(rootfs), isolation]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.needs("root", "busybox", "newuidmap")
def test_with_subordinate_ids() -> None:
    with ordinary.user() as user:
        done = run_as(user)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        expected = ["0", "0", "CapBnd:", DOCKER_CAPABILITIES] * 2
        expected += ["1000", "1000", "50", "CapBnd:", DOCKER_CAPABILITIES] * 2
        assert done.stdout.split() == expected
        owner = (user.home / "rootfs/tmp/by-1000").stat()
        assert (owner.st_uid, owner.st_gid) == (FIRST_SUBID + 999, FIRST_SUBID + 999)
        changed = (user.home / "rootfs/tmp/by-0").stat()
        assert (changed.st_uid, changed.st_gid) == (FIRST_SUBID + 32, FIRST_SUBID + 43)


@pytest.mark.needs("root", "busybox", "newuidmap")
def test_without_subordinate_ids_one_is_told_what_to_do() -> None:
    with ordinary.user(subordinate=False) as user:
        done = run_as(user)
    assert (done.returncode, done.stderr) == (9, "")
    assert done.stdout.splitlines() == [
        f"/etc/subuid gives no subordinate ids to the user {ordinary.NAME}",
        f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {ordinary.NAME}",
    ]


@pytest.mark.needs("root", "busybox")
def test_with_a_single_id_processes_see_the_users_that_they_are_to_be() -> None:
    with ordinary.user(subordinate=False) as user:
        done = run_as(user, "single-id")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        expected = ["0", "0", "CapBnd:", DOCKER_CAPABILITIES] * 2
        expected += ["1000", "1000", "50", "CapBnd:", DOCKER_CAPABILITIES] * 2
        assert done.stdout.split() == expected
        owners = {(user.home / f"rootfs/tmp/by-{uid}").stat().st_uid for uid in (0, 1000)}
        assert owners == {ordinary.UID}
        asked = os.getxattr(user.home / "rootfs/tmp/by-0", "user.wherry.owner")
        assert asked == b"33:44"


def test_an_ordinary_user_enters_from_a_single_thread_only() -> None:
    script = """
import os, threading, time
from wherry.runtime import modes
if os.geteuid() == 0:
    os.seteuid(65534)
threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
try:
    modes.enter()
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "before any thread" in done.stdout
