"""Named tuples as JSON, and back."""

from __future__ import annotations

import json
from typing import Any, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base import values
from wherry.base.errors import Corrupt
from wherry.base.tuples import NamedTuple

Name = NewType("Name", str)


class Inner(NamedTuple):
    text: str
    number: int | None = None


class Outer(NamedTuple):
    name: Name
    inner: Inner
    pairs: tuple[tuple[str, str], ...] = ()
    many: tuple[Inner, ...] = ()
    flag: bool = False
    moment: float = 0.0
    other: Inner | None = None


INNER = st.builds(Inner, st.text(), st.none() | st.integers())
OUTER = st.builds(
    Outer,
    st.text(st.characters(exclude_categories=()) | st.just("\udcff")).map(Name),
    INNER,
    st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    st.lists(INNER, max_size=3).map(tuple),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | INNER,
)


@given(OUTER)
def test_a_value_comes_back_as_it_was(value: Outer) -> None:
    text = json.dumps(values.encode(value))
    assert text.isascii()
    back = values.decode(Outer, json.loads(text))
    assert back == value
    assert type(back.inner) is Inner
    assert type(back.flag) is bool


def test_fields_that_came_later_get_their_defaults_and_unknown_ones_are_passed_over() -> None:
    document = {"name": "n", "inner": {"text": "t", "new": 1}, "moment": 3}
    assert values.decode(Outer, document) == Outer(Name("n"), Inner("t"), moment=3.0)


def test_a_list_has_the_fields_in_their_order() -> None:
    assert values.decode(Outer, ["n", ["t", 3], [["a", "b"]]]) == Outer(
        Name("n"), Inner("t", 3), (("a", "b"),)
    )


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"name": "n"},
        {"name": 1, "inner": {"text": "t"}},
        {"name": "n", "inner": "t"},
        {"name": "n", "inner": {"text": "t"}, "pairs": "ab"},
        {"name": "n", "inner": {"text": "t"}, "pairs": [["a"]]},
        {"name": "n", "inner": {"text": "t"}, "flag": 1},
        {"name": "n", "inner": {"text": "t"}, "many": {"0": {"text": "t"}}},
    ],
)
def test_another_form_is_refused(document: Any) -> None:
    with pytest.raises(Corrupt, match="not a Outer"):
        values.decode(Outer, document)
