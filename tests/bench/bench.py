"""What a build costs, as tables: `make bench`, or `PYTHONPATH=tests python -m bench.bench --quick`.

Nothing is asserted here. wherry is measured in a store of its own, in memory. With `--with
docker,buildah,buildctl` others stand beside it: buildah has a store of its own too, docker's and BuildKit's
build caches are EMPTIED. All of them read the same base image from a registry on loopback. `--only` takes
some of the tables:

    builds     small builds, contexts of 10 to 50,000 files, large files, a base image
    orders     good and bad order of a Dockerfile, for edits of three kinds (orders.py; needs the registries)
    lookups    the look-up of a result against the number of records and observations (lookups.py)
    starts     the start of a process (starts.py)
    observing  RUNs that are observed beside the same that are not (observing.py; needs the registries)
    transfers  pull, push and copy beside skopeo's and podman's (transfers.py; needs the registries)
    containers `run`, `exec`, `ps` and `rm` beside podman's, crun's and runc's (containers.py)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench import containers, lookups, measure, observing, orders, starts, transfers
from bench.builders import Buildah, Buildctl, Builder, Docker, Wherry
from bench.measure import Sample
from bench.table import Case, duration, print_head, print_row
from support import bases, folders

TABLES = ("builds", "orders", "lookups", "starts", "observing", "transfers", "containers")

FIVE = """\
FROM {base}
COPY hello.txt /hello.txt
RUN cat hello.txt > copy.txt
ENV A=b
CMD ["cat", "copy.txt"]
"""


class Scale(NamedTuple):
    """How much is done. Sizes are bytes."""

    contexts: tuple[int, ...] = (10, 1_000, 50_000)
    """Numbers of files."""
    file_size: int = 4096
    large: int = 1 << 30
    repeats: int = 3
    rebuilds: int = 10


QUICK = Scale(contexts=(10, 1_000), large=100 << 20, repeats=1, rebuilds=3)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer files, fewer repeats")
    parser.add_argument("--with", dest="others", default="", metavar="NAME,...", help="other builders")
    parser.add_argument("--only", default=",".join(TABLES), metavar="TABLE,...", help="some of the tables")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else Scale()
    chosen = options.only.split(",")
    if unknown := set(chosen) - {*TABLES}:
        parser.error(f"no table {unknown.pop()!r}: there are {', '.join(TABLES)}")
    scratch = Path(tempfile.mkdtemp(prefix="wherry-bench-", dir=folders.fast()))
    try:
        print_limits(scratch, scale)
        if "starts" in chosen and os.geteuid() == 0:
            starts.print_table()
        if "observing" in chosen and os.geteuid() == 0:
            observing.print_table(scratch, scale.repeats)
        if "transfers" in chosen:
            transfers.print_tables(scratch, scale.repeats, options.quick)
        if "containers" in chosen and os.geteuid() == 0:
            containers.print_tables(options.quick)
        if "lookups" in chosen:
            lookups.print_tables(scratch, scale.rebuilds, options.quick)
        if {"builds", "orders"} & {*chosen}:
            with bases.served(scratch) as registry:
                _compare(_builders(scratch, options.others), registry, scratch, scale, chosen)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _compare(builders: list[Builder], registry: str, scratch: Path, scale: Scale, chosen: list[str]) -> None:
    try:
        if "builds" in chosen:
            print_builds(builders, registry, scratch, scale)
        if "orders" in chosen:
            orders.print_tables(builders, registry, scratch, scale.repeats)
    finally:
        for builder in builders:
            builder.close()


def _builders(scratch: Path, others: str) -> list[Builder]:
    known: dict[str, Builder] = {"buildah": Buildah(scratch), "docker": Docker(), "buildctl": Buildctl()}
    chosen: list[Builder] = [Wherry(scratch)]
    for name in filter(None, others.split(",")):
        builder = known.get(name)
        if builder is None:
            sys.exit(f"bench: no builder {name!r}: there are {', '.join(known)}")
        if builder.available():
            chosen.append(builder)
        else:
            print(f"{name} is not installed, or does not work here\n")
    return chosen


def print_builds(builders: list[Builder], registry: str, scratch: Path, scale: Scale) -> None:
    print_head("BUILDS", builders)
    for case in cases(registry, scratch, scale):
        print_row(case, builders)
    print()


def cases(registry: str, scratch: Path, scale: Scale) -> Iterator[Case[Builder]]:
    """In order: a case may stand on what the one before it has left."""
    base = f"{registry}/busybox:latest"
    five = context(scratch / "five", FIVE.format(base=base))
    (five / "hello.txt").write_text("hello\n")
    runs = context(
        scratch / "runs",
        f"FROM {base}\n" + "".join(f"RUN echo {number} > f{number}\n" for number in range(20)),
    )
    large = context(scratch / "large", f"FROM {base}\nCOPY large.bin /\n")
    write_large(large / "large.bin", scale.large)

    yield Case("five instructions, cold", cold(base, five, scale.repeats))
    yield Case("five instructions, nothing to do", warm(five, scale.rebuilds))
    yield Case("20 small RUNs, cold", cold(base, runs, scale.repeats))
    for count in scale.contexts:
        many = context(scratch / f"many-{count}", f"FROM {base}\nCOPY . /files/\n")
        write_many(many, count, scale.file_size)
        title = f"COPY of {count:,} files"
        yield Case(f"{title}, cold", cold(base, many, scale.repeats))
        yield Case(f"{title}, nothing to do", warm(many, scale.rebuilds))
        yield Case(f"{title}, one edited", changed(many, scale.repeats))
        dockerfile = f"FROM {base}\nCOPY . /files/\nRUN cat /files/d00/f00000 > /edited\n"
        (many / "Dockerfile").write_text(dockerfile)
        yield Case(f"{title}, one edited, RUN behind", changed_after(many, scale.repeats))
        shutil.rmtree(many)
    yield Case(f"COPY of one file ({scale.large >> 20} MiB), cold", cold(base, large, scale.repeats))
    yield Case(
        "pull and unpack debian:bookworm-slim", pulled(f"{registry}/debian:bookworm-slim", scale.repeats)
    )


def cold(base: str, folder: Path, repeats: int) -> Callable[[Builder], Iterator[Sample]]:
    def samples(builder: Builder) -> Iterator[Sample]:
        for _ in range(repeats):
            builder.reset(base)
            yield builder.build(folder)

    return samples


def warm(folder: Path, repeats: int) -> Callable[[Builder], Iterator[Sample]]:
    def samples(builder: Builder) -> Iterator[Sample]:
        builder.build(folder)
        for _ in range(repeats):
            yield builder.build(folder)

    return samples


def changed(folder: Path, repeats: int) -> Callable[[Builder], Iterator[Sample]]:
    def samples(builder: Builder) -> Iterator[Sample]:
        for _ in range(repeats):
            (folder / "d00" / "f00000").write_bytes(os.urandom(4096))
            yield builder.build(folder)

    return samples


def changed_after(folder: Path, repeats: int) -> Callable[[Builder], Iterator[Sample]]:
    """As `changed`, once there is a result to start from."""

    def samples(builder: Builder) -> Iterator[Sample]:
        builder.build(folder)
        yield from changed(folder, repeats)(builder)

    return samples


def pulled(reference: str, repeats: int) -> Callable[[Builder], Iterator[Sample]]:
    return lambda builder: (builder.pull(reference) for _ in range(repeats))


def context(folder: Path, dockerfile: str) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


def write_many(folder: Path, count: int, size: int) -> None:
    """`count` files of different content and about `size` bytes, 500 a folder."""
    for number in range(count):
        place = folder / f"d{number // 500:02}"
        if number % 500 == 0:
            place.mkdir()
        (place / f"f{number:05}").write_bytes(f"{number}\n".encode() * (size // 8))


def write_large(path: Path, size: int) -> None:
    """Bytes that do not compress."""
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))


def print_limits(scratch: Path, scale: Scale) -> None:
    """What this machine can do at best, measured in the same run."""
    block = os.urandom(32 << 20)
    rate = len(block) / measure.timed(lambda: hashlib.sha256(block).digest(), 3)
    probe = context(scratch / "probe", "")
    count = scale.contexts[-1]
    write_many(probe, count, scale.file_size)
    walk = measure.timed(lambda: [None for _ in walked(probe)], 3)
    read = measure.timed(lambda: [hashlib.sha256(path.read_bytes()) for path in map(Path, walked(probe))], 1)
    shutil.rmtree(probe)
    print(f"{'WHAT THE MACHINE ALLOWS':<48}")
    print(f"{'start of an interpreter':<48}{duration(measure.interpreter()):>12}")
    print(f"{'sha256, one core':<48}{rate / 1e9:>7.2f} GB/s")
    print(f"{f'walk of {count:,} files':<48}{duration(walk):>12}")
    print(f"{f'walk, read and sha256 of {count:,} files':<48}{duration(read):>12}")
    print(f"{f'sha256 of {scale.large >> 20} MiB':<48}{duration(scale.large / rate):>12}\n")


def walked(folder: str | Path) -> Iterator[str]:
    """Files below a folder, each with the lstat that a builder needs."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from walked(entry.path)
            else:
                entry.stat(follow_symlinks=False)
                yield entry.path


if __name__ == "__main__":
    sys.exit(main())
