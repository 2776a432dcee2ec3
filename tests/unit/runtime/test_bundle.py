from __future__ import annotations

import json
from typing import Any

import pytest

from wherry.base.errors import WherryError
from wherry.runtime.bundle import config
from wherry.runtime.spec import Container, Limit, Mount, Process, User


def container(**changes: Any) -> Container:
    return Container("c", "/rootfs", Process(("true",)))._replace(**changes)


def test_is_json_and_says_what_docker_says() -> None:
    document = json.loads(json.dumps(config(container(hostname="box", read_only=True))))
    assert document["root"] == {"path": "/rootfs", "readonly": True}
    assert document["hostname"] == "box"
    assert document["process"]["user"]["umask"] == 0o022
    assert [mount["destination"] for mount in document["mounts"]] == [
        "/proc", "/dev", "/dev/pts", "/sys", "/dev/mqueue", "/dev/shm",
    ]  # fmt: skip
    assert "/proc/kcore" in document["linux"]["maskedPaths"]
    assert "/proc/sys" in document["linux"]["readonlyPaths"]


def test_capabilities_of_root_and_of_others() -> None:
    root = config(container())["process"]["capabilities"]
    assert len(root["bounding"]) == 14
    assert root["effective"] == root["permitted"] == root["bounding"]
    assert root["inheritable"] == root["ambient"] == []
    other = config(container(process=Process(("true",), user=User(1000))))["process"]["capabilities"]
    assert other["bounding"] == root["bounding"]
    assert other["effective"] == other["permitted"] == []


@pytest.mark.parametrize(("network", "own"), [("host", False), ("none", True), ("private", True)])
def test_network_namespace(network: str, own: bool) -> None:
    linux = config(container(network=network))["linux"]
    assert ({"type": "network"} in linux["namespaces"]) is own
    assert ("sysctl" in linux) is own


def test_mounts_are_cleaned_and_keep_devices_closed() -> None:
    mounts = (
        Mount("bind", "/src", "/a/../b//c/", ("ro",)),
        Mount("bind", "sub", "/d", ("bind", "dev"), root="/store/x"),
        Mount("tmpfs", "", "/t", ("size=1k",)),
    )
    first, second, third = config(container(mounts=mounts))["mounts"][-3:]
    assert first["destination"] == "/b/c"
    assert first["options"] == ["rbind", "ro", "nodev"]
    assert second["options"] == ["bind", "dev"]
    assert second["wherry.root"] == "/store/x"
    assert third["options"] == ["nosuid", "nodev", "size=1k"]


@pytest.mark.parametrize(
    "mount",
    [
        Mount("bind", "/src", "relative"),
        Mount("bind", "relative", "/x"),
        Mount("bind", "/src", "/x/.."),
        Mount("nfs", "/src", "/x"),
    ],
)
def test_mounts_that_are_refused(mount: Mount) -> None:
    with pytest.raises(WherryError):
        config(container(mounts=(mount,)))


def test_refuses_an_unknown_network_and_an_empty_command() -> None:
    with pytest.raises(WherryError, match="unknown network"):
        config(container(network="bridge"))
    with pytest.raises(WherryError, match="no command"):
        config(container(process=Process(())))


def test_unlimited_is_the_greatest_number() -> None:
    process = Process(("true",), limits=(Limit("RLIMIT_CORE", 0, -1),))
    assert config(container(process=process))["process"]["rlimits"] == [
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}
    ]


def test_annotations() -> None:
    assert "annotations" not in config(container())
    assert config(container(annotations=(("a", "b"), ("c", ""))))["annotations"] == {"a": "b", "c": ""}
