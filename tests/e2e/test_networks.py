"""Containers on networks that users make: they find each other by name, and nobody else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import busybox, modes, nameserver, ordinary, programs
from support.cli import Wherry
from support.containers import boxed, remove_all, state
from support.ports import answers, ask, free, until
from wherry.base import unixsockets

pytestmark = pytest.mark.needs("root", "busybox")

SERVE = ("busybox", "sh", "-c", busybox.SERVE)
FETCH = "timeout 60 sh -c 'until wget -qO- http://%s:8080; do sleep 0.1; done'"
"""What a server says, once it is up."""

NO_FETCH = "timeout 5 wget -qO- http://%s:8080"
"""The same of a server that is not to be found: it is up already."""

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(params=["root", "userns", "single-id"])
def box(request: pytest.FixtureRequest, wherry: Wherry) -> Iterator[Wherry]:
    """A store with the network `n`, of root, of a user with subordinate ids, and of one without."""
    if request.param == "root":
        with boxed(wherry) as box:
            yield _with_network(box)
        return
    programs.require("newuidmap", "setpriv")
    with ordinary.user(subordinate=request.param == "userns") as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        box = Wherry(root, someone.home / "docker", prefix=someone.prefix)
        yield _with_network(box)
        remove_all(box)
        until(lambda: not (root / "networks/keeper/control").exists())


@pytest.fixture
def own(wherry: Wherry) -> Iterator[Wherry]:
    """Root's store alone, for what has nothing to do with modes."""
    with boxed(wherry) as box:
        yield box
    until(lambda: not (wherry.root / "networks/keeper/control").exists())


def _with_network(box: Wherry) -> Wherry:
    assert len(box.ok("network", "create", "n")) == 65
    return box


def sh(box: Wherry, name: str, script: str) -> str:
    """What a shell prints in a running container."""
    return box("exec", name, "sh", "-c", script).out


def keeper(box: Wherry) -> int:
    """The process ID of who listens for monitors."""
    with unixsockets.connect(str(box.root / "networks/keeper"), "control") as connection:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(raw[:4], sys.byteorder)


def complaints(box: Wherry) -> str:
    """What the monitors and the keeper have complained of."""
    files = [*box.root.glob("containers/*/monitor.log"), box.root / "networks/keeper/log"]
    return "".join(path.read_text() for path in files)


def test_containers_find_each_other_by_name(box: Wherry) -> None:
    port = free()
    box.ok(
        "run", "-d", "--name", "Web", "--network", "n", "--network-alias", "www", "-p", f"{port}:8080", *SERVE
    )
    container = box.ok("ps", "-q").strip()
    until(lambda: answers(port))
    names = ("Web", "web", "www", container, "Web.n", "www.n")
    script = "; ".join(FETCH % name for name in names)
    shown = box.ok("run", "--rm", "--network", "n", "busybox", "sh", "-c", script)
    assert shown == busybox.GREETING * len(names)
    # Its own address, and its own name; the published port is the same server.
    assert sh(box, "Web", f"{FETCH % 'web'}; grep -c {container} /etc/hosts") == f"{busybox.GREETING}1\n"
    assert ask(port) == busybox.GREETING
    place = json.loads(box.ok("network", "inspect", "n"))[0]["Containers"]
    assert [one["Name"] for one in place.values()] == ["Web"]
    address = next(iter(place.values()))["IPv4Address"].partition("/")[0]
    reverse = box.ok("run", "--rm", "--network", "n", "busybox", "nslookup", address)
    assert "name = web.n" in reverse
    assert complaints(box) == ""


def test_nobody_is_found_on_another_network(box: Wherry) -> None:
    """Neither by name nor by address, not even where both ends know a way through the networks' keeper."""
    box.ok("network", "create", "other")
    able = ("--cap-add", "NET_ADMIN")
    box.ok("run", "-d", "--name", "web", "--network", "n", *able, *SERVE)
    box.ok("run", "-d", "--name", "spy", "--network", "other", *able, *SLEEP)
    addresses = {name: _place(box, name) for name in ("web", "spy")}
    for name, other in (("web", "spy"), ("spy", "web")):
        gateway = addresses[name]["Gateway"]
        route = f"ip route add {addresses[other]['IPAddress']} via {gateway} && ip route get {gateway}"
        assert gateway in sh(box, name, route)
    assert sh(box, "spy", f"{NO_FETCH % 'web'}; {NO_FETCH % addresses['web']['IPAddress']}") == ""
    box.ok("run", "-d", "--name", "both", "--network", "n", "--network", "other", *SLEEP)
    assert sh(box, "both", FETCH % "web") == busybox.GREETING
    assert "bytes from" in sh(box, "spy", "ping -c 1 both")
    assert "bytes from" in sh(box, "web", "ping -c 1 both")


