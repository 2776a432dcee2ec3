"""What `base.tuples` makes is what typing makes of the same class."""

from __future__ import annotations

import pickle
import typing
from typing import Any, get_type_hints

import pytest

from wherry.base.tuples import NamedTuple


class Place(NamedTuple):
    """A place."""

    name: str
    line: int = 1
    inside: Place | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"

    @property
    def is_nested(self) -> bool:
        return self.inside is not None

    @classmethod
    def start(cls, name: str) -> Place:
        return cls(name)


class Typed(typing.NamedTuple):
    """A place."""

    name: str
    line: int = 1
    inside: Typed | None = None


def test_it_is_a_tuple_with_names() -> None:
    place = Place("a", 2)
    assert tuple(place) == ("a", 2, None)
    assert place._replace(line=3) == Place("a", line=3)
    assert place._asdict() == {"name": "a", "line": 2, "inside": None}
    assert hash(place) == hash(("a", 2, None))
    assert repr(place) == "Place(name='a', line=2, inside=None)"
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize(
    "attribute", ["_fields", "_field_defaults", "__doc__", "__module__", "__match_args__"]
)
def test_it_is_what_typing_makes(attribute: str) -> None:
    assert getattr(Place, attribute) == getattr(Typed, attribute)
    assert Place.__mro__[1:] == Typed.__mro__[1:]


def test_the_rest_of_the_body_stays() -> None:
    assert (str(Place("a")), Place("a").is_nested, Place.start("b")) == ("a:1", False, Place("b"))


def test_annotations_can_be_resolved() -> None:
    assert get_type_hints(Place) == {"name": str, "line": int, "inside": Place | None}


def test_a_field_without_a_default_is_asked_for() -> None:
    kind: Any = Place
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        kind()
    with pytest.raises(AttributeError):
        kind("a").line = 2
