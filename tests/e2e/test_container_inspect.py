"""What `inspect` and `ps` say of a container, in docker's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support import busybox
from support.cli import Wherry
from support.containers import boxed
from wherry.oci.config import Execution

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def inspected(box: Wherry, name: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box.ok("inspect", *words, name))[0]
    return found


def test_what_was_asked_for_is_told(box: Wherry) -> None:
    box.ok(
        "create", "--name", "web", "-v", "data:/data:ro", "-v", f"{box.root}:/host", "--tmpfs", "/run",
        "--cap-add", "net_admin", "--cap-drop", "MKNOD", "--security-opt", "no-new-privileges", "--read-only",
        "--add-host", "db:10.0.0.2", "--ulimit", "nofile=100:200", "--shm-size", "1m",
        "-p", "127.0.0.1:8080:80", "--dns", "10.0.0.1", "--group-add", "5",
        "-l", "tier=front", "-e", "A=b", "-it", "-u", "web",
        "-w", "/tmp", "-h", "front", "--entrypoint", "sleep", "busybox", "1000",
    )  # fmt: skip
    found = inspected(box, "web")
    host = found["HostConfig"]
    assert (found["Path"], found["Args"]) == ("sleep", ["1000"])
    assert (found["Config"]["Entrypoint"], found["Config"]["Cmd"]) == (["sleep"], ["1000"])
    assert found["State"]["Status"] == "created"
    assert found["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert host["Binds"] == ["data:/data:ro", f"{box.root}:/host"]
    assert list(host["Tmpfs"]) == ["/run"]
    assert (host["CapAdd"], host["CapDrop"]) == (["CAP_NET_ADMIN"], ["CAP_MKNOD"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["ExtraHosts"] == ["db:10.0.0.2"]
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 200, "Soft": 100}]
    assert host["ShmSize"] in (10**6, 1 << 20)
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert (host["PublishAllPorts"], found["Config"]["ExposedPorts"]) == (False, {"80/tcp": {}})
    assert (host["Dns"], host["GroupAdd"]) == (["10.0.0.1"], ["5"])
    config = found["Config"]
    assert {key: config[key] for key in ("Hostname", "User", "Tty", "OpenStdin", "WorkingDir", "Image")} == {
        "Hostname": "front", "User": "web", "Tty": True, "OpenStdin": True, "WorkingDir": "/tmp",
        "Image": "busybox",
    }  # fmt: skip
    assert config["Labels"] == {"tier": "front"}
    assert "A=b" in config["Env"]
    mounts = {mount["Destination"]: mount for mount in found["Mounts"]}
    assert mounts["/data"]["Source"] == f"{box.root}/volumes/data/_data"
    assert (mounts["/data"]["Name"], mounts["/data"]["RW"]) == ("data", False)
    assert (mounts["/host"]["Type"], mounts["/host"]["Source"]) == ("bind", str(box.root))


def test_entrypoint_and_command_of_the_image(box: Wherry) -> None:
    busybox.put(box.root, "entry", Execution(entrypoint=("echo", "a"), cmd=("b",), volumes=("/kept",)))
    box.ok("create", "--name", "one", "entry")
    box.ok("create", "--name", "two", "entry", "c", "d")
    one, two = inspected(box, "one"), inspected(box, "two")
    assert (one["Config"]["Entrypoint"], one["Config"]["Cmd"]) == (["echo", "a"], ["b"])
    assert (two["Path"], two["Args"]) == ("echo", ["a", "c", "d"])
    assert two["Config"]["Cmd"] == ["c", "d"]
    assert one["Config"]["Volumes"] == {"/kept": {}}
    assert one["Mounts"][0]["Driver"] == "local"


def test_networks_and_sizes(box: Wherry) -> None:
    box.ok(
        "run", "--name", "job", "--network", "none", "busybox", "sh", "-c", "head -c 50000 /dev/zero > /file"
    )
    found = inspected(box, "job", "-s")
    assert list(found["NetworkSettings"]["Networks"]) == ["none"]
    assert found["NetworkSettings"]["IPAddress"] == ""
    assert found["SizeRw"] >= 50_000
    assert found["SizeRootFs"] > found["SizeRw"] + 100_000
    assert found["Driver"] in ("overlay", "copy")
    assert "SizeRw" not in inspected(box, "job")
    assert inspected(box, "busybox", "-s")["RepoTags"] == ["busybox:latest"]
    shown = box.ok("ps", "-as", "--format", "{{.Names}} {{.Size}}").split()
    assert shown[0] == "job"
    assert float(shown[1].rstrip("kMB")) > 50 or shown[1].endswith("MB")
    assert box.ok("ps", "-as").splitlines()[0].endswith("NAMES     SIZE")


def test_a_network_with_a_name(box: Wherry) -> None:
    if box("network", "create", "front").code:
        pytest.skip("no networks here")
    try:
        words = ("--network", "front", "--network-alias", "shop")
        started = box("run", "-d", "--name", "web", *words, "busybox", "sleep", "1000")
        assert started.code == 0, started.err
        settings = inspected(box, "web")["NetworkSettings"]
        place = settings["Networks"]["front"]
        assert settings["IPAddress"] == place["IPAddress"] != ""
        assert place["IPPrefixLen"] > 0
        assert place["Aliases"] == ["shop"]
        assert place["MacAddress"].count(":") == 5
        shown = box.ok("ps", "--filter", "network=front", "--format", "{{.Names}} {{.Networks}}")
        assert shown == "web front\n"
        box.ok("rm", "-f", "web")
    finally:
        box("network", "rm", "front")
