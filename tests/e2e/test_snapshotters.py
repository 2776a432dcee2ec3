"""Root filesystems by overlay and by copying: the same images, whole builds compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support import busybox
from support.cli import Wherry, write_files
from wherry.layer.layers import Layers
from wherry.snapshot.overlay import overlay
from wherry.store.store import Store
from wherry.testing.namespaces import with_own_mounts

EXAMPLES = Path(__file__).parents[2] / "examples"

STEPS = """\
FROM debian:bookworm-slim
RUN useradd -m someone && mkdir /srv/data && chown someone /srv/data && chmod 2750 /srv/data
RUN rm -rf /usr/share/doc && mkdir /usr/share/doc && echo kept > /usr/share/doc/new
RUN mv /srv/data /srv/moved && ln -s moved /srv/link && ln /usr/share/doc/new /usr/share/doc/same
RUN apt-get remove --purge --allow-remove-essential -y login && rm -rf /var/log/apt /var/log/dpkg.log
RUN chown -R someone /home && truncate -s 5M /home/someone/sparse && touch /etc/passwd
USER someone
RUN id -un > ~/me && mkfifo ~/pipe && echo '#!/bin/sh' > ~/run && chmod 4755 ~/run
RUN --mount=type=bind,from=busybox,source=/bin,target=/mnt/bin cp /mnt/bin/busybox /home/someone/
RUN --mount=type=cache,target=/home/someone/.cache,uid=1000 date > ~/.cache/last; rm ~/me
"""

SMALL = """\
FROM busybox
RUN echo new > /new && rm /bin/vi
RUN cat /new && ! ls /bin/vi
"""


@pytest.mark.parametrize("dockerfile", ["flask/Dockerfile.multistage", "static-nginx/Dockerfile"])
def test_an_example_is_the_same_image(shared: Wherry, tmp_path: Path, dockerfile: str) -> None:
    folder = dockerfile.partition("/")[0]
    compare(shared, tmp_path, "-f", EXAMPLES / dockerfile, EXAMPLES / folder)


def test_steps_of_all_kinds_give_the_same_image(
    shared: Wherry, tmp_path: Path, context: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    compare(shared, tmp_path, context({"Dockerfile": STEPS}))


def compare(wherry: Wherry, tmp_path: Path, *words: str | Path) -> None:
    ids = []
    for name in ("overlay", "copy"):
        iidfile = tmp_path / f"iid-{name}"
        wherry.ok("build", "-q", "--no-cache", "--iidfile", iidfile, "--snapshotter", name, *words)
        ids.append(iidfile.read_text())
    layers = [json.loads(wherry.ok("inspect", image))[0]["RootFS"]["Layers"] for image in ids]
    assert layers[0] == layers[1]
    assert ids[0] == ids[1]
    assert os.listdir(wherry.root / "tmp") == []


def test_a_store_that_overlay_refuses_is_copied(tmp_path: Path) -> None:
    """A store on overlay, as in a container without a volume: found out by trying, and told by `info`."""

    def check() -> None:
        with (
            Store.open(f"{tmp_path}/ground") as ground,
            ground.scratch("test") as scratch,
            overlay(ground, Layers(ground), [], scratch) as mounted,
        ):
            wherry = Wherry(Path(mounted.path, "store"), tmp_path)
            facts = json.loads(wherry.ok("info", "--format", "json"))
            assert facts["Driver"] == "copy"
            assert "Invalid argument" in facts["DriverHint"]
            busybox.put(str(wherry.root), "busybox")
            folder = write_files(tmp_path / "context", {"Dockerfile": SMALL})
            wherry.ok("build", "-t", "app", folder)
            assert wherry.ok("run", "--rm", "--network=none", "app", "cat", "/new") == "new\n"
            assert wherry("run", "--rm", "--network=none", "app", "ls", "/bin/vi").code == 1
            forced = wherry("build", "--no-cache", "--snapshotter=overlay", folder)
            assert forced.code == 1
            assert "cannot mount a root filesystem" in forced.err

    with_own_mounts(check)
