"""The keys by which one leaves a container's terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import UsageError
from wherry.container.attach.detach import DEFAULT, Keys, parse


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (DEFAULT, b"\x10\x11"),
        ("", b""),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\0\x1b\x1c\x1d\x1e\x1f"),
        ("a,ctrl-A,Z", b"a\x01Z"),
    ],
)
def test_keys_as_docker_writes_them(text: str, keys: bytes) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ab", "alt-a", "ab", "a,,b", "ctrl-1", "\u00e9"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid keys"):
        parse(text)


alphabet = st.lists(st.sampled_from(b"abx"), max_size=12).map(bytes)


@given(st.lists(st.sampled_from(b"ab"), min_size=1, max_size=4).map(bytes), st.lists(alphabet, max_size=6))
def test_all_in_front_of_the_row_passes_however_it_is_cut(row: bytes, pieces: list[bytes]) -> None:
    keys, passed = Keys(row), b""
    for piece in pieces:
        passed += keys.take(piece)
        if keys.typed:
            break
    typed = b"".join(pieces)
    assert keys.typed == (row in typed)
    if keys.typed:
        assert passed == typed[: typed.index(row)]
    else:
        assert passed + keys.end() == typed


def test_without_keys_nothing_is_held() -> None:
    keys = Keys(b"")
    data = b"\x10\x11abc"
    assert keys.take(data) is data  # not looked at: a database may come this way
    assert not keys.typed
    assert keys.end() == b""
