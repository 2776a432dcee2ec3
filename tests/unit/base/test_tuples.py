"""Named tuples of our own making are what the standard library's are."""

from __future__ import annotations

import collections
import copy
import pickle
from typing import Any

import pytest

from wherry.base.tuples import NamedTuple


class Point(NamedTuple):
    """A place."""

    x: int
    y: int
    name: str = "origin"
    tags: tuple[str, ...] = ()

    @property
    def sum(self) -> int:
        return self.x + self.y

    def text(self) -> str:
        """It may ask for what it stands on."""
        return f"{super().__len__()} fields"


class Other(NamedTuple):
    """As many fields as another class, of other names and defaults."""

    a: int
    b: int = 2
    c: int = 3
    d: int = 4


class Nothing(NamedTuple):
    pass


Standard = collections.namedtuple("Standard", "x y name tags", defaults=("origin", ()))


def test_it_is_made_as_the_standard_library_makes_it() -> None:
    for arguments, words in (((1, 2), {}), ((1,), {"y": 2}), ((), {"x": 1, "y": 2, "tags": ("a",)})):
        made: Any = Point(*arguments, **words)
        assert made == Standard(*arguments, **words)
        assert (made.x, made.y) == (1, 2)
    assert Other(1) == (1, 2, 3, 4)
    assert Other(b=5, a=6) == (6, 5, 3, 4)
    assert Nothing() == ()


def test_it_is_a_tuple() -> None:
    point = Point(1, 2)
    assert isinstance(point, tuple)
    assert hash(point) == hash((1, 2, "origin", ()))
    x, y, *rest = point
    assert (x, y, rest) == (1, 2, ["origin", ()])
    assert not hasattr(point, "__dict__")
    with pytest.raises(AttributeError):
        point.x = 3  # type: ignore[misc]


def test_what_else_a_class_says_is_there() -> None:
    assert Point(1, 2).sum == 3
    assert Point(1, 2).text() == "4 fields"
    assert (Point.__doc__, Point.__name__, Point.__module__) == ("A place.", "Point", __name__)
    assert Point._fields == Standard._fields
    assert Point._field_defaults == Standard._field_defaults


def test_values_are_replaced_made_and_shown() -> None:
    assert Point(1, 2)._replace(y=5, name="n") == Point(1, 5, "n")
    assert Point._make(iter([1, 2, "n", ()])) == Point(1, 2, "n")
    assert Point(1, 2)._asdict() == Standard(1, 2)._asdict()
    assert repr(Point(1, 2)) == repr(Standard(1, 2)).replace("Standard", "Point")
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), {}), ((1,), {}), ((1, 2, 3, 4, 5), {}), ((1, 2), {"z": 1}), ((1, 2), {"x": 1})],
)
def test_wrong_arguments_are_told_in_the_same_words(arguments: Any, words: Any) -> None:
    with pytest.raises(TypeError) as ours:
        Point(*arguments, **words)
    with pytest.raises(TypeError) as theirs:
        Standard(*arguments, **words)
    told = str(theirs.value).replace("Standard", "Point").replace("<lambda>", "Point.__new__")
    assert str(ours.value) == told


def test_wrong_changes_are_refused() -> None:
    with pytest.raises(ValueError, match="'z'"):
        Point(1, 2)._replace(z=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Expected 4 arguments, got 3"):
        Point._make([1, 2, 3])


def test_it_survives_pickle_and_copy() -> None:
    point = Point(1, 2, tags=("a",))
    for again in (pickle.loads(pickle.dumps(point)), copy.copy(point), copy.deepcopy(point)):
        assert again == point
        assert type(again) is Point


def test_fields_with_defaults_come_last() -> None:
    with pytest.raises(TypeError, match="a field without a default follows"):

        class Wrong(NamedTuple):
            a: int = 1
            b: int  # type: ignore[misc]
