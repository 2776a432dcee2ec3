"""Every example: built, run, asked, pushed, removed, pulled, run again, and read by other tools."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support import foreign
from support.cli import Wherry
from support.web import ask, free_port

pytestmark = pytest.mark.needs("skopeo", "umoci")

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example(NamedTuple):
    folder: str
    dockerfile: str
    port: int
    answer: str
    user: str
    """As the image's config names it."""
    file: str
    """A path that must be in the image."""

    @property
    def name(self) -> str:
        return f"{self.folder}-{self.dockerfile.lower().replace('.', '-')}"


FLASK = "Hello from my custom Docker image!"
LIST = [
    Example("flask", "Dockerfile", 5000, FLASK, "", "app/app.py"),
    Example("flask", "Dockerfile.multistage", 5000, FLASK, "app", "home/app/.local/bin/flask"),
    Example("node-web", "Dockerfile", 3000, "Hello from Node.js", "node", "app/node_modules/ms/index.js"),
    Example("c-multistage", "Dockerfile", 8080, "Hello from a static binary!", "nobody", "bin/server"),
    Example(
        "c-multistage", "Dockerfile.scratch", 8080, "Hello from a static binary!", "65534:65534", "server"
    ),
    Example("static-nginx", "Dockerfile", 80, "Hello from a static site!", "www-data", "srv/site/index.html"),
]


@contextmanager
def running(wherry: Wherry, image: str, port: int) -> Iterator[int]:
    """A container of `image`; the port of this machine at which its `port` answers."""
    outside = free_port()
    container = wherry.ok("run", "-d", "-p", f"127.0.0.1:{outside}:{port}", image).strip()
    try:
        yield outside
    finally:
        wherry.ok("stop", "-t", "1", container)
        wherry.ok("rm", container)


def build(wherry: Wherry, example: Example, *flags: str, tag: str = "") -> str:
    tag = tag or f"examples/{example.name}"
    folder = EXAMPLES / example.folder
    wherry.ok("build", "-q", "-t", tag, "-f", folder / example.dockerfile, *flags, folder)
    return tag


@pytest.mark.parametrize("example", LIST, ids=lambda example: example.name)
def test_an_example_from_build_to_pull(
    shared: Wherry, registry: str, tmp_path: Path, example: Example
) -> None:
    tag = build(shared, example)
    with running(shared, tag, example.port) as port:
        assert example.answer in ask(port)

    remote = f"{registry}/{tag}:v1"
    image_id = shared.ok("inspect", "--format", "{{.Id}}", tag)
    shared.ok("tag", tag, remote)
    shared.ok("push", "-q", remote)
    shared.ok("rmi", tag, remote)
    assert shared("inspect", remote).code == 1
    shared.ok("pull", "-q", remote)
    assert shared.ok("inspect", "--format", "{{.Id}}", remote) == image_id
    with running(shared, remote, example.port) as port:
        assert example.answer in ask(port)

    check_with_skopeo_and_umoci(remote, example, tmp_path)


def check_with_skopeo_and_umoci(remote: str, example: Example, folder: Path) -> None:
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{remote}", f"oci:{folder}/image:v1"]
    subprocess.run(copy, check=True)
    config = json.loads(
        subprocess.run(
            ["skopeo", "inspect", "--config", f"oci:{folder}/image:v1"], check=True, capture_output=True
        ).stdout
    )
    assert config["config"].get("User", "") == example.user
    assert f"{example.port}/tcp" in config["config"]["ExposedPorts"]
    layers = [item for item in config["history"] if not item.get("empty_layer")]
    assert len(layers) == len(config["rootfs"]["diff_ids"])
    subprocess.run(
        ["umoci", "--log=error", "unpack", "--image", f"{folder}/image:v1", f"{folder}/bundle"], check=True
    )
    assert (folder / "bundle" / "rootfs" / example.file).is_file()


@pytest.mark.parametrize("example", LIST, ids=lambda example: example.name)
def test_an_unchanged_example_runs_nothing_again(shared: Wherry, example: Example) -> None:
    build(shared, example, tag=f"again/{example.name}")
    folder = EXAMPLES / example.folder
    result = shared("build", "--progress=plain", "-f", folder / example.dockerfile, folder)
    assert result.code == 0
    steps = [line for line in result.err.splitlines() if "/" in line.partition("]")[0] and "[" in line]
    assert len(steps) >= 2
    assert result.err.count("CACHED") == len(steps), result.err


def test_a_second_stage_makes_an_image_small(shared: Wherry, capsys: pytest.CaptureFixture[str]) -> None:
    busybox, scratch = (item for item in LIST if item.folder == "c-multistage")
    sizes = {
        title: int(shared.ok("inspect", "--format", "{{.Size}}", tag))
        for title, tag in (
            ("single stage", build(shared, busybox, "--target", "build", tag="sizes/compiler")),
            ("on busybox", build(shared, busybox, tag="sizes/busybox")),
            ("on scratch", build(shared, scratch, tag="sizes/scratch")),
        )
    }
    with capsys.disabled():
        print("\n" + "   ".join(f"{title} {size / 1e6:.1f} MB" for title, size in sizes.items()))
    assert sizes["on scratch"] < 1_000_000 < sizes["on busybox"] < 5_000_000
    assert sizes["single stage"] > 20 * sizes["on busybox"]


def test_every_example_explains_itself() -> None:
    for folder in {example.folder for example in LIST}:
        assert "wherry build" in (EXAMPLES / folder / "README.md").read_text()
        assert (EXAMPLES / folder / ".dockerignore").is_file()


@pytest.mark.needs("root", foreign.EMULATOR)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its compilers are for amd64")
def test_a_program_for_two_machines(shared: Wherry) -> None:
    tag = "examples/cross"
    both = ("--platform", "linux/amd64,linux/arm64", "--progress", "plain")
    result = shared("build", "-t", tag, *both, EXAMPLES / "cross")
    assert result.code == 0, result.err
    assert result.err.count("] RUN apt-get update") == 1
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        said = shared.ok("run", "--rm", "--network=none", "--platform", platform, tag)
        assert said == f"compiled for {platform.partition('/')[2]}, running on {machine}\n"
