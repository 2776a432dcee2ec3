from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.base.errors import Corrupt, Unsupported
from wherry.layer.compress import Compressing, accepted_types, compressor, decompressed
from wherry.layer.pipe import BLOCK

_TEXT = b"".join(b"line %d of something that compresses well\n" % number for number in range(300_000))


def compress(
    data: bytes, compression: str, threads: int = 0, step: int = 1 << 20, level: int | None = None
) -> bytes:
    found: list[bytes] = []
    with Compressing(found.append, compression, threads, level) as compressing:
        for at in range(0, len(data), step):
            compressing.write(data[at : at + step])
        compressing.finish()
    return b"".join(found)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_the_bytes_do_not_depend_on_threads_or_writes(compression: str) -> None:
    first = compress(_TEXT, compression, threads=1)
    assert compress(_TEXT, compression, threads=3, step=777_777) == first
    assert compress(_TEXT, compression, threads=2, step=len(_TEXT)) == first
    assert len(first) < len(_TEXT) / 4 or compression == "uncompressed"


_PIECES = {
    size: [_TEXT[:size], bytes(size), random.Random(size).randbytes(size)]
    for size in (0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK + 17)
}
"""What compresses well, very well, and not at all; around the sizes at which blocks end."""


@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from([piece for pieces in _PIECES.values() for piece in pieces]), max_size=4),
    st.sampled_from(
        [("gzip", 1), ("gzip", 6), ("gzip", 0), ("zstd", 3), ("zstd", 9), ("uncompressed", None)]
    ),
    st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=4),
)
def test_the_bytes_are_the_same_for_any_number_of_threads(
    pieces: list[bytes], how: tuple[str, int | None], steps: list[int]
) -> None:
    """However the data comes, from one thread to eight, more than there are processors."""
    data = b"".join(pieces)
    compression, level = how
    first = compress(data, compression, 1, max(len(data), 1), level)
    for threads in range(2, 9):
        assert compress(data, compression, threads, steps[threads % len(steps)], level) == first
    if compression != "uncompressed":
        assert decompressed(io.BytesIO(first)).read() == data


@pytest.mark.parametrize("compression, program", [("gzip", "gzip"), ("zstd", "zstd")])
def test_other_programs_read_it(compression: str, program: str) -> None:
    if program == "gzip":
        assert gzip.decompress(compress(_TEXT, compression)) == _TEXT
    if any(os.access(f"{folder}/{program}", os.X_OK) for folder in os.environ["PATH"].split(":")):
        done = subprocess.run(
            [program, "-dc"], input=compress(_TEXT, compression), capture_output=True, check=True
        )
        assert done.stdout == _TEXT


@settings(deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(["gzip", "zstd", "uncompressed"]))
def test_what_comes_out_is_what_went_in(data: bytes, compression: str) -> None:
    if compression == "uncompressed":
        data = b"a tar's name " + data  # no compressor's first bytes, as no tar begins with them
    assert decompressed(io.BytesIO(compress(data, compression))).read() == data


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_other_compressions_are_read(pack: object) -> None:
    packed = pack(_TEXT[:2_000_000])  # type: ignore[operator]
    assert decompressed(io.BytesIO(packed)).read() == _TEXT[:2_000_000]
    assert decompressed(io.BytesIO(packed + packed)).read() == _TEXT[:2_000_000] * 2
    assert decompressed(io.BytesIO(packed + bytes(700))).read() == _TEXT[:2_000_000]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_damage_is_corrupt(compression: str) -> None:
    packed = compress(_TEXT, compression)
    for cut in (7, 20, len(packed) // 2 + 3, len(packed) - 1):
        with pytest.raises(Corrupt, match="cut off"):
            decompressed(io.BytesIO(packed[:cut])).read()
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    with pytest.raises(Corrupt):
        decompressed(io.BytesIO(bytes(broken))).read()
    with pytest.raises(Corrupt):
        decompressed(io.BytesIO(packed + b"more")).read()


def test_a_bomb_is_not_unpacked_at_once() -> None:
    """What is held is what was asked for, however much the next bytes stand for."""
    import tracemalloc

    bomb = compress(bytes(300 << 20), "gzip")
    tracemalloc.start()
    stream = decompressed(io.BytesIO(bomb))
    assert len(stream.read(1 << 20)) == 1 << 20
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_an_xz_stream_cannot_ask_for_all_memory() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    greedy = lzma.compress(b"x", filters=filters)
    with pytest.raises(Corrupt):
        decompressed(io.BytesIO(greedy)).read()


def test_who_made_a_blob_can_be_told() -> None:
    assert compressor("gzip").startswith("zlib-ng 2.")
    assert compressor("zstd").startswith("zstd 1.")
    assert accepted_types("gzip")[0] == "application/vnd.oci.image.layer.v1.tar+gzip"
    with pytest.raises(Unsupported, match="lz4"):
        compressor("lz4")