def _place(box: Wherry, name: str) -> dict[str, str]:
    """Where a container is on its network."""
    (place,) = json.loads(box.ok("inspect", name))[0]["NetworkSettings"]["Networks"].values()
    return {key: str(value) for key, value in place.items()}


def test_the_keeper_ends_with_the_last_container(box: Wherry) -> None:
    folder = box.root / "networks/keeper"
    for name in ("ann", "bob"):
        box.ok("run", "-d", "--name", name, "--network", "n", *SLEEP)
    first = keeper(box)
    box.ok("rm", "-f", "ann")
    assert keeper(box) == first
    box.ok("rm", "-f", "bob")
    until(lambda: not (folder / "control").exists() and not os.path.exists(f"/proc/{first}"))
    assert complaints(box) == ""


def test_a_killed_keeper_is_replaced(box: Wherry) -> None:
    """Connections go on meanwhile, and so do the addresses; names are found again."""
    for name in ("ann", "bob"):
        box.ok("run", "-d", "--name", name, "--network", "n", "-v", "data:/data", *SERVE)
    before = json.loads(box.ok("network", "inspect", "n"))
    for times in (1, 2):
        _replace_keeper(box, 2 * times)
        assert sh(box, "ann", FETCH % "bob") == busybox.GREETING
    box.ok("run", "-d", "--name", "cat", "--network", "n", *SERVE)
    assert sh(box, "cat", FETCH % "bob") + sh(box, "bob", FETCH % "cat") == 2 * busybox.GREETING
    after = json.loads(box.ok("network", "inspect", "n"))
    assert before[0]["Containers"].items() < after[0]["Containers"].items()
    refused = box("network", "rm", "n")
    assert refused.code == 1
    assert "in use by running containers" in refused.err
    # It has nothing of the containers whose monitors have started it.
    mounts = Path(f"/proc/{keeper(box)}/mountinfo").read_text()
    assert str(box.root) not in mounts


def _replace_keeper(box: Wherry, complained: int) -> None:
    """Kill it, and wait until its monitors have complained that often and another one is there."""
    killed = keeper(box)
    os.kill(killed, signal.SIGKILL)
    until(lambda: complaints(box).count("there is another") == complained)
    assert keeper(box) != killed


def test_killed_with_all_monitors(box: Wherry) -> None:
    """Nothing is left, and nothing is in the way of the next."""
    box.ok("run", "-d", "--name", "ann", "--network", "n", *SLEEP)
    monitors = [json.loads(path.read_text())["monitor"] for path in box.root.glob("containers/*/state.json")]
    victims = [monitors[0]["pid"], keeper(box)]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in victims))
    assert state(box, "ann").startswith("Exited (255)")
    box.ok("run", "-d", "--name", "bob", "--network", "n", *SERVE)
    box.ok("start", "ann")
    until(lambda: sh(box, "ann", FETCH % "bob") == busybox.GREETING)


