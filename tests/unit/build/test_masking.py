"""Secrets in a step's output, wherever the pieces begin and end."""

from __future__ import annotations

import time

from hypothesis import example, given
from hypothesis import strategies as st

from wherry.build.operations.masking import MASK, Masked, words

SECRETS = st.lists(st.text("abc ", min_size=4, max_size=7).map(str.encode), min_size=1, max_size=3)
PIECES = st.lists(st.one_of(st.text("abc ", max_size=9).map(str.encode), SECRETS.map(b"".join)), max_size=8)


def shown(secrets: list[bytes], pieces: list[bytes]) -> bytes:
    masked = Masked(words(secrets))
    return b"".join(map(masked.take, pieces)) + masked.rest()


@given(SECRETS.filter(words), PIECES)
@example([b"abcabd"], [b"abcabcab", b"d"])
@example([b"abcd", b"abcdef"], [b"abcd", b"ef"])
@example([b"xabc", b"abcy"], [b"xabc", b"y"])
def test_no_secret_is_shown_and_pieces_make_no_difference(secrets: list[bytes], pieces: list[bytes]) -> None:
    found = shown(secrets, pieces)
    assert found == shown(secrets, [b"".join(pieces)])
    for part in found.split(MASK):
        assert not any(word in part for word in words(secrets))


@given(SECRETS.filter(words), st.lists(st.text("xyz\n", max_size=9).map(str.encode)))
def test_what_holds_no_secret_is_shown_as_it_is_at_once(secrets: list[bytes], pieces: list[bytes]) -> None:
    masked = Masked(words(secrets))
    assert [masked.take(piece) for piece in pieces] == pieces


def test_lines_are_masked_one_by_one() -> None:
    assert words([b"  first line\r\n\nabc\n  second\n"]) == (b"first line", b"second")
    assert shown([b"first\nsecond\n"], [b"second is 2, fi", b"rst is 1\nfir"]) == b"*** is 2, *** is 1\nfir"


def test_a_long_secret_takes_no_time_worth_mention() -> None:
    secret = b"a" * 100_000 + b"b"
    began = time.process_time()
    assert shown([secret], [b"a" * 65536] * 4 + [b"c"]) == b"a" * 65536 * 4 + b"c"
    assert shown([secret], [b"a" * 65536] * 4 + [b"b"]).endswith(MASK)
    assert time.process_time() - began < 5
