"""The flags that build and run have in common, as docker reads them."""

from __future__ import annotations

import os

import pytest

from wherry.base.errors import UsageError, WherryError
from wherry.base.settings import Settings
from wherry.cli import conditions
from wherry.cli.parser import Parser
from wherry.runtime.conditions import checked
from wherry.runtime.spec import Conditions, Limit, Resources


def read(*words: str, settings: Settings | None = None) -> Conditions:
    parser = Parser(["build"], "")
    conditions.register(parser)
    return conditions.read(parser.parse(list(words)), settings or Settings())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("db:10.0.0.5", ("db", "10.0.0.5")),
        ("db=10.0.0.5", ("db", "10.0.0.5")),
        ("db:::1", ("db", "::1")),
        ("db:[::1]", ("db", "::1")),
        ("db=[fd00::5]", ("db", "fd00::5")),
        ("me:host-gateway", ("me", "host-gateway")),
    ],
)
def test_hosts(word: str, expected: tuple[str, str]) -> None:
    assert read("--add-host", word).hosts == (expected,)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("nofile=64", Limit("RLIMIT_NOFILE", 64, 64)),
        ("nofile=64:128", Limit("RLIMIT_NOFILE", 64, 128)),
        ("core=-1", Limit("RLIMIT_CORE", -1, -1)),
        ("core=0:-1", Limit("RLIMIT_CORE", 0, -1)),
    ],
)
def test_limits(word: str, expected: Limit) -> None:
    assert (
        read("--ulimit", "nofile=1", "--ulimit", "core=1", "--ulimit", word).limits[
            expected.name == "RLIMIT_CORE"
        ]
        == expected
    )


def test_resources() -> None:
    words = "-m 64m --memory-swap -1 --cpus .5 -c 512 --cpuset-cpus 0-1,3 --cpuset-mems 0 --cgroup-parent /x"
    assert read(*words.split()).resources == Resources(
        memory=64 << 20, memory_swap=-1, cpu_quota=50_000, cpu_shares=512, cpus="0-1,3", memory_nodes="0",
        parent="/x",
    )  # fmt: skip
    assert read("--cpu-quota", "2000", "--cpu-period", "9000").resources == Resources(
        cpu_quota=2000, cpu_period=9000
    )


def test_a_flag_goes_before_the_setting() -> None:
    assert read(settings=Settings(runtime="crun")).runtime == "crun"
    assert read("--runtime", "runc", settings=Settings(runtime="crun")).runtime == "runc"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--add-host db", "invalid --add-host db"),
        ("--add-host :10.0.0.5", "invalid --add-host"),
        ("--add-host db:10.0.0", "invalid --add-host"),
        ("--add-host db:1.2.3.4\n1.1.1.1", "invalid --add-host"),
        ("--ulimit nofile", "invalid --ulimit nofile"),
        ("--ulimit nofile=many", "invalid --ulimit"),
        ("--ulimit nofile=1:", "invalid --ulimit"),
        ("--ulimit as=1", "unknown limit 'as'"),
        ("--ulimit nofile=9:1", "the soft limit is above the hard one"),
        ("--ulimit nofile=-1:1", "the soft limit is above the hard one"),
        ("--memory lots", "--memory: invalid size 'lots'"),
        ("--shm-size 1x", "--shm-size: invalid size '1x'"),
        ("--cpus 0", "--cpus 0: from 0.01 to"),
        ("--cpus 99999", "--cpus 99999: from 0.01 to"),
        ("--cpus 1e3", "--cpus 1e3: not a number"),
        ("--cpus 1 --cpu-quota 5000", "in two ways"),
        ("--cpuset-cpus 0-", "invalid --cpuset-cpus 0-"),
    ],
)
def test_what_cannot_be_read(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        read(*words.split(" "))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--memory 5m", "--memory: at least 6m"),
        ("--memory-swap 100m", "--memory-swap needs --memory"),
        ("--memory 100m --memory-swap 50m", "--memory-swap is less than --memory"),
        ("--cpu-shares 1", "--cpu-shares 1: from 2 to 262144"),
        ("--cpu-period 10", "--cpu-period 10: from 1000 to 1000000"),
        ("--cpu-quota 999", "at least 1000 microseconds"),
        ("--cgroup-parent a/../b", "no .. in the path"),
        ("--runtime nope", "the runtime nope is not installed"),
    ],
)
def test_what_cannot_be(words: str, message: str) -> None:
    with pytest.raises(WherryError, match=message):
        checked(read(*words.split(" ")))


def test_a_limit_that_cannot_be_raised_is_named() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert checked(read("--ulimit", f"nofile={soft}:{hard}"))
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
    if effective >> 24 & 1 and os.geteuid() == 0:
        pytest.skip("whoever has CAP_SYS_RESOURCE may raise any limit")
    with pytest.raises(
        WherryError, match=rf"--ulimit nofile: cannot raise the limit to {hard + 1}.* has {hard}"
    ):
        checked(read("--ulimit", f"nofile=1:{hard + 1}"))
