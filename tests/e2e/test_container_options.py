"""Options of run and create that are about the container as a whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox
from support.busybox import GREETING, SERVE
from support.cli import COMMAND, Wherry
from support.containers import boxed
from support.ports import answers, ask, free, until
from wherry.cli import create, run
from wherry.cli.flags.refused import REFUSED
from wherry.cli.parser import Parser
from wherry.oci.config import Execution

pytestmark = pytest.mark.needs("root", "busybox")

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


def test_id_file(box: Wherry, tmp_path: Path) -> None:
    path = tmp_path / "id"
    assert box.ok("create", "--cidfile", path, "busybox") == f"{path.read_text()}\n"
    again = box("run", "--cidfile", path, "busybox", "true")
    assert (again.code, "the file exists" in again.err) == (125, True)
    path.unlink()
    assert box(*RUN, "--cidfile", path, "--pull", "never", "nosuch").code == 125
    assert not path.exists()
    assert box(*RUN, "--cidfile", tmp_path / "none" / "id", "busybox").code == 125
    assert len(box.ok("ps", "-aq").split()) == 1


def test_streams_that_are_asked_for(box: Wherry) -> None:
    script = ("busybox", "sh", "-c", "echo out; echo err >&2; cat; exit 3")
    for words, out, err in (
        (("-a", "stdout"), "out\n", ""),
        (("-a", "STDERR"), "", "err\n"),
        (("-i", "-a", "stdin", "-a", "stdout"), "out\ntyped", ""),
        (("-a", "stdout", "--attach=stderr"), "out\n", "err\n"),
    ):
        result = box(*RUN, *words, *script, stdin="typed" if "stdin" in words else "")
        assert (result.code, result.out, result.err) == (3, out, err), words
    assert box(*RUN, "-a", "stdlog", "busybox", "true").code == 125
    assert box(*RUN, "-d", "-a", "stdout", "busybox", "true").code == 125


def test_streams_without_output(box: Wherry) -> None:
    """docker's form for programs that are fed and left alone: the ID is printed when stdin is at its end."""
    fed = box(
        "run", "-i", "-a", "stdin", "--network", "none", "busybox", "sh", "-c", "cat; exit 3", stdin="typed"
    )
    assert (fed.code, fed.err) == (0, "")
    assert re.fullmatch("[0-9a-f]{64}\n", fed.out)
    assert box.ok("wait", fed.out.strip()) == "3\n"
    assert box.ok("logs", fed.out.strip()) == "typed"


def test_stdin_that_is_not_attached_is_left_to_the_caller(box: Wherry) -> None:
    words = [*COMMAND, *RUN, "-i", "-a", "stdout", "busybox", "echo", "done"]
    script = 'first=$("$@"); echo "$first"; cat'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], input="mine", capture_output=True, text=True, env=box.environment
    )
    assert done.stdout == "done\nmine"


def test_all_exposed_ports(box: Wherry) -> None:
    busybox.put(box.root, "server", Execution(exposed_ports=("8080/tcp", "53/udp")))
    port = free()
    words = ("-P", "-p", f"{port}:9000", "--expose", "9000", "--expose", "7000-7001/udp")
    box.ok("run", "-d", "--name", "web", *words, "server", "sh", "-c", SERVE)
    found = json.loads(box.ok("inspect", "web"))[0]
    assert found["HostConfig"]["PublishAllPorts"] is True
    ports = found["NetworkSettings"]["Ports"]
    assert set(ports) == {"8080/tcp", "53/udp", "9000/tcp", "7000/udp", "7001/udp"}
    assert [binding["HostPort"] for binding in ports["9000/tcp"]] == [str(port)]
    for network in ("none", "host"):
        told = box("run", "--rm", "-P", "--network", network, "server", "true").err
        assert ("-P needs a network" if network == "none" else "published ports are discarded") in told
    chosen = int(ports["8080/tcp"][0]["HostPort"])
    until(lambda: answers(chosen))
    assert ask(chosen) == GREETING


