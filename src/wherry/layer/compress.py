"""Layers' compression: gzip and zstd written, those and bzip2 and xz read, told by their first bytes.

What is written is cut into blocks of fixed size, each a gzip member or a zstd frame of its own (RFC 1952,
2.2; RFC 8878, 3: a file is a row of them). Blocks are compressed by as many threads as there are processors,
and the bytes depend only on the input and on `compressor()`.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from wherry.base.errors import Corrupt, Unsupported
from wherry.layer.pipe import BLOCK
from wherry.layer.reading import Reading
from wherry.oci import media

if TYPE_CHECKING:
    from concurrent.futures import Future

GZIP = "gzip"
ZSTD = "zstd"
NONE = "uncompressed"
_LEVELS = {GZIP: 6, ZSTD: 3}
"""Where none is asked for."""
LEVELS = {GZIP: 9, ZSTD: 22}
"""The highest; the lowest is 0."""

_MEDIA_TYPES = {
    GZIP: (media.LAYER_GZIP, media.DOCKER_LAYER_GZIP),
    ZSTD: (media.LAYER_ZSTD,),
    NONE: (media.LAYER_TAR, media.DOCKER_LAYER_TAR),
}

_BLOCKS = {GZIP: BLOCK, ZSTD: 4 * BLOCK}
"""Bytes of input in one member or frame: zstd finds matches further back, so its blocks are larger."""
_INPUT = 1 << 18
"""Bytes that are decompressed at a time."""
_XZ_MEMORY = 256 << 20
"""Bytes that an xz stream may ask for; `xz -9` needs 65 MiB."""


def compressor(compression: str, level: int | None = None) -> str:
    """Program, version and settings that determine the bytes, as `zlib-ng 2.3.3 level 6 block 1048576`."""
    _check(compression)
    if compression == NONE:
        return NONE
    level = _LEVELS[compression] if level is None else level
    if compression == GZIP:
        from zlib_ng import zlib_ng

        return f"zlib-ng {zlib_ng.ZLIBNG_RUNTIME_VERSION} level {level} block {_BLOCKS[GZIP]}"
    return f"zstd {_zstd().zstd_version} level {level} block {_BLOCKS[ZSTD]}"


def is_alike(first: str, second: str) -> bool:
    """Whether two compressors are the same but for their versions."""
    return first.split()[:1] + first.split()[2:] == second.split()[:1] + second.split()[2:]


def accepted_types(compression: str) -> tuple[str, ...]:
    """The media types of layers so compressed, OCI's first; docker's name the same bytes."""
    _check(compression)
    return _MEDIA_TYPES[compression]


class Compressing:
    """Bytes in, compressed bytes out to `sink`, in order and from the caller's thread."""

    def __init__(
        self,
        sink: Callable[[bytes], object],
        compression: str = GZIP,
        threads: int = 0,
        level: int | None = None,
    ) -> None:
        """`compression` is gzip, zstd or uncompressed; `threads` is 0 for one a processor."""
        from concurrent.futures import ThreadPoolExecutor

        _check(compression)
        self._sink = sink
        self._one = _one(compression, level)
        self._size = _BLOCKS.get(compression, BLOCK)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="compress")
        self._waiting: deque[Future[bytes]] = deque()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._written = False

    def write(self, data: bytes) -> int:
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= self._size:
            whole = b"".join(self._pending)
            end = len(whole) - len(whole) % self._size
            for at in range(0, end, self._size):
                self._submit(whole[at : at + self._size])
            self._pending = [whole[end:]]
            self._pending_size = len(whole) - end
        return len(data)

    def finish(self) -> None:
        """Compresses what is left; an empty input too becomes a valid stream."""
        rest = b"".join(self._pending)
        if rest or not self._written:
            self._submit(rest)
        while self._waiting:
            self._sink(self._waiting.popleft().result())
        self.close()

    def close(self) -> None:
        """Gives up. Not needed after `finish`."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Compressing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, block: bytes) -> None:
        self._written = True
        self._waiting.append(self._pool.submit(self._one, block))
        while len(self._waiting) > self._threads:
            self._sink(self._waiting.popleft().result())


def decompressed(stream: BinaryIO) -> BinaryIO:
    """`stream` without its compression, whichever it has; as it is where it has none.

    Reading raises Corrupt for data that is damaged or cut off. Closing closes `stream`.
    """
    return cast(BinaryIO, io.BufferedReader(_plain(stream), 1 << 16))


def decompressed_pieces(stream: BinaryIO) -> BinaryIO:
    """As `decompressed`; but `read` gives what is there at the moment, and copies nothing."""
    return cast(BinaryIO, _plain(stream))


def _plain(stream: BinaryIO) -> _Wrapping:
    start = _read_up_to(stream, 6)
    for magic, make in _MAGICS:
        if start.startswith(magic) or (magic == _ZSTD and _is_skippable(start)):
            return _Decompressed(stream, start, make)
    return _Prefixed(stream, start)


class _Decoder(Protocol):
    """What bz2, lzma and zstd have in common; zlib's is adapted to it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    def __init__(self) -> None:
        from zlib_ng import zlib_ng

        self._inner = zlib_ng.decompressobj(31)
        self._full = False

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        # output that filled `max_length` exactly may have more behind it within zlib
        return not self._full and not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        plain: bytes = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(plain) == max_length
        return plain


