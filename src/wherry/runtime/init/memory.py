"""The memory of another process, as the calls that it makes refer to it."""

from __future__ import annotations

import ctypes
import errno
import os

_PAGE = 4096
_LONGEST = 4096  # PATH_MAX


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
for _function in (_libc.process_vm_readv, _libc.process_vm_writev):
    _function.argtypes = [
        ctypes.c_int, ctypes.POINTER(_Piece), ctypes.c_ulong, ctypes.POINTER(_Piece), ctypes.c_ulong,
        ctypes.c_ulong,
    ]  # fmt: skip
    _function.restype = ctypes.c_ssize_t


class Memory:
    """OSError EFAULT where there is no such memory."""

    def __init__(self) -> None:
        self._buffer = bytearray(_LONGEST)
        self._place = (ctypes.c_char * _LONGEST).from_buffer(self._buffer)
        self._ours = _Piece(ctypes.addressof(self._place), 0)
        self._theirs = _Piece(0, 0)

    def read(self, pid: int, address: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._piece(pid, address + len(data), min(_LONGEST, size - len(data)))
        return data

    def read_path(self, pid: int, address: int) -> bytes:
        """A string that ends with a zero byte, which is left out; ENAMETOOLONG past 4,096 bytes with it."""
        data = b""
        while len(data) < _LONGEST:
            # not past the end of a page: the next one need not be there
            piece = self._piece(pid, address, _PAGE - address % _PAGE)
            string, end, _ = piece.partition(b"\0")
            data += string
            if end and len(data) < _LONGEST:
                return data
            address += len(piece)
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def write(self, pid: int, address: int, data: bytes) -> None:
        for start in range(0, len(data), _LONGEST):
            part = data[start : start + _LONGEST]
            self._buffer[: len(part)] = part  # as long as it: a bytearray in use cannot change its size
            self._move(_libc.process_vm_writev, pid, address + start, len(part))

    def _piece(self, pid: int, address: int, size: int) -> bytes:
        count = self._move(_libc.process_vm_readv, pid, address, size)
        return bytes(self._buffer[:count])

    def _move(self, function: ctypes._NamedFuncPointer, pid: int, address: int, size: int) -> int:
        self._ours.length = self._theirs.length = size
        self._theirs.base = address
        count: int = function(pid, self._ours, 1, self._theirs, 1, 0)
        if count <= 0:
            raise OSError(ctypes.get_errno() or errno.EFAULT, "no such memory")
        return count