def test_exposed_ports_are_shown(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", "--expose", "9000", "busybox", "sleep", "60")
    assert box.ok("ps", "--format", "{{.Ports}}") == "9000/tcp\n"


def test_first_free_port_of_a_range(box: Wherry) -> None:
    first = next(port for port in iter(free, None) if port < 32_000)
    box.ok("run", "-d", "--name", "one", "-p", f"127.0.0.1:{first}-{first + 3}:80", "busybox", "sleep", "60")
    box.ok("run", "-d", "--name", "two", "-p", f"127.0.0.1:{first}-{first + 3}:80", "busybox", "sleep", "60")
    one, two = (int(box.ok("port", name, "80").strip().rpartition(":")[2]) for name in ("one", "two"))
    assert first <= one < two <= first + 3
    taken = box("run", "-d", "-p", f"127.0.0.1:{one}-{one}:80", "busybox", "sleep", "60")
    assert (taken.code, "in use" in taken.err) == (125, True)


def test_signal_and_time_of_a_stop(box: Wherry) -> None:
    script = "trap 'exit 7' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
    words = ("--network", "none", "busybox", "sh", "-c", script)
    box.ok("run", "-d", "--name", "web", "--stop-signal", "SIGUSR1", *words)
    until(lambda: box.ok("logs", "web") == "up\n")
    box.ok("stop", "web")
    assert box.ok("wait", "web") == "7\n"
    box.ok("run", "-d", "--name", "deaf", "--stop-timeout", "0", *words)
    box.ok("stop", "deaf")
    assert box.ok("wait", "deaf") == "137\n"
    assert box("create", "--stop-signal", "SIGNONE", "busybox").code != 0
    assert box("create", "--stop-timeout", "soon", "busybox").code == 125
    assert box.ok("ps", "-aq", "--filter", "status=created") == ""


def test_labels_of_a_file(box: Wherry, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# comment\nfrom=file\nboth=file value\nbare\n")
    box.ok("create", "--name", "web", "--label-file", tmp_path / "labels", "--label", "both=flag", "busybox")
    labels = json.loads(box.ok("inspect", "web"))[0]["Config"]["Labels"]
    assert labels == {"from": "file", "both": "flag", "bare": ""}
    assert box("create", "--label-file", tmp_path / "none", "busybox").code == 125


@pytest.mark.parametrize("flag", sorted(REFUSED))
def test_what_is_not_there_is_refused_by_its_name(box: Wherry, flag: str) -> None:
    refused = box("create", flag, "1", "busybox")
    assert (refused.code, refused.out) == (125, "")
    assert refused.err.startswith(f"error: {flag} is not supported: ")


DOCKER = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus
cpuset-cpus cpuset-mems detach detach-keys device device-cgroup-rule device-read-bps device-read-iops
device-write-bps device-write-iops disable-content-trust dns dns-option dns-opt dns-search domainname
entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries
health-start-interval health-start-period health-timeout help hostname init interactive io-maxbandwidth
io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver log-opt
mac-address memory memory-reservation memory-swap memory-swappiness mount name net net-alias network
network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform privileged publish
publish-all pull quiet read-only restart rm runtime security-opt shm-size sig-proxy stop-signal
stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume volume-driver
volumes-from workdir
"""
"""All flags of `docker run` (28.0), those that its help hides among them."""


def test_every_flag_of_docker_is_known() -> None:
    parser = Parser(["run"], "")
    run.register(parser)
    has = {name for action in parser._actions for name in action.option_strings}
    assert not has & set(parser.refused), "what is there is not refused"
    docker = {f"--{name}" for name in DOCKER.split()}
    assert docker - has - set(parser.refused) == set()
    assert set(parser.refused) <= docker


def test_create_tells_how_to_attach(box: Wherry) -> None:
    parser = Parser(["create"], "")
    create.register(parser)
    assert {"-a", "--attach"} <= set(parser.refused)
    for flag in ("-a", "--attach"):
        assert "wherry start -a" in box("create", flag, "stdout", "busybox").err
    assert os.listdir(box.root / "volumes") == []
