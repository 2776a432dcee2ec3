"""RUN in a network of its own: a way out, and no way to the services of the machine itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support import busybox, ordinary, programs, world
from support.cli import Wherry, write_files
from support.running import processes, unique, wait_until
from support.world import OUTSIDE, PORT, World

pytestmark = pytest.mark.needs("root", "busybox", "ip", "nsenter")

Context = Callable[[Mapping[str, str | bytes]], Path]

ASK = f"{{ printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1; }} | timeout 3 nc %s {PORT} | tail -n 1"
"""The pause is for pasta of 2023, which does not tell of an end that answers another one's."""

LOOK = f"RUN {ASK % OUTSIDE}; {ASK % '127.0.0.1'}; cat /etc/resolv.conf; ls /sys/class/net; false"
TUN = ("mount -t tmpfs none /dev/net", "mknod -m 666 /dev/net/tun c 10 200")
"""A device that everyone may use, as most distributions have it."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world.world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def box(wherry: Wherry) -> Wherry:
    busybox.put(wherry.root, "base")
    return wherry


def on(prefix: Sequence[str], wherry: Wherry) -> Wherry:
    moved = Wherry(wherry.root, wherry.root.parent / "docker", wherry.environment)
    moved.command = [*prefix, *wherry.command]
    return moved


def resolver(folder: Path, *servers: str) -> Path:
    path = folder / "resolv.conf"
    path.write_text("search example.org\n" + "".join(f"nameserver {server}\n" for server in servers))
    return path


def seen(err: str) -> list[str]:
    """What the failed step printed."""
    return err.partition("--------------------")[2].partition("\n\n")[2].partition("-----")[0].split("\n")


@pytest.mark.parametrize("program", ["native", "crun", "runc"])
def test_a_way_out_by_pasta(
    machine: World, box: Wherry, context: Context, tmp_path: Path, program: str
) -> None:
    programs.require("pasta", *(() if program == "native" else (program,)))
    prefix = machine.with_files({"/etc/resolv.conf": resolver(tmp_path, "192.0.2.9", "127.0.0.53")})
    folder = context({"Dockerfile": f"FROM base\n{LOOK}\n"})
    done = on(prefix, box)("build", "--runtime", program, "--network", "private", folder)
    printed = seen(done.err)
    assert printed[0] == f"this is {OUTSIDE}", done.err
    assert "this is 127.0.0.1" not in done.err
    assert [line for line in printed if line.startswith(("search", "nameserver"))] == [
        "search example.org",
        "nameserver 192.0.2.9",
    ]
    assert "v0" in printed


def test_a_way_out_by_slirp4netns(machine: World, box: Wherry, context: Context, tmp_path: Path) -> None:
    programs.require("slirp4netns")
    folder = context({"Dockerfile": f"FROM base\n{LOOK}\n"})
    prefix = machine.with_files({"/etc/resolv.conf": resolver(tmp_path, "192.0.2.9")})
    path = tmp_path / "path"
    path.mkdir()
    for name in ("/usr/bin", "/usr/sbin"):
        for program in Path(name).iterdir():
            if program.name != "pasta" and not (path / program.name).exists():
                (path / program.name).symlink_to(program)
    done = on(prefix, box)("build", "--network", "private", folder, env={"PATH": str(path)})
    printed = seen(done.err)
    assert printed[0] == f"this is {OUTSIDE}", done.err
    assert "this is 127.0.0.1" not in done.err
    assert "nameserver 10.0.2.3" in printed
    assert "tap0" in printed


def test_for_an_ordinary_user(machine: World, tmp_path: Path) -> None:
    programs.require("pasta", "newuidmap", "setpriv")
    with ordinary.user() as someone:
        ordinary.put_busybox(someone, someone.home / "store", "base")
        folder = write_files(someone.home / "context", {"Dockerfile": f"FROM base\n{LOOK}\n"})
        wherry = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        conf = {"/etc/resolv.conf": resolver(tmp_path, "192.0.2.9")}
        done = on(machine.with_files(conf, *TUN), wherry)("build", "--network", "private", folder)
        assert seen(done.err)[0] == f"this is {OUTSIDE}", done.err
        assert "this is 127.0.0.1" not in done.err
        closed = [TUN[0], "mknod -m 600 /dev/net/tun c 10 200"]
        refused = on(machine.with_files(conf, *closed), wherry)("build", "--network", "private", folder)
    assert refused.code == 1
    assert (
        "--network private: this machine gives no network of its own (/dev/net/tun: Permission" in refused.err
    )
    assert "hint: apt-get install passt" in refused.err


def test_the_stub_of_systemd_resolved(machine: World, box: Wherry, context: Context, tmp_path: Path) -> None:
    """127.0.0.53 is the machine's own: it answers on its network, and nowhere else."""
    programs.require("pasta")
    upstream = tmp_path / "upstream"
    upstream.write_text("nameserver 192.0.2.77\n")
    files = {"/etc/resolv.conf": resolver(tmp_path, "127.0.0.53")}
    place = (
        "mount -t tmpfs none /run",
        "mkdir -p /run/systemd/resolve",
        f"cp {upstream} /run/systemd/resolve/resolv.conf",
    )
    prefix = machine.with_files(files, *place)
    folder = context({"Dockerfile": "FROM base\nRUN cat /etc/resolv.conf; false\n"})
    own = on(prefix, box)("build", "--network", "private", folder)
    assert "nameserver 192.0.2.77" in seen(own.err), own.err
    assert "127.0.0.53" not in own.err
    assert "nameserver 127.0.0.53" in seen(on(prefix, box)("build", folder).err)


def test_what_the_instruction_says_goes_before(machine: World, box: Wherry, context: Context) -> None:
    programs.require("pasta")
    text = "FROM base\nRUN --network=none ls /sys/class/net > /none\n"
    text += f"RUN --network=host {ASK % '127.0.0.1'} > /host\n"
    text += "RUN cat /none /host; readlink /proc/self/ns/net; false\n"
    folder = context({"Dockerfile": text})
    done = on(machine.prefix, box)("build", folder, env={"WHERRY_NETWORK": "private"})
    assert seen(done.err)[:2] == ["lo", "this is 127.0.0.1"], done.err


def test_info_names_the_network(machine: World, box: Wherry) -> None:
    programs.require("pasta")
    told = on(machine.prefix, box).ok("info", env={"WHERRY_NETWORK": "private"})
    assert "Network:    pasta\nRUN net:    private\n" in told
    assert "RUN net:    host\n" in box.ok("info")


def test_nothing_is_left_of_it(machine: World, box: Wherry, context: Context) -> None:
    programs.require("pasta")
    mark = unique()
    folder = context({"Dockerfile": f"FROM base\nRUN sleep {mark}\n"})
    for end in ("terminate", "kill"):
        process = on(machine.prefix, box).start("build", "--network", "private", folder)
        wait_until(lambda: len(processes(mark)) >= 1 and bool(processes(f"{box.root}/tmp")))
        getattr(process, end)()
        process.communicate(timeout=30)
        wait_until(lambda: processes(mark) == [] and processes(f"{box.root}/tmp") == [])
