"""The attributes that tell of owners, in all the forms that a process may leave them in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.layer.owners import Asked, asked, device, encoded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"7:8", Asked(7, 8)),
        (b"0:0~", Asked(0, 0, True)),
        (b"-:8", Asked(None, 8)),
        (b"7:-", Asked(7, None)),
        (b"99999999999:1", Asked(2**32 - 2, 1)),
        (b"", None),
        (b"7", None),
        (b"7:", None),
        (b"-7:1", None),
        (b"7:8:9", None),
        (b"\xff:1", None),
    ],
)
def test_what_was_asked(value: bytes, expected: Asked | None) -> None:
    assert asked(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"c 1 3", ("c", (1, 3))),
        (b"b 8 0", ("b", (8, 0))),
        (b"p 1 3", None),
        (b"c 1", None),
        (b"c x 3", None),
        (b"", None),
    ],
)
def test_devices(value: bytes, expected: object) -> None:
    assert device(value) == expected


@given(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2))
def test_what_is_written_is_read(uid: int, gid: int) -> None:
    value = encoded(uid, gid)
    assert (asked(value) or Asked(0, 0))[:2] == (uid, gid)
    assert bool(value) is ((uid, gid) != (0, 0))


@given(st.binary(max_size=40))
def test_anything_may_stand_there(value: bytes) -> None:
    found = asked(value)
    if found:
        assert all(number is None or 0 <= number < 2**32 - 1 for number in found[:2])
    device(value)
