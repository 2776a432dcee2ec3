"""`wherry volume`, and volumes in what counts and deletes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

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


def names(box: Wherry, *words: str) -> list[str]:
    return box.ok("volume", "ls", "-q", *words).split()


def test_life_of_a_volume(box: Wherry) -> None:
    assert box.ok("volume", "create", "--label", "kind=data", "data") == "data\n"
    assert box.ok("volume", "create", "--label", "kind=other", "data") == "data\n"
    (document,) = json.loads(box.ok("volume", "inspect", "data"))
    path = f"{box.root}/volumes/data/_data"
    assert document.pop("CreatedAt")[:2] == "20"
    assert document == {
        "Driver": "local",
        "Labels": {"kind": "data"},
        "Mountpoint": path,
        "Name": "data",
        "Options": None,
        "Scope": "local",
    }
    assert json.loads(box.ok("inspect", "data"))[0]["Name"] == "data"
    assert box.ok("inspect", "--type", "volume", "-f", "{{.Mountpoint}}", "data") == f"{path}\n"
    assert box.ok(*RUN, "-v", "data:/data", "busybox", "cat", "/data/seed") == "from the image\n"
    assert box.ok("volume", "ls") == "DRIVER    VOLUME NAME\nlocal     data\n"
    assert box.ok("volume", "rm", "data") == "data\n"
    assert os.listdir(box.root / "volumes") == []
    assert os.listdir(box.root / "tmp") == []
    assert box("volume", "inspect", "data").code == 1
    assert box("inspect", "data").code == 1


def test_volume_without_a_name(box: Wherry) -> None:
    name = box.ok("volume", "create").strip()
    assert re.fullmatch("[0-9a-f]{64}", name)
    assert (
        box.ok("volume", "inspect", "-f", "{{json .Labels}}", name) == '{"com.docker.volume.anonymous":""}\n'
    )


@pytest.mark.parametrize(
    "words",
    [
        ("x",),
        ("../data",),
        ("a/b",),
        ("-d", "nfs", "data"),
        ("-o", "type=tmpfs", "data"),
        ("--scope", "multi", "data"),
        ("--label", "=x", "data"),
        ("--name", "data", "data"),
    ],
    ids=" ".join,
)
def test_volumes_that_cannot_be(box: Wherry, words: tuple[str, ...]) -> None:
    refused = box("volume", "create", *words)
    assert refused.code != 0
    assert refused.err.startswith("error: ")
    assert names(box) == []


def test_volume_in_use_stays(box: Wherry) -> None:
    box.ok("create", "--name", "web", "-v", "data:/data", "busybox")
    assert names(box) == ["data"]
    refused = box("volume", "rm", "-f", "data")
    assert (refused.code, "in use by web" in refused.err) == (1, True)
    box.ok("rm", "web")
    assert box.ok("volume", "rm", "data", "-f", "nosuch") == "data\nnosuch\n"
    refused = box("volume", "rm", "nosuch", "../containers")
    assert refused.code == 1
    assert refused.err.count("no such volume") == 2
    assert (box.root / "containers").is_dir()


def test_lists(box: Wherry) -> None:
    box.ok("volume", "create", "--label", "a=1", "--label", "b", "first")
    box.ok("volume", "create", "--label", "a=2", "second")
    box.ok("create", "-v", "second:/data", "-v", "/other", "busybox")
    (anonymous,) = set(names(box)) - {"first", "second"}
    assert names(box, "-f", "dangling=true") == ["first"]
    assert sorted(names(box, "-f", "dangling=false")) == sorted([anonymous, "second"])
    assert names(box, "-f", "label=a") == ["first", "second"]
    assert names(box, "-f", "label=a=2") == ["second"]
    assert names(box, "-f", "label=a", "-f", "label=b") == ["first"]
    assert names(box, "-f", "label=com.docker.volume.anonymous") == [anonymous]
    assert names(box, "-f", "name=irs", "-f", "name=con") == ["first", "second"]
    assert names(box, "-f", "driver=nfs") == []
    assert len(names(box, "-f", "driver=local")) == 3
    assert box("volume", "ls", "-f", "size=1").code == 1
    shown = box.ok("volume", "ls", "-f", "name=first", "--format", "{{.Name}} {{.Labels}} {{.Mountpoint}}")
    assert shown == f"first a=1,b= {box.root}/volumes/first/_data\n"
    assert json.loads(box.ok("volume", "ls", "-f", "name=first", "--format", "json"))["Links"] == "N/A"


def test_prune_takes_what_nobody_has(box: Wherry) -> None:
    busybox.put(box.root, "volumed", Execution(volumes=("/data",)))
    box.ok("run", "--name", "gone", "--network", "none", "volumed", "true")
    box.ok("run", "--name", "here", "--network", "none", "-v", "named:/named", "volumed", "true")
    box.ok("rm", "gone")
    box.ok("volume", "create", "--label", "keep", "kept")
    before = names(box)
    assert box("volume", "prune", stdin="n\n").code == 1
    assert names(box) == before
    pruned = box.ok("volume", "prune", stdin="y\n")
    (anonymous,) = set(before) - set(names(box))
    assert f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: " in pruned
    box.ok("volume", "create", "idle")
    assert "idle\n" in box.ok("volume", "prune", "-a", "-f", "--filter", "label!=keep")
    assert box.ok("volume", "prune", "-f") == "Total reclaimed space: 0B\n"
    assert "kept\n" in box.ok("volume", "prune", "-f", "--filter", "all=true", "--filter", "label=keep")
    assert len(names(box)) == 2
    assert box("volume", "prune", "-a", "--filter", "all=1").code != 0


def test_prune_of_all_takes_volumes_where_it_is_told(box: Wherry) -> None:
    anonymous = box.ok("volume", "create").strip()
    box.ok("volume", "create", "named")
    box.ok("prune", "-f")
    assert len(names(box)) == 2
    assert box("system", "prune", "-f", "--volumes", "--filter", "until=1h").code != 0
    assert f"Deleted Volumes:\n{anonymous}\n" in box.ok("system", "prune", "-f", "--volumes")
    assert names(box) == ["named"]


def test_disk_usage(box: Wherry) -> None:
    box.ok("create", "-v", "used:/data", "busybox")
    box.ok("volume", "create", "idle")
    shown = box.ok("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}")
    assert "Local Volumes 2 1\n" in shown
    rows = [line.split() for line in box.ok("system", "df", "-v").partition("Local Volumes")[2].splitlines()]
    assert {tuple(row[:2]) for row in rows if len(row) == 3} >= {("used", "1"), ("idle", "0")}


def test_damaged_container_keeps_its_volumes(box: Wherry) -> None:
    """Nobody knows which ones it has."""
    container = box.ok("create", "-v", "data:/data", "-v", "/other", "busybox").strip()
    box.ok("run", "--name", "job", "--network", "none", "-v", "/more", "busybox", "true")
    spec = box.root / "containers" / container / "spec.json"
    whole = spec.read_bytes()
    spec.write_bytes(whole[:50])
    for words in ("rm", "data"), ("prune", "-af"):
        refused = box("volume", *words)
        assert (refused.code, "spec.json is damaged" in refused.err) == (1, True)
    assert box("rm", "-v", "job").code == 0
    assert len(names(box)) == 3
    spec.write_bytes(whole)
    assert len(box.ok("volume", "prune", "-af").split("\n\n")[0].split()) == 3


def test_volume_of_an_older_version(box: Wherry) -> None:
    """It has no record of its own."""
    box.ok("volume", "create", "data")
    (box.root / "volumes" / "data" / "volume.json").unlink()
    assert names(box) == ["data"]
    assert box.ok("volume", "inspect", "-f", "{{json .Labels}}", "data") == "null\n"
    os.rename(box.root / "volumes" / "data", box.root / "volumes" / ("a" * 64))
    assert names(box, "-f", "label=com.docker.volume.anonymous") == ["a" * 64]


_RACE = """
import sys
from wherry.container import volumes
root, name = sys.argv[1:]
for _ in range(200):
    volumes.create(root, name)
    volumes.remove_unused(root, name)
