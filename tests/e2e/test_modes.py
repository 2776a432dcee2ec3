"""The choice of a mode: forced by flag, variable and file, and refused where it cannot work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry, write_files

DOCKERFILE = "FROM base\nRUN mkdir /d && chown 5:6 /d && cat /proc/self/uid_map > /d/map\n"


@pytest.mark.needs("root", "busybox")
def test_root_may_choose_a_user_namespace_for_builds_and_containers(wherry: Wherry, tmp_path: Path) -> None:
    busybox.put(str(wherry.root), "base")
    folder = write_files(tmp_path / "context", {"Dockerfile": DOCKERFILE})
    wherry.ok("build", "--isolation=userns", "-t", "app", folder)
    in_image = wherry.ok("run", "--rm", "--network=none", "app", "sh", "-c", "cat /d/map; stat -c %u:%g /d")
    assert in_image.split() == ["0", "0", str(2**31), "5:6"]
    one = wherry.ok(
        "run", "--rm", "--network=none", "--isolation", "userns", "app", "cat", "/proc/self/uid_map"
    )
    assert one.split() == ["0", "0", str(2**31)]


@pytest.mark.needs("root", "busybox")
def test_modes_do_not_take_each_others_trees(wherry: Wherry, tmp_path: Path) -> None:
    """An opaque folder of the one is none to the other: its mark has another name."""
    busybox.put(str(wherry.root), "base")
    lines = "FROM base\nRUN mkdir /d && touch /d/old\nRUN rm -r /d && mkdir /d && touch /d/new\n"
    folder = write_files(tmp_path / "context", {"Dockerfile": lines})
    for made, used in (("root", "userns"), ("userns", "root")):
        wherry.ok("build", "--no-cache", "-t", "app", folder, env={"WHERRY_ISOLATION": made})
        (folder / "Dockerfile").write_text(f"FROM app\nRUN ls /d > /by-{used}\n")
        wherry.ok("build", "-t", "used", folder, env={"WHERRY_ISOLATION": used})
        assert wherry.ok("run", "--rm", "--network=none", "used", "cat", f"/by-{used}") == "new\n"
        (folder / "Dockerfile").write_text(lines.replace("touch /d/old", "touch /d/other"))


@pytest.mark.needs("root", "newuidmap", "setpriv")
def test_a_mode_that_cannot_work_says_why() -> None:
    with ordinary.user() as someone:
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        folder = write_files(someone.home / "context", {"Dockerfile": 'FROM scratch\nRUN ["/x"]\n'})
        refused = user("build", "--isolation=root", folder)
        assert refused.code == 1
        assert "the mode root is root's alone" in refused.err
        refused = user("build", folder, env={"WHERRY_ISOLATION": "sandbox"})
        assert "WHERRY_ISOLATION must be one of auto, root, userns" in refused.err
        facts = json.loads(user.ok("info", "-f", "json"))
        assert (facts["Mode"], facts["Driver"]) == ("userns", "overlay")
        facts = json.loads(user.ok("info", "-f", "json", env={"WHERRY_ISOLATION": "root"}))
        assert facts["Mode"] == "none"
        assert "root's alone" in facts["ModeHint"]


@pytest.mark.needs("root", "newuidmap", "setpriv")
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_ranges_that_cannot_be_mapped_are_told(kind: str) -> None:
    with ordinary.user() as someone:
        with someone.home.parent.joinpath(f"sub{kind}").open("a") as file:
            file.write(f"{ordinary.NAME}:200000:65536\n")  # once more: the ranges overlap
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        folder = write_files(someone.home / "context", {"Dockerfile": 'FROM scratch\nRUN ["/x"]\n'})
        refused = user("build", "--isolation=userns", folder)
        assert refused.code == 1
        fault = f"new{kind}map: write to {kind}_map failed: Invalid argument"
        assert f"cannot map a range of ids: {fault}" in refused.err


@pytest.mark.needs("root", "setpriv")
def test_info_tells_what_was_tried_and_what_would_be_better() -> None:
    with ordinary.user(subordinate=False) as someone:
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        lines = user.ok("info").splitlines()
        at = lines.index("Mode:       single-id")
        lacking = f"/etc/subuid gives no subordinate ids to the user {ordinary.NAME}"
        assert lines[at + 1 : at + 4] == [
            "            root      no: the mode root is root's alone",
            f"            userns    no: {lacking}",
            "            single-id yes",
        ]
        ranges = "--add-subuids 100000-165535 --add-subgids 100000-165535"
        assert f"            for userns: sudo usermod {ranges} {ordinary.NAME}" in lines
        facts = json.loads(user.ok("info", "-f", "json"))
        assert [mode["Works"] for mode in facts["Modes"]][:3] == [False, False, True]
        assert facts["Modes"][1]["Reason"] == lacking
