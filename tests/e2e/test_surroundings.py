"""What a RUN finds around it, and that nothing of it is in the image: each runtime, as root and as a user."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support import busybox, ordinary, programs
from support.cli import Wherry, write_files
from support.hosts import HOSTS
from wherry.layer.layers import Layers
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "busybox")

FILES = ("hostname", "hosts", "resolv.conf")


class Builder:
    """Builds in a store that has the image `base`."""

    def __init__(self, wherry: Wherry, folder: Path, runtime: str) -> None:
        self.wherry = wherry
        self.folder = folder
        self.runtime = runtime

    def build(self, *lines: str, flags: Sequence[str] = (), env: Mapping[str, str] | None = None) -> str:
        """What the steps printed; the image is named `out`."""
        text = "\n".join(["FROM base", *lines, ""])
        folder = write_files(self.folder / "context", {"Dockerfile": text})
        words = ["build", "--no-cache", "--progress", "plain", "--runtime", self.runtime, "-t", "out"]
        done = self.wherry(*words, *flags, folder, env=env)
        assert done.code == 0, done.err
        output = re.compile(r"#[0-9]+ [0-9]+[.][0-9]+ (?!writing|naming)")
        printed = [line for line in done.err.splitlines() if output.match(line)]
        return "\n".join(line.split(" ", 2)[2] for line in printed)

    def layers(self, count: int) -> list[dict[str, str]]:
        """Paths and link targets of the last layers."""
        with Store.open(str(self.wherry.root)) as store:
            diff_ids = store.images.find("out").config.diff_ids
            layers = Layers(store)
            return [
                {entry.path: entry.link for entry in layers.index(one).entries} for one in diff_ids[-count:]
            ]


@pytest.fixture(params=HOSTS)
def builder(request: pytest.FixtureRequest, wherry: Wherry, tmp_path: Path) -> Iterator[Builder]:
    mode, program = request.param.split("-")
    if program != "native":
        programs.require(program)
    if mode == "root":
        busybox.put(wherry.root, "base")
        yield Builder(wherry, tmp_path, program)
        return
    programs.require("newuidmap", "setpriv")
    with ordinary.user() as someone:
        ordinary.put_busybox(someone, someone.home / "store", "base")
        store = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        yield Builder(store, someone.home, program)


def test_names_of_the_host_are_there_and_in_no_layer(builder: Builder) -> None:
    show = "".join(f"cat /etc/{name} > /dev/null && echo {name};" for name in FILES)
    printed = builder.build(f"RUN {show} hostname; echo x > /x")
    assert printed.split() == [*FILES, "wherry"]
    (layer,) = builder.layers(1)
    assert set(layer) - {"", "x"} == set(), layer


def test_links_in_the_place_of_those_files(builder: Builder) -> None:
    """To nowhere, in a circle, and out of the image: the step sees its files, the image keeps the links."""
    links = {
        "hostname": "/../../../../../tmp/escaped-from-wherry",
        "hosts": "../run/none/hosts",
        "resolv.conf": "/run/systemd/resolve/stub-resolv.conf",
    }
    etc = builder.folder / "context/etc"
    etc.mkdir(parents=True)
    for name, target in links.items():
        (etc / name).symlink_to(target)
    show = "grep -c fd00::7 /etc/hosts; cat /etc/hostname; cat /etc/resolv.conf > /dev/null && echo there"
    printed = builder.build("COPY etc/ /etc/", f"RUN {show}; echo x > /x", flags=("--add-host", "a=fd00::7"))
    assert printed.split() == ["1", "wherry", "there"]
    copied, ran = builder.layers(2)
    assert {name: copied[f"etc/{name}"] for name in links} == links
    assert set(ran) - {"", "x"} == set(), ran
    assert not Path("/tmp/escaped-from-wherry").exists()


def test_a_circle_of_links_is_no_place_for_a_mount(builder: Builder) -> None:
    etc = builder.folder / "context/etc"
    etc.mkdir(parents=True)
    (etc / "hosts").symlink_to("loop")
    (etc / "loop").symlink_to("hosts")
    folder = write_files(builder.folder / "context", {"Dockerfile": "FROM base\nCOPY etc/ /etc/\nRUN true\n"})
    done = builder.wherry("build", "--runtime", builder.runtime, folder)
    assert done.code == 1
    assert "/etc/hosts" in done.err
    assert "Traceback" not in done.err


def test_nothing_of_the_host_s_environment(builder: Builder) -> None:
    canary = "canary" + os.urandom(8).hex()
    hosts = dict.fromkeys(
        ("CANARY", "LD_LIBRARY_PATH", "HTTP_COOKIE", "WHERRY_CANARY", "SSH_AUTH_SOCK"), canary
    )
    printed = builder.build("ENV OWN=1", "RUN env; tr '\\0' '\\n' < /proc/1/environ", env=hosts)
    assert canary not in printed
    seen = {line.partition("=")[0] for line in printed.splitlines()}
    assert seen == {"PATH", "HOME", "OWN", "SHLVL", "PWD"}, printed


def test_no_descriptor_of_the_host_s(builder: Builder, tmp_path: Path) -> None:
    folder = write_files(
        builder.folder / "context", {"Dockerfile": "FROM base\nRUN ls -l /proc/self/fd /proc/1/fd\n"}
    )
    words = [
        *builder.wherry.command,
        "build",
        "--no-cache",
        "--progress",
        "plain",
        "--runtime",
        builder.runtime,
        str(folder),
    ]
    with (tmp_path / "private").open("w") as leaked, open("/etc/passwd") as other:
        done = subprocess.run(
            words,
            env=builder.wherry.environment,
            pass_fds=(leaked.fileno(), other.fileno()),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    targets = {line.rpartition(" -> ")[2] for line in done.stderr.splitlines() if " -> " in line}
    assert all(target == "/dev/null" or target.startswith(("pipe:", "/proc/")) for target in targets), targets


def test_a_step_cannot_change_what_it_is_shown(builder: Builder) -> None:
    script = "for f in hosts hostname resolv.conf; do echo x 2>/dev/null > /etc/$f || echo refused; done"
    assert builder.build(f"RUN ({script}) 2> /dev/null").split() == ["refused"] * 3