class _Wrapping(Reading):
    """A stream made out of another one, which is closed with it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Decompressed(_Wrapping):
    """Members or frames one after another, as one stream; zeros after the last are padding."""

    def __init__(self, stream: BinaryIO, start: bytes, make: Callable[[], _Decoder]) -> None:
        super().__init__(stream)
        self._make = make
        self._decoder = make()
        self._input = start
        self._ended = False

    def _some(self, size: int) -> bytes:
        while not self._ended:
            decoder = self._decoder
            if decoder.eof:
                self._next_member(decoder.unused_data)
                continue
            if decoder.needs_input and not self._input:
                self._input = self._stream.read(_INPUT)
                if not self._input:
                    raise Corrupt("compressed data is cut off")
            data, self._input = self._input, b""
            try:
                plain = decoder.decompress(data, size)
            except _errors() as error:
                raise Corrupt(f"compressed data is damaged: {error}") from None
            if plain:
                return plain
        return b""

    def _next_member(self, rest: bytes) -> None:
        rest = rest.lstrip(b"\0")
        while not rest:
            more = self._stream.read(_INPUT)
            if not more:
                self._ended = True
                return
            rest = more.lstrip(b"\0")
        self._input = rest
        self._decoder = self._make()


class _Prefixed(_Wrapping):
    """A stream whose first bytes have been read already."""

    def __init__(self, stream: BinaryIO, start: bytes) -> None:
        super().__init__(stream)
        self._start = start

    def _some(self, size: int) -> bytes:
        data = self._start[:size] or self._stream.read(size)
        self._start = self._start[size:]
        return data


def _errors() -> tuple[type[Exception], ...]:
    """What decoders raise for bytes that are not theirs."""
    import lzma

    from zlib_ng import zlib_ng

    zlib_error: type[Exception] = cast(Any, zlib_ng).error  # typed as an instance in its stubs
    return zlib_error, lzma.LZMAError, _zstd().ZstdError, ValueError, OSError, EOFError, MemoryError


def _bunzip() -> _Decoder:
    import bz2

    return bz2.BZ2Decompressor()


def _unxz() -> _Decoder:
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _unzstd() -> _Decoder:
    return cast(_Decoder, _zstd().ZstdDecompressor())


_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGICS: tuple[tuple[bytes, Callable[[], _Decoder]], ...] = (
    (b"\x1f\x8b", _Gunzip),
    (_ZSTD, _unzstd),
    (b"BZh", _bunzip),
    (b"\xfd7zXZ\x00", _unxz),
)


def _is_skippable(start: bytes) -> bool:
    """A zstd file may begin with a skippable frame (RFC 8878, 3.1.2)."""
    return len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50


def _zstd() -> Any:
    """The zstd module: in the standard library from Python 3.14 on."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        from backports import zstd
    return zstd


def _one(compression: str, level: int | None) -> Callable[[bytes], bytes]:
    """The function that makes a block a member or a frame."""
    chosen = _LEVELS.get(compression, 0) if level is None else level
    if compression == GZIP:
        from zlib_ng import zlib_ng

        return lambda block: zlib_ng.compress(block, chosen, 31)
    if compression == ZSTD:
        zstd = _zstd()
        flags = zstd.CompressionParameter
        options = {flags.compression_level: chosen, flags.checksum_flag: 1}
        return lambda block: cast(bytes, zstd.compress(block, options=options))
    return lambda block: block


def _check(compression: str) -> None:
    if compression not in _MEDIA_TYPES:
        raise Unsupported(
            f"layers cannot be compressed by {compression!r}", hint="choose one of: gzip, zstd, uncompressed"
        )


def _read_up_to(stream: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data
