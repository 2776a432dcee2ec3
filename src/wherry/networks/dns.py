"""DNS messages, as much of them as it takes to answer for containers (RFC 1035, 6891).

All that comes from a container is anybody's bytes: `parse` says None to what is no plain question.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

from wherry.base.tuples import NamedTuple

A, PTR, AAAA = 1, 12, 28
_IN, _ANY_CLASS = 1, 255
_OPT = 41

OK, FORMAT_ERROR, FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = 0, 1, 2, 3, 4, 5

TTL = 10
"""Seconds that an answer may be kept: who starts a container again wants it found."""

_HEADER = struct.Struct("!6H")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_PLAIN_SIZE = 512
_POINTER = 0xC00C
"""To the name right behind the header, which is the question's."""


class Question(NamedTuple):
    """`name` is in small letters, without a dot at its end; `size` is what an answer by UDP may have.

    `raw` is the question as it was asked: an answer repeats it.
    """

    number: int
    flags: int
    name: str
    kind: int
    raw: bytes
    size: int = _PLAIN_SIZE


def parse(message: bytes) -> Question | None:
    """The question of a message that asks one thing; None for all else."""
    if len(message) < _HEADER.size:
        return None
    number, flags, questions, answers, authorities, more = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE) or (questions, answers, authorities) != (1, 0, 0):
        return None
    labels, place = [], _HEADER.size
    while True:
        if place >= len(message):
            return None
        length = message[place]
        place += 1
        if length == 0:
            break
        if length > 63 or place + length > len(message):
            return None  # no pointer: there is nothing yet that one could lead to
        labels.append(message[place : place + length])
        place += length
    if place + 4 > len(message) or place - _HEADER.size > 255:
        return None
    kind, klass = struct.unpack_from("!HH", message, place)
    raw = message[_HEADER.size : place + 4]
    if klass not in (_IN, _ANY_CLASS):
        return None
    name = b".".join(labels).decode("latin-1").lower()
    return Question(number, flags, name, kind, raw, _size(message, place + 4) if more else _PLAIN_SIZE)


def answer(question: Question, addresses: Sequence[str], *, whole: bool = False) -> bytes:
    """The addresses that are of the question's kind, maybe none. `whole`: the answer may be long (TCP)."""
    version = {A: 4, AAAA: 6}.get(question.kind)
    found = [ipaddress.ip_address(text) for text in addresses]
    return _message(question, [one.packed for one in found if one.version == version], whole)


def name_answer(question: Question, name: str) -> bytes:
    """The answer to a question for the name of an address."""
    labels = b"".join(bytes([len(part)]) + part.encode("latin-1") for part in name.split("."))
    return _message(question, [labels + b"\0"], True)


def refusal(question: Question, code: int) -> bytes:
    flags = _RESPONSE | _AVAILABLE | question.flags & _RECURSION | code
    return _HEADER.pack(question.number, flags, 1, 0, 0, 0) + question.raw


def asked_address(name: str) -> str:
    """The address whose name is asked for, of `4.3.2.1.in-addr.arpa` and its like; empty for other names."""
    for suffix, parts, joint, digits in ((".in-addr.arpa", 4, ".", 1), (".ip6.arpa", 32, ":", 4)):
        labels = name.removesuffix(suffix).split(".")[::-1]
        if name.endswith(suffix) and len(labels) == parts:
            groups = ["".join(labels[start : start + digits]) for start in range(0, parts, digits)]
            try:
                return str(ipaddress.ip_address(joint.join(groups)))
            except ValueError:
                return ""
    return ""


def is_answer(message: bytes, number: int, raw: bytes) -> bool:
    """Whether a message answers the question `raw` that was asked under that number.

    Names may come back in other letters than they were asked in.
    """
    if len(message) < _HEADER.size + len(raw):
        return False
    own, flags, questions = struct.unpack_from("!3H", message)
    repeated = message[_HEADER.size : _HEADER.size + len(raw)]
    return own == number and bool(flags & _RESPONSE) and questions == 1 and repeated.lower() == raw.lower()


def is_failure(message: bytes) -> bool:
    """Whether a name server says that it cannot, or does not want to, answer: another one may."""
    return message[3] & 0xF in (FAILURE, NOT_IMPLEMENTED, REFUSED)


def renumbered(message: bytes, number: int) -> bytes:
    return struct.pack("!H", number) + message[2:]


def _message(question: Question, values: Sequence[bytes], whole: bool) -> bytes:
    """`values` are the data of records of the question's kind."""
    records = [struct.pack("!HHHIH", _POINTER, question.kind, _IN, TTL, len(one)) + one for one in values]
    limit = (65535 if whole else question.size) - _HEADER.size - len(question.raw)
    fitting: list[bytes] = []
    for record in records:
        limit -= len(record)
        if limit < 0:
            break
        fitting.append(record)
    flags = _RESPONSE | _AUTHORITATIVE | _AVAILABLE | question.flags & _RECURSION
    if len(fitting) < len(records):
        flags |= _TRUNCATED
    head = _HEADER.pack(question.number, flags, 1, len(fitting), 0, 0)
    return head + question.raw + b"".join(fitting)


def _size(message: bytes, place: int) -> int:
    """What the asker takes by UDP, where it says so right behind its question (RFC 6891, section 6.1.2)."""
    if len(message) >= place + 11 and message[place] == 0:
        kind, size = struct.unpack_from("!HH", message, place + 1)
        if kind == _OPT:
            return int(max(size, _PLAIN_SIZE))
    return _PLAIN_SIZE
