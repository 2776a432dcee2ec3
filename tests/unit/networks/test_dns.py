"""DNS messages: whatever the bytes are, what is asked is understood or refused, and answers are true."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.networks import dns

NAMES = st.lists(st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True), min_size=1, max_size=3).map(".".join)
ADDRESSES = st.lists(st.ip_addresses(v=4).map(str), unique=True, max_size=60)


def question(name: str, kind: int = dns.A, *, flags: int = 0x0100, more: bytes = b"") -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = struct.pack("!6H", 77, flags, 1, 0, 0, 1 if more else 0)
    return head + labels + b"\0" + struct.pack("!HH", kind, 1) + more


def parsed(message: bytes) -> dns.Question:
    found = dns.parse(message)
    assert found
    return found


def addresses(message: bytes) -> list[str]:
    """Those of an answer to a question, whose name each record repeats by a pointer."""
    _, _, _, count, _, _ = struct.unpack_from("!6H", message)
    place = message.index(b"\0", 12) + 5
    found = []
    for _ in range(count):
        pointer, _, _, _, size = struct.unpack_from("!HHHIH", message, place)
        assert pointer == 0xC00C
        found.append(str(ipaddress.ip_address(message[place + 12 : place + 12 + size])))
        place += 12 + size
    assert place == len(message)
    return found


@given(st.binary(max_size=300))
def test_any_bytes_are_a_question_or_none(message: bytes) -> None:
    found = dns.parse(message)
    assert found is None or found.raw in message


@given(NAMES, st.data())
def test_a_question_that_is_cut_or_changed_does_no_harm(name: str, data: st.DataObject) -> None:
    whole = question(name)
    assert dns.parse(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
    found = dns.parse(changed)
    if found:
        assert len(dns.answer(found, ["10.0.0.1"])) <= found.size


@given(NAMES, ADDRESSES)
def test_all_addresses_are_answered(name: str, wanted: list[str]) -> None:
    asked = parsed(question(name.upper()))
    assert (asked.number, asked.name, asked.kind) == (77, name, dns.A)
    message = dns.answer(asked, wanted, whole=True)
    assert addresses(message) == wanted
    assert dns.is_answer(message, 77, asked.raw)
    assert not dns.is_answer(message, 78, asked.raw)
    assert not dns.is_answer(message, 77, parsed(question("other" + name)).raw)


@given(NAMES, ADDRESSES)
def test_a_long_answer_is_cut_and_says_so(name: str, wanted: list[str]) -> None:
    message = dns.answer(parsed(question(name)), wanted)
    found = addresses(message)
    is_cut = bool(struct.unpack_from("!H", message, 2)[0] & 0x0200)
    assert len(message) <= 512
    assert found == wanted[: len(found)]
    assert is_cut == (found != wanted)
    # Who takes more says so: RFC 6891.
    roomy = question(name, more=b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0))
    assert addresses(dns.answer(parsed(roomy), wanted)) == wanted


def test_addresses_of_the_kind_that_is_asked_for() -> None:
    both = ["10.0.0.1", "fd00::1"]
    assert addresses(dns.answer(parsed(question("a")), both)) == ["10.0.0.1"]
    assert addresses(dns.answer(parsed(question("a", dns.AAAA)), both)) == ["fd00::1"]
    nothing = dns.answer(parsed(question("a", 15)), both)
    assert addresses(nothing) == [] and nothing[3] & 0xF == dns.OK


@pytest.mark.parametrize(
    "message",
    [
        question("a", flags=0x8180),
        question("a", flags=0x2800),
        question("a")[:-1],
        struct.pack("!6H", 1, 0, 2, 0, 0, 0) + question("a")[12:],
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\0\0\1\0\3",
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\1a" * 200 + b"\0\0\1\0\1",
    ],
    ids=["answer", "update", "cut", "two questions", "pointer", "class", "long"],
)
def test_no_plain_question(message: bytes) -> None:
    assert dns.parse(message) is None


@given(st.ip_addresses())
def test_names_of_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert dns.asked_address(address.reverse_pointer) == str(address)


@pytest.mark.parametrize(
    "name", ["a.in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.x.ip6.arpa", "in-addr.arpa", ""]
)
def test_names_that_are_of_no_address(name: str) -> None:
    assert dns.asked_address(name) == ""


def test_a_name_is_answered() -> None:
    asked = parsed(question("1.0.0.10.in-addr.arpa", dns.PTR))
    assert dns.name_answer(asked, "db.shop").endswith(b"\2db\4shop\0")
    assert dns.refusal(asked, dns.NO_SUCH_NAME)[3] & 0xF == dns.NO_SUCH_NAME
    assert dns.is_failure(dns.refusal(asked, dns.REFUSED))
    assert not dns.is_failure(dns.refusal(asked, dns.NO_SUCH_NAME))