def test_network_of_another_container(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", "--network", "n", "--hostname", "webhost", *SERVE)
    box.ok("run", "-d", "--name", "side", "--network", "container:web", *SLEEP)
    assert sh(box, "side", f"{FETCH % 'localhost'}; {FETCH % 'web'}") == 2 * busybox.GREETING
    assert sh(box, "side", "hostname; cat /etc/hosts") == sh(box, "web", "hostname; cat /etc/hosts")
    # A third one is in the network of the first, and so is one that comes by the second's name.
    third = ("run", "--rm", "--network", "container:side", "busybox", "sh", "-c", FETCH % "localhost")
    assert box.ok(*third) == busybox.GREETING
    box.ok("stop", "-t", "0", "web")
    refused = box(*third)
    assert refused.code == 125
    assert "cannot join the network of container web: it is not running" in refused.err
    for words in (("-p", "8080"), ("--hostname", "x"), ("--add-host", "a:192.0.2.1"), ("--dns", "192.0.2.1")):
        assert box("run", *words, "--network", "container:web", *SLEEP).code == 125


def test_containers_come_to_networks_and_leave_them(box: Wherry) -> None:
    box.ok("network", "create", "more")
    box.ok("run", "-d", "--name", "web", "--network", "more", *SERVE)
    box.ok("run", "-d", "--name", "ann", "--network", "n", *SLEEP)
    assert sh(box, "ann", NO_FETCH % "web") == ""
    box.ok("network", "connect", "--alias", "anna", "more", "ann")
    assert sh(box, "ann", FETCH % "web") == busybox.GREETING
    assert "bytes from" in sh(box, "web", "ping -c 1 anna")
    shown = json.loads(box.ok("network", "inspect", "more"))[0]["Containers"].values()
    assert sorted(one["Name"] for one in shown) == ["ann", "web"]
    again = box("network", "connect", "more", "ann")
    assert "is connected to network more already" in again.err
    # Nobody else asks for the first network's name server any more, so it goes with the network.
    box.ok("network", "disconnect", "n", "ann")
    assert box.ok("network", "rm", "n") == "n\n"
    assert sh(box, "ann", FETCH % "web") == busybox.GREETING
    box.ok("network", "disconnect", "more", "ann")
    shown = sh(box, "ann", f"{NO_FETCH % 'web'}; ls /sys/class/net")
    assert busybox.GREETING not in shown and "eth1" not in shown
    assert "not connected" in box("network", "disconnect", "more", "ann").err
    box.ok("network", "disconnect", "-f", "more", "ann")
    # What has been changed is so at the next start, too.
    box.ok("network", "connect", "more", "ann")
    box.ok("restart", "-t", "0", "ann")
    assert sh(box, "ann", FETCH % "web") == busybox.GREETING
    assert complaints(box) == ""


def test_a_container_that_ran_alone_comes_to_a_network(box: Wherry) -> None:
    """As root while it runs; a user's container has a user namespace of its own, and has to start again."""
    box.ok("run", "-d", "--name", "web", "--network", "n", *SERVE)
    box.ok("run", "-d", "--name", "ann", *SLEEP)
    done = box("network", "connect", "n", "ann")
    if box.prefix or modes.CHOSEN not in ("", "auto", "root"):
        assert done.code == 1
        assert "in a user namespace of its own" in done.err
        box.ok("stop", "-t", "0", "ann")
        box.ok("network", "connect", "n", "ann")
        box.ok("start", "ann")
    assert sh(box, "ann", FETCH % "web") == busybox.GREETING
    for network in ("host", "none"):
        box.ok("create", "--name", f"with-{network}", "--network", network, *SLEEP)
        refused = box("network", "connect", "n", f"with-{network}")
        assert f"it was created with --network {network}" in refused.err
    assert box("network", "connect", "n", "ann").code == 1
    assert box("network", "connect", "nosuch", "ann").code == 1
    assert box("network", "connect", "--link", "a", "n", "ann").code == 1


@pytest.mark.parametrize("name", [r"x\377", r"x\302\205"], ids=["bytes", "line-end"])
def test_devices_of_any_name(own: Wherry, name: str) -> None:
    """A container with rights over its devices calls them what it likes, and harms nobody but itself."""
    own.ok("network", "create", "n")
    own.ok("network", "create", "m")
    own.ok("run", "-d", "--name", "web", "--network", "n", "--cap-add", "NET_ADMIN", *SLEEP)
    own.ok("exec", "web", "sh", "-c", f"ip link add name \"$(printf '{name}')\" type veth")
    assert own.ok("stats", "--no-stream", "--format", "{{.Name}}") == "web\n"
    own.ok("network", "connect", "m", "web")
    assert "eth1" in sh(own, "web", "ls /sys/class/net")


def test_a_new_name_is_found(box: Wherry) -> None:
    box.ok("run", "-d", "--name", "web", "--network", "n", "--network-alias", "www", *SERVE)
    box.ok("run", "-d", "--name", "ann", "--network", "n", *SLEEP)
    box.ok("rename", "web", "shop")
    script = f"{FETCH % 'shop'}; {FETCH % 'www'}; {NO_FETCH % 'web'}"
    assert sh(box, "ann", script) == 2 * busybox.GREETING
    _replace_keeper(box, 2)
    assert sh(box, "ann", script) == 2 * busybox.GREETING


def test_what_happens_is_told(own: Wherry) -> None:
    own.ok("network", "create", "n")
    own.ok("run", "--rm", "--name", "ann", "--network", "n", "busybox", "true")
    own.ok("network", "rm", "n")
    words = ("--since", "0", "--until", "0s", "--filter", "type=network", "--format", "{{.Action}}")
    assert own.ok("events", *words).split() == ["create", "connect", "disconnect", "destroy"]


def test_a_users_own_number_on_a_network(box: Wherry) -> None:
    """Those who share a user namespace share its numbers; with a single id it is always the user's own."""
    done = box("run", "--rm", "--userns", "keep-id", "--network", "n", "busybox", "id", "-u")
    if done.code:
        told = "cannot be had on the network n" if box.prefix else "is for ordinary users"
        assert (done.code, told in done.err) == (125, True), done.err
    else:
        assert done.out == f"{ordinary.UID}\n"


def test_restarted_by_policy(box: Wherry) -> None:
    """It has its address and its names again."""
    script = "test -e /root/once || { touch /root/once; sleep 1; exit 3; }; " + busybox.SERVE
    box.ok(
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "n",
        "--restart",
        "on-failure",
        "busybox",
        "sh",
        "-c",
        script,
    )
    before = box.ok("network", "inspect", "n")
    box.ok("run", "-d", "--name", "ann", "--network", "n", *SLEEP)
    until(lambda: sh(box, "ann", FETCH % "web") == busybox.GREETING)
    after = json.loads(box.ok("network", "inspect", "n"))[0]["Containers"]
    assert json.loads(before)[0]["Containers"].items() < after.items()


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_other_runtimes(box: Wherry, program: str) -> None:
    programs.require(program)
    box.ok("run", "-d", "--name", "web", "--network", "n", *SERVE)
    run = ("run", "--rm", "--runtime", program)
    done = box(*run, "--network", "n", "busybox", "sh", "-c", FETCH % "web")
    if done.code == 125 and "one id" in done.err:
        pytest.skip("other runtimes need subordinate ids")
    assert done.out == busybox.GREETING, done.err
    shared = box.ok(*run, "--network", "container:web", "busybox", "sh", "-c", FETCH % "localhost")
    assert shared == busybox.GREETING


def test_addresses_and_names_that_are_asked_for(own: Wherry) -> None:
    own.ok("network", "create", "--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/25", "--ipv6", "n")
    subnet = json.loads(own.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", "n"))[1]["Subnet"]
    chosen = subnet.replace("/64", "") + "77"
    place = f"name=n,alias=one,alias=two,ip=10.77.0.7,ip6={chosen},mac-address=02:00:00:00:00:77"
    own.ok("run", "-d", "--name", "web", "--network", place, *SERVE)
    told = json.loads(own.ok("inspect", "web"))[0]
    assert told["HostConfig"]["NetworkMode"] == "n"
    place = told["NetworkSettings"]["Networks"]["n"]
    assert (place["IPAddress"], place["IPPrefixLen"]) == ("10.77.0.7", 24)
    assert (place["GlobalIPv6Address"], place["MacAddress"]) == (chosen, "02:00:00:00:00:77")
    assert place["DNSNames"] == ["web", "one", "two", told["Id"][:12]]
    assert own.ok("ps", "--format", "{{.Networks}}") == "n\n"
    shown = sh(own, "web", "ip address show eth0")
    assert "10.77.0.7/24" in shown and f"{chosen}/64" in shown and "02:00:00:00:00:77" in shown
    script = f"{FETCH % 'one'}; {FETCH % 'two'}; {FETCH % f'[{chosen}]'}; ip address show eth0; nslookup one"
    other = own.ok("run", "--rm", "--network", "n", "busybox", "sh", "-c", script)
    assert other.startswith(3 * busybox.GREETING)
    assert "inet 10.77.0.128/24" in other
    assert f"Address: {chosen}\n" in other
    taken = own("run", "--rm", "--network", "n", "--ip", "10.77.0.7", *SLEEP)
    assert taken.code == 125
    assert "10.77.0.7 is in use on the network n already" in taken.err
    for address in ("10.78.0.7", "10.77.0.0", "10.77.0.1", "10.77.0.255", "fd00::1", "x"):
        assert own("run", "--rm", "--network", "n", "--ip", address, *SLEEP).code == 125, address
    # One that was given back is the last to be given again.
    again = own.ok("run", "--rm", "--network", "n", "busybox", "ip", "address", "show", "eth0")
    assert "inet 10.77.0.1" in again and "inet 10.77.0.128/" not in again


def test_internal_network_leads_nowhere(own: Wherry) -> None:
    own.ok("network", "create", "--internal", "inside")
    own.ok("run", "-d", "--name", "web", "--network", "inside", *SERVE)
    shown = own.ok(
        "run", "--rm", "--network", "inside", "busybox", "sh", "-c", f"{FETCH % 'web'}; ls /sys/class/net"
    )
    assert shown == f"{busybox.GREETING}eth0\nlo\n"
    refused = own("run", "--rm", "--network", "inside", "-p", "8080", *SLEEP)
    assert refused.code == 125
    assert "-p needs a network that leads outside, and inside is internal" in refused.err


def test_networks_come_and_go_while_containers_start(own: Wherry) -> None:
    """Each command does what it says or refuses it, and none waits for another for ever."""
    own.ok("network", "create", "n")
    starts = [own.start("run", "--rm", "--network", "n", "busybox", "true") for _ in range(4)]
    removals = [own.start("network", "rm", "n") for _ in range(4)]
    refused = 0
    for process in (*starts, *removals):
        _, err = process.communicate(timeout=120)
        refused += process.returncode != 0
        assert process.returncode == 0 or b"network n not found" in err or b"in use by running" in err, err
    assert refused >= 3
    own("network", "rm", "n")
    assert own.ok("network", "ls", "-q", "--filter", "type=custom") == ""


@contextmanager
def machine(folder: Path) -> Iterator[list[str]]:
    """What to put before a command that is to run where a name server is on the loopback device."""
    conf = folder / "resolv.conf"
    conf.write_text("search example.org\nnameserver 127.0.0.1\n")
    script = f"""
        ip link set lo up; mount --bind {conf} /etc/resolv.conf
        exec {sys.executable} {nameserver.__file__} 127.0.0.1
    """
    process = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        yield ["nsenter", "-t", str(process.pid), "-n", "-m"]
    finally:
        process.kill()
        process.wait()


@pytest.mark.needs("ip", "nsenter")
def test_other_names_are_asked_of_the_hosts_name_servers(own: Wherry, tmp_path: Path) -> None:
    """They may listen on the host's loopback device, where no container reaches them. The host has no other
    network here: neither pasta nor slirp4netns are to give an answer."""
    own.ok("network", "create", "n")
    own.ok("network", "create", "--internal", "inside")
    with machine(tmp_path) as prefix:
        there = Wherry(own.root, tmp_path / "docker", prefix=prefix)
        script = "cat /etc/resolv.conf; nslookup away.test; nslookup no.test; nslookup n; true"
        shown = there.ok("run", "--rm", "--network", "n", "busybox", "sh", "-c", script)
        assert shown.startswith("search example.org\noptions ndots:0\nnameserver 10.")
        assert "Address: 192.0.2.53" in shown
        assert "can't find no.test: NXDOMAIN" in shown
        inside = there("run", "--rm", "--network", "inside", "busybox", "nslookup", "away.test")
        assert "SERVFAIL" in inside.out and "192.0.2.53" not in inside.out
        # Who is on another network too asks there: on this one anybody can ask in his name.
        both = ("run", "--rm", "--network", "inside", "--network", "n", "busybox", "nslookup", "away.test")
        assert "Address: 192.0.2.53" in there(*both).out
        gateway = own.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "inside").strip()
        assert "SERVFAIL" in there(*both, gateway).out
        words = (
            "--dns",
            "192.0.2.9",
            "--dns-search",
            "a.test",
            "--dns-search",
            "b.test",
            "--dns-option",
            "use-vc",
        )
        conf = there.ok("run", "--rm", "--network", "n", *words, "busybox", "cat", "/etc/resolv.conf")
        assert conf.splitlines()[:2] == ["search a.test b.test", "options use-vc"]
        conf = there.ok("run", "--rm", *words, "busybox", "cat", "/etc/resolv.conf")
        assert conf == "search a.test b.test\noptions use-vc\nnameserver 192.0.2.9\n"


ASK_BY_TCP = """
import socket, struct, sys
def question(name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 9, 256, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!HH", 1, 1)
def framed(message):
    return struct.pack("!H", len(message)) + message
connection = socket.create_connection((sys.argv[1], 53), timeout=60)
whole = b"".join(framed(question(name)) for name in sys.argv[2:])
connection.sendall(whole[:5])
connection.sendall(whole[5:])
with connection.makefile("rb") as answers:
    for name in sys.argv[2:]:
        answer = answers.read(int.from_bytes(answers.read(2), "big"))
        print(name, answer[3] & 15, socket.inet_ntoa(answer[-4:]) if answer[7] else "nothing")
    connection.sendall(framed(b"no question"))
    print(answers.read())
"""


@pytest.mark.needs("ip", "nsenter")
def test_names_by_tcp(own: Wherry, tmp_path: Path) -> None:
    """Several questions in one go are answered in their order; what is no question ends the connection."""
    own.ok("network", "create", "--subnet", "10.66.0.0/24", "n")
    with machine(tmp_path) as prefix:
        there = Wherry(own.root, tmp_path / "docker", prefix=prefix)
        there.ok("run", "-d", "--name", "web", "--network", "n", *SLEEP)
        pid = own.ok("inspect", "-f", "{{.State.Pid}}", "web").strip()
        words = ["nsenter", "-t", pid, "-n", sys.executable, "-c", ASK_BY_TCP, "10.66.0.1"]
        names = ["web", "away.test", "no.test", "web.n"]
        shown = subprocess.run([*words, *names], capture_output=True, text=True, check=True).stdout
        # Who asks from an address of nobody's is refused.
        alone = ["nsenter", "-t", pid, "-n", "ip", "address", "add", "10.66.0.99/24", "dev", "eth0"]
        subprocess.run(alone, check=True)
        stranger = ASK_BY_TCP.replace("timeout=60", "source_address=('10.66.0.99', 0)")
        refused = subprocess.run([*words[:6], stranger, "10.66.0.1", "web"], capture_output=True, text=True)
        there.ok("rm", "-f", "web")
    assert shown.splitlines() == [
        "web 0 10.66.0.2", "away.test 0 192.0.2.54", "no.test 3 nothing", "web.n 0 10.66.0.2", "b''",
    ]  # fmt: skip
    assert refused.stdout.splitlines()[0] == "web 5 nothing"


def test_networks_are_listed_inspected_and_removed(own: Wherry) -> None:
    own.ok("network", "create", "--label", "a=b", "one")
    own.ok("network", "create", "two")
    own.ok("create", "--network", "two", *SLEEP)
    assert own.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines() == [
        "default private", "host host", "none null", "one bridge", "two bridge",
    ]  # fmt: skip
    for word, names in (
        ("type=custom", "one two"), ("name=tw", "two"), ("label=a=b", "one"), ("dangling=true", "one"),
        ("driver=host", "host"),
    ):  # fmt: skip
        assert own.ok("network", "ls", "-f", word, "--format", "{{.Name}}").split() == names.split(), word
    one = own.ok("network", "ls", "-q", "-f", "label=a=b").strip()
    assert own.ok("network", "inspect", "-f", "{{.Name}} {{.Labels.a}}", one) == "one b\n"
    assert own.ok("network", "inspect", "-f", "{{.Driver}}", "bridge") == "private\n"
    assert own.ok("inspect", "-f", "{{.Labels.a}}", "one") == own.ok(
        "inspect", "--type", "network", "-f", "{{.Labels.a}}", one
    )
    for words in (
        "create one", "create default", "create _", "inspect three", "rm host", "create -d overlay x",
        "create --subnet 10.89.0.0/16 x", "create -o a=b x", "create --gateway 10.0.0.1 x",
    ):  # fmt: skip
        assert own("network", *words.split()).code, words
    assert own.ok("network", "prune", "-f") == "Deleted Networks:\none\n"
    assert own.ok("network", "rm", "two") == "two\n"
    missing = own("start", own.ok("ps", "-aq").strip())
    assert missing.code == 1
    assert "network two not found" in missing.err
    assert own("run", "--network", "two", *SLEEP).code == 125


@pytest.mark.parametrize(
    "words, told",
    [
        (("--link", "a:b"), "--link is not supported"),
        (("--network-alias", "a"), "--network-alias needs a network that was made"),
        (("--ip", "10.0.0.1"), "--ip needs a network that was made"),
        (("--network", "host", "--network", "none"), "cannot be had together"),
        (("--network", "nosuch"), "network nosuch not found"),
        (("--network", "container:nosuch"), "no such container"),
        (("--network", "name=n,driver-opt=x"), "driver-opt is not supported"),
        (("--network", "name=host"), "host is no network that somebody has made"),
        (("--network", "a/b"), "invalid network"),
        (("--dns", "x"), "invalid IP address: --dns x"),
        (("--network", "name=nosuch,mac-address=01:00:00:00:00:00"), "is no single device's"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_refused(own: Wherry, words: tuple[str, ...], told: str) -> None:
    done = own("run", "--rm", *words, *SLEEP)
    assert done.code == 125
    assert told in done.err
