"""The compiled part of the listener (hearing.c), where the installation has it: it hears what is plain.

What it leaves to Python comes out of `receive`; what it has put down goes into the observer. It is loaded by
the listener alone, from beside this file, so that no container's process ever has it in its memory.
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from typing import Any

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libhearing.so")
_FORM = 3
_NATIVE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALL = struct.Struct("=5b3BII")
_EFFECTS = {"": 1, "open": 2, "made": 3, "linked": 4, "moved": 5, "removed": 6, "execute": 7}
"""What is 0 is left to Python."""
_CHANGES = {number: name for name, number in _EFFECTS.items()}
_RENAME_EXCHANGE = 2


def load() -> ctypes.CDLL | None:
    """None where it was not compiled, or is of another version of wherry's."""
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
        if ctypes.c_int.in_dll(library, "hearing_form").value != _FORM:
            return None
    except (OSError, ValueError):
        return None
    library.hearing_new.restype = ctypes.c_void_p
    library.hearing_new.argtypes = [
        ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32
    ]  # fmt: skip
    library.hearing_next.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    for take in (library.hearing_seen, library.hearing_changes):
        take.restype = ctypes.c_size_t
        take.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    return library


class Hearing:
    """`answered` are the calls, by architecture and number, that the notifier may answer."""

    def __init__(
        self,
        library: ctypes.CDLL,
        descriptors: tuple[int, int],
        polls: bool,
        order: dict[str, Any],
        answered: Container[tuple[int, int]] = (),
    ) -> None:
        self._library = library
        architecture = _NATIVE.get(os.uname().machine, 0)
        self._table = _table(order, architecture, answered)
        count = len(self._table) // _CALL.size
        self._self = library.hearing_new(*descriptors, polls, architecture, self._table, count)
        if not self._self:
            raise MemoryError

    def receive(self, notification: bytearray) -> bool:
        """The next call that is not plain; False where nobody is left who may ask."""
        place = (ctypes.c_char * len(notification)).from_buffer(notification)
        found: int = self._library.hearing_next(self._self, place)
        if found < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return bool(found)

    def changes(self) -> Iterator[tuple[str, bytes, bytes, bytes]]:
        """Those since the last time, as in `Observer.changes`."""
        words = self._taken(self._library.hearing_changes).split(b"\0")
        for first, second in zip(words[:-1:2], words[1::2], strict=True):
            yield _CHANGES[first[0]], first[1:], second, b""

    def seen(self) -> Iterator[tuple[bytes, int]]:
        """Names, and what was looked at, as in `Observer.seen` for the container's own root."""
        for record in self._taken(self._library.hearing_seen).split(b"\0")[:-1]:
            yield record[1:], record[0]

    def _taken(self, take: ctypes._NamedFuncPointer) -> bytes:
        place = ctypes.c_void_p()
        length = take(self._self, ctypes.byref(place))
        return ctypes.string_at(place, length) if length else b""


def _table(order: dict[str, Any], architecture: int, answered: Container[tuple[int, int]]) -> bytes:
    """As an array of `struct call`, by number."""
    numbers = {number: call for (known, number), call in order["calls"].items() if known == architecture}
    rows = [bytes(_CALL.size)] * (max(numbers, default=-1) + 1)
    for number, call in numbers.items():
        at_path, looks, at_folder, follows, at_flags, bit, name, second = call
        effect, odd = _EFFECTS.get(name, 0), 0
        if name == "moved":
            odd = _RENAME_EXCHANGE
        if name in ("moved", "removed") and order["has_caches"]:
            effect = 0  # what links there were in them is found out at once
        if (architecture, number) in answered:
            effect, odd = (effect, os.O_CREAT) if name == "open" else (0, 0)
        rows[number] = _CALL.pack(at_path, at_folder, at_flags, *second, looks, follows, effect, bit, odd)
    return b"".join(rows)
