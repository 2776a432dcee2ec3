"""`--userns=keep-id`: the user is himself inside, and his files are his on both sides."""

from __future__ import annotations

import os
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from support.ordinary import UID
from support.places import Place

pytestmark = pytest.mark.needs("root", "busybox")

KEEP = ("--userns", "keep-id")


@pytest.fixture
def mine(place: Place, request: pytest.FixtureRequest) -> Path:
    """A folder of the user's."""
    folder = place.home / f"mine-{request.node.originalname}"
    folder.mkdir()
    (folder / "file").write_text("mine\n")
    for path in (folder, folder / "file"):
        os.chown(path, place.owner, place.owner)
    return folder


def test_root_has_nothing_to_keep(place: Place) -> None:
    if not place.is_root:
        pytest.skip("is about root")
    result = place.wherry("run", "--rm", *KEEP, "busybox", "true")
    assert (result.code, "--userns keep-id is for ordinary users" in result.err) == (125, True)


def test_the_user_is_himself(place: Place, mine: Path) -> None:
    if place.is_root:
        pytest.skip("is not about root")
    words = (*KEEP, "-v", f"{mine}:/c")
    script = "id -u; id -g; stat -c %u:%g /c/file; cat /c/file; echo new > /c/new; touch /c/file"
    assert place.sh(script, *words).split() == [str(UID), str(UID), f"{UID}:{UID}", "mine"]
    new = (mine / "new").stat()
    assert (new.st_uid, new.st_gid) == (UID, UID)
    assert place.wherry("run", "--rm", "--userns=keep-id", "busybox", "touch", "/x").code == (
        0 if place.mode == "single-id" else 1
    )


def test_files_of_the_image_have_their_owners(place: Place) -> None:
    """Also where the same image has been run with other ids before, and afterwards."""
    if place.mode != "userns":
        pytest.skip("is about many ids")
    script = "stat -c %u:%g / /bin /data /home/web /etc/passwd; id -u web"
    expected = ["0:0", "0:0", "1000:1000", "1000:1000", "0:0", "1000"]
    for words in ((), KEEP, (), (*KEEP, "--snapshotter", "copy"), ("--snapshotter", "copy")):
        assert place.sh(script, "-u", "0", *words).split() == expected, words


def test_root_inside_has_no_rights_of_the_user_s(place: Place, mine: Path) -> None:
    """On the host he is one of the user's subordinate ids; in the container he is over the user."""
    if place.mode != "userns":
        pytest.skip("is about many ids")
    words = (*KEEP, "-u", "0", "-v", f"{mine}:/c")
    assert place.sh("id -u; touch /c/by-root; chown 1000 /c/by-root; touch /c/roots", *words) == "0\n"
    assert ((mine / "by-root").stat().st_uid, (mine / "roots").stat().st_uid) == (201_000, 200_000)


def test_a_whole_life(place: Place, mine: Path) -> None:
    """Each command sees the container's own numbers."""
    if place.mode != "userns":
        pytest.skip("is about many ids")
    wherry = place.wherry
    script = f"echo kept > /tmp/kept; chown 7:8 /tmp/kept; mkdir /srv; chown {UID} /srv; echo up; sleep 1000"
    wherry.ok(
        "run", "-d", "--name", "kept", *KEEP, "-u", "0", "-v", "filled:/data", "busybox", "sh", "-c", script
    )
    try:
        assert (
            wherry.ok("exec", "-u", "web", "kept", "sh", "-c", "id -u; cat /data/seed").split()[0] == "1000"
        )
        assert (
            wherry.ok("exec", "kept", "sh", "-c", "until [ -d /srv ]; do :; done; stat -c %u /tmp/kept")
            == "7\n"
        )
        assert wherry.ok("inspect", "-f", "{{.HostConfig.UsernsMode}}", "kept") == "keep-id\n"
        assert {"A /srv", "A /tmp/kept"} <= set(wherry.ok("diff", "kept").splitlines())
        wherry.ok("commit", "kept", "kept-image")
        assert place.wherry.ok("run", "--rm", "--network", "none", "kept-image", "stat", "-c", "%u:%g",
                               "/tmp/kept", "/srv").split() == ["7:8", f"{UID}:0"]  # fmt: skip
        target = place.home / "kept.tar"
        wherry.ok("export", "-o", target, "kept")
        with tarfile.open(fileobj=BytesIO(target.read_bytes())) as archive:
            members = {name: archive.getmember(name) for name in ("tmp/kept", "srv", "bin/busybox")}
        assert {name: (member.uid, member.gid) for name, member in members.items()} == {
            "tmp/kept": (7, 8),
            "srv": (UID, 0),
            "bin/busybox": (0, 0),
        }
        wherry.ok("stop", "-t", "0", "kept")
        wherry.ok("start", "kept")
        assert wherry.ok("exec", "kept", "stat", "-c", "%u", "/tmp/kept") == "7\n"
    finally:
        wherry("rm", "-f", "-v", "kept")
    strangers = [path for path in wherry.root.rglob("*") if path.lstat().st_uid != UID]
    assert all("/fs" in str(path) or "/volumes/filled/_data" in str(path) for path in strangers), strangers


def test_what_it_cannot_be_had_with(place: Place) -> None:
    if place.is_root:
        pytest.skip("is not about root")
    refused = place.wherry("run", "--rm", *KEEP, "--isolation", "root", "busybox", "true")
    assert (refused.code, "the mode root has no user namespace" in refused.err) == (125, True)
    if place.mode == "single-id":
        refused = place.wherry("run", "--rm", *KEEP, "-u", "web", "busybox", "true")
        assert (refused.code, "with a single id there is nobody but you" in refused.err) == (125, True)