"""


def test_volumes_that_are_made_and_deleted_at_once(box: Wherry) -> None:
    """A container that started keeps its volume, whoever else makes and deletes it."""
    script = [sys.executable, "-c", _RACE, str(box.root), "data"]
    with subprocess.Popen(script, env=box.environment) as other:
        for _ in range(5):
            written = box.ok(*RUN, "-v", "data:/data", "busybox", "sh", "-c", "echo x > /data/x; cat /data/x")
            assert written == "x\n"
        assert other.wait() == 0
    box.ok("create", "--name", "web", "-v", "data:/data", "busybox")
    assert subprocess.run(script, env=box.environment, check=False).returncode == 0
    assert names(box) == ["data"]


@pytest.mark.needs("newuidmap", "setpriv")
def test_volumes_of_an_ordinary_user() -> None:
    with ordinary.user() as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        user = Wherry(root, someone.home / "docker", prefix=someone.prefix)
        script = "mkdir /data/mine; echo x > /data/mine/file; chmod 700 /data/mine"
        user.ok(*RUN, "-u", "web", "-v", "data:/data", "busybox", "sh", "-c", script)
        user.ok(*RUN, "-u", "web", "-v", "more:/data", "busybox", "sh", "-c", script)
        assert user.ok("volume", "rm", "data") == "data\n"
        assert "more\n" in user.ok("volume", "prune", "-af")
        assert os.listdir(root / "volumes") == []
        assert os.listdir(root / "tmp") == []
