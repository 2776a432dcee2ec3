"""What the store takes on the disk: `system df` against `du`, and what `prune` really frees."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, ordinary, programs
from support.cli import Wherry, write_files
from wherry.store.store import Store

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}

DOCKERFILE = """
FROM busybox
WORKDIR /app
COPY big.bin small.txt ./
RUN cp big.bin copy.bin && for i in $(seq 200); do echo $i > f$i; ln f$i g$i; done; chown 1000 f1
RUN --mount=type=cache,target=/cache head -c 700000 /dev/urandom > /cache/a; true
"""


class Place(NamedTuple):
    """The command line on a store with busybox, and a folder that its user may write to."""

    wherry: Wherry
    folder: Path


@pytest.fixture(params=["root", "user"])
def place(request: pytest.FixtureRequest, tmp_path: Path, wherry: Wherry) -> Iterator[Place]:
    """For root and for an ordinary user."""
    programs.require("root", "busybox", "newuidmap")
    if request.param == "root":
        busybox.put(wherry.root, "busybox")
        yield Place(wherry, tmp_path)
        return
    with ordinary.user() as someone:
        root = someone.home / "wherry"
        ordinary.put_busybox(someone, root, "busybox")
        yield Place(Wherry(root, someone.home / "docker", prefix=someone.prefix), someone.home)


def du(wherry: Wherry) -> int:
    """Bytes on disk, as another program counts them."""
    out = subprocess.run(["du", "-s", "-B1", wherry.root], capture_output=True, text=True, check=True).stdout
    return int(out.split()[0])


def df(wherry: Wherry) -> dict[str, tuple[int, int]]:
    """Size and reclaimable bytes of each row, as exact as three digits are."""
    lines = wherry.ok("system", "df", "--format", "json").splitlines()
    rows = (json.loads(line) for line in lines)
    return {row["Type"]: (bytes_of(row["Size"]), bytes_of(row["Reclaimable"].split()[0])) for row in rows}


def bytes_of(text: str) -> int:
    number = text.rstrip("BkMG")
    return round(float(number) * _UNITS[text[len(number) :]])


def fill(place: Place) -> None:
    """Images, trees, streams, compressed blobs, a failed step, a container, a volume, a cache mount."""
    wherry, folder = place
    context = write_files(
        folder / "context",
        {"Dockerfile": DOCKERFILE, "big.bin": bytes(range(256)) * 8000, "small.txt": "small"},
    )
    wherry.ok("build", "-t", "app", context)
    (context / "small.txt").write_text("other")
    wherry.ok("build", "-t", "app", context)
    wherry.ok("save", "-o", folder / "app.tar", "app")
    (context / "Failing").write_text("FROM busybox\nRUN head -c 300000 /dev/urandom > /left; false\n")
    assert wherry("build", "-f", context / "Failing", context).code == 1
    wherry.ok("run", "--name", "one", "-v", "data:/data", "app", "sh", "-c", "cp big.bin /data; cp big.bin /")


def near(number: int, other: int) -> bool:
    """To one per cent; three digits of each row are as many as are shown."""
    return abs(number - other) <= 0.01 * other


def test_df_says_what_du_says_and_prune_frees_what_it_says(place: Place) -> None:
    fill(place)
    builder = place.wherry
    rows, before = df(builder), du(builder)
    assert near(sum(size for size, _ in rows.values()), before), rows
    private = builder.ok("cache", "du").splitlines()[-3].split()
    assert private[0] == "Private:"
    assert near(bytes_of(private[1]), rows["Build Cache"][0])
    promised = sum(rows[name][1] for name in ("Images", "Build Cache", "Failed Steps", "Upkeep"))
    said = builder.ok("prune", "-a", "-f").splitlines()[-1].rpartition(" ")[2]
    freed = before - du(builder)
    assert near(promised, freed), (rows, freed)
    assert near(bytes_of(said), freed)
    stopped, volume = rows["Containers"][1], rows["Local Volumes"][0]
    assert min(stopped, volume) > 2_000_000  # each has a copy of big.bin
    builder.ok("rm", "one")
    assert near(before - freed - du(builder), stopped)


def edit(place: Place, number: int) -> Path:
    """A context whose build takes 4 MB that no other number has, in two results."""
    return write_files(
        place.folder / "context",
        {
            "Dockerfile": "FROM busybox\nCOPY number .\nRUN head -c 2000000 /dev/urandom > a; cat number\n"
            "RUN head -c 2000000 /dev/urandom > b\nRUN cat number; head -c 100000 /dev/zero > c\n",
            "number": str(number),
        },
    )


def build_sized(place: Place, number: int, size: str, *words: str) -> str:
    context = edit(place, number)
    sized = {"WHERRY_STORE_SIZE": size}
    result = place.wherry("build", "--progress", "plain", *words, context, env=sized)
    assert result.code == 0, result.err
    return result.err


def test_a_store_stays_below_its_size(place: Place) -> None:
    """With or without a name: an image that has lost it holds nothing."""
    said = [build_sized(place, number, "15MB", "-t", "app") for number in range(6)]
    told = [text for text in said if "store_size: " in text]
    assert 1 <= len(told) < 5, said
    assert all("WARNING" not in text for text in told)
    assert du(place.wherry) < 18_000_000  # the tables and what is kept for prune are beside it
    assert "steps: all reused" in build_sized(place, 5, "15MB", "-t", "app")
    assert place.wherry.ok("run", "--rm", "app", "cat", "number") == "5"


def test_a_build_of_copies_alone_keeps_the_size_too(place: Place) -> None:
    """An ordinary user has entered no namespace by then."""
    files: dict[str, str | bytes] = {"Dockerfile": "FROM scratch\nCOPY --chown=5:6 big /\n"}
    said = ""
    for _ in range(3):
        context = write_files(place.folder / "copied", {**files, "big": os.urandom(1_500_000)})
        said = place.wherry("build", context, env={"WHERRY_STORE_SIZE": "4MB"}).err
    assert "store_size: " in said
    assert "WARNING" not in said
    assert len(os.listdir(place.wherry.root / "layers")) < 4


def test_what_is_in_use_stays_whatever_the_size(place: Place) -> None:
    for number in range(3):
        said = build_sized(place, number, "1MB", "-t", f"app{number}")
        assert "WARNING: store_size: " in said
    for number in range(3):
        assert place.wherry.ok("run", "--rm", f"app{number}", "cat", "number") == str(number)
    (place.folder / "context" / "number").write_text("none")
    text = "FROM busybox\nRUN true\n"
    (place.folder / "context" / "Dockerfile").write_text(text)
    again = place.wherry("build", place.folder / "context", env={"WHERRY_STORE_SIZE": "1MB"})
    assert (again.code, "store_size" in again.err) == (0, False), "said again, though little was added"


def test_a_build_beside_others_leaves_the_store_alone(wherry: Wherry, tmp_path: Path) -> None:
    busybox.put(wherry.root, "busybox")
    place = Place(wherry, tmp_path)
    build_sized(place, 0, "1GB")
    with Store.open(str(wherry.root)) as store:
        layers = store.layers.all()
        with store.lease():
            assert "store_size" not in build_sized(place, 1, "1MB")
        assert set(layers) < set(store.layers.all())
        assert "store_size: " in build_sized(place, 2, "1MB")
        assert not set(layers) <= set(store.layers.all())


def test_what_a_build_takes_is_used_again(wherry: Wherry, tmp_path: Path) -> None:
    """Its own results, and those that they stand on; not what an earlier edit gave."""
    busybox.put(wherry.root, "busybox")
    place = Place(wherry, tmp_path)
    for number in (0, 1):
        wherry.ok("build", "-q", edit(place, number))
    with Store.open(str(wherry.root)) as store:
        store._database.execute("UPDATE records SET used = 1000")
        store._database.execute("UPDATE traces SET used = 1000")
        store._database.execute("UPDATE images SET created = 1000")
    wherry.ok("build", "-q", edit(place, 1))
    pruned = wherry.ok("builder", "prune", "-f", "-a", "--filter", "unused-for=1h")
    assert "Deleted build cache records: " in pruned
    steps = wherry.ok("cache", "ls", "--format", "{{.Step}}").splitlines()
    assert sum("COPY number" in step for step in steps) == 1
    assert "steps: all reused" in wherry("build", "--progress", "plain", edit(place, 1)).err


def test_a_killed_prune_and_the_build_after_it(place: Place) -> None:
    """Whatever is left is taken or made again, and the image is the same."""
    wherry = place.wherry
    files = {f"files/{number}": f"{number}" * 100 for number in range(300)}
    lines = "FROM busybox\nCOPY files /files\nRUN cp -r /files /more; cat /files/7 > /7\nRUN rm -r /more\n"
    context = write_files(place.folder / "many", {"Dockerfile": lines, **files})
    image = wherry.ok("build", "-q", context)
    layers = wherry.root / "layers"
    for words in (["prune"], ["cache", "prune", "-a"], ["prune", "--keep-storage", "1.3MB"], ["prune"]):
        before = set(os.listdir(layers))
        prune = wherry.start(*words, "-f")
        while prune.poll() is None and set(os.listdir(layers)) == before:
            time.sleep(0.001)
        time.sleep(random.random() / 50)
        prune.kill()
        prune.communicate()
        assert wherry.ok("build", "-q", context) == image
        assert wherry.ok("save", "-o", place.folder / "saved.tar", image.strip()) == ""
        shown = wherry.ok("run", "--rm", image.strip(), "sh", "-c", "ls /files | wc -l; cat /7")
        assert shown == "300\n" + "7" * 100
    wherry.ok("prune", "-f")
    assert len(os.listdir(layers)) == 1
    assert os.listdir(wherry.root / "tmp") == []
