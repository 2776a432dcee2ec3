"""What moving an image takes: `make bench ARGS="--only transfers"`.

wherry stands beside skopeo, and beside podman where the tree counts too. All talk to docker-registries on
loopback, whose content is in memory; one that is pushed to has nothing. skopeo writes an OCI layout: it
decompresses no layer and checks no diff ID.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure import Sample
from bench.movers import Mover
from bench.table import Case, print_head, print_row
from support import bases
from support.registry import serve
from wherry.layer.compress import Compressing
from wherry.oci import media
from wherry.oci import platform as platforms

_MIB = 1 << 20


class Kind(NamedTuple):
    """Layers of one file each; of every 4096 bytes so many are `noise`, the rest is text."""

    title: str
    layers: int
    size: int
    noise: int


KINDS = (
    Kind("one layer", 1, 1024 * _MIB, 4096),
    Kind("one layer, a quarter compressed,", 1, 1024 * _MIB, 1024),
    Kind("40 layers", 40, 16 * _MIB, 4096),
)


def print_tables(scratch: Path, repeats: int, quick: bool) -> None:
    """`quick`: layers of an eighth of their size."""
    movers = _movers(scratch, "skopeo")
    print_head("TRANSFERS", movers)
    for kind in KINDS:
        kind = kind._replace(size=kind.size // 8) if quick else kind
        with registry(scratch, "source") as address:
            source = f"{address}/bench"
            publish(scratch, kind, source)
            title = f"{kind.title} of {kind.size >> 20} MiB"
            print_row(Case(f"pull: {title}", pulls(source, repeats)), movers)
            print_row(Case(f"push: {title}", sent(Mover.push, source, scratch, repeats)), movers)
            for mover in movers:
                shutil.rmtree(mover.folder, ignore_errors=True)
            print_row(Case(f"copy: {title}", sent(Mover.copy, source, scratch, repeats)), movers)
        for mover in movers:
            shutil.rmtree(mover.folder, ignore_errors=True)
    print()
    _print_unpacked(scratch, repeats)


def _print_unpacked(scratch: Path, repeats: int) -> None:
    movers = _movers(scratch, "podman")
    with bases.served(scratch) as address:
        print_head("", movers)
        case = Case(
            "pull and unpack debian:bookworm-slim", unpacks(f"{address}/debian:bookworm-slim", repeats)
        )
        print_row(case, movers)
    print()


def _movers(scratch: Path, other: str) -> list[Mover]:
    return [
        Mover(name, scratch / name) for name in ("wherry", other) if name == "wherry" or shutil.which(name)
    ]


def pulls(source: str, repeats: int) -> Callable[[Mover], Iterator[Sample]]:
    return lambda mover: (mover.pull(source) for _ in range(repeats))


def sent(
    send: Callable[[Mover, str, str], Sample], source: str, scratch: Path, repeats: int
) -> Callable[[Mover], Iterator[Sample]]:
    """Each to a new registry: what one has is not sent again."""

    def samples(mover: Mover) -> Iterator[Sample]:
        for _ in range(repeats):
            with registry(scratch, "target") as address:
                sample = send(mover, source, f"{address}/bench")
            yield sample

    return samples


def unpacks(source: str, repeats: int) -> Callable[[Mover], Iterator[Sample]]:
    return lambda mover: (mover.unpacked(source) for _ in range(repeats))


@contextmanager
def registry(scratch: Path, name: str) -> Iterator[str]:
    """An empty registry, whose content goes with it."""
    folder = scratch / name
    folder.mkdir()
    try:
        with serve(f"{folder}/content", str(folder)) as address:
            yield address
    finally:
        shutil.rmtree(folder)


def publish(scratch: Path, kind: Kind, target: str) -> None:
    """An image of that kind, by skopeo: what is measured had no part in it."""
    layout = scratch / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [write_layer(blobs, kind, number) for number in range(kind.layers)]
    config = {
        "architecture": platforms.host().architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _ in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "config": keep(blobs, config, media.CONFIG),
        "layers": [layer for _, layer in layers],
    }
    index = {"schemaVersion": 2, "manifests": [keep(blobs, manifest, media.MANIFEST)]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{target}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    shutil.rmtree(layout)


def write_layer(blobs: Path, kind: Kind, number: int) -> tuple[str, dict[str, Any]]:
    """The diff ID and the descriptor of a gzipped layer with one file."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    path = blobs / "layer"
    with path.open("wb") as file:

        def sink(data: bytes) -> None:
            packed.update(data)
            file.write(data)

        with Compressing(sink) as compressing:

            def write(data: bytes) -> None:
                plain.update(data)
                compressing.write(data)

            member = tarfile.TarInfo(f"data{number}")
            member.size = kind.size
            write(member.tobuf())
            for _ in range(kind.size // _MIB):
                write(block(kind.noise))
            write(bytes(1024))
            compressing.finish()
    path.rename(blobs / packed.hexdigest())
    size = (blobs / packed.hexdigest()).stat().st_size
    descriptor = {"mediaType": media.LAYER_GZIP, "digest": f"sha256:{packed.hexdigest()}", "size": size}
    return f"sha256:{plain.hexdigest()}", descriptor


def block(noise: int) -> bytes:
    """Random bytes, `noise` of every 4096, between words that repeat."""
    if noise == 4096:
        return os.urandom(_MIB)
    words = (b"the quick brown fox jumps over the lazy dog; " * 100)[: 4096 - noise]
    return b"".join(os.urandom(noise) + words for _ in range(_MIB // 4096))


def keep(blobs: Path, document: dict[str, Any], media_type: str) -> dict[str, Any]:
    raw = json.dumps(document).encode()
    digest = hashlib.sha256(raw).hexdigest()
    (blobs / digest).write_bytes(raw)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(raw)}
