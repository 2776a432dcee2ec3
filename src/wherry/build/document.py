"""The JSON document of a build that is kept (`kept.py`).

The layers below a step and the variables that its process sees grow from step to step. Written whole they
would be most of what a build of 500 steps has to do, so a step has what is other than in the one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.base import values
from wherry.base.errors import Corrupt

if TYPE_CHECKING:
    from wherry.build.kept import Build, Place


def written(build: Build) -> dict[str, Any]:
    """What `json.dumps` takes."""
    document: dict[str, Any] = values.encode(build._replace(places=()))
    rows = _Rows()
    document["places"] = [_place(place, rows) for place in build.places]
    return document


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """The document as `values.encode` would write it. Corrupt where it is of another form."""
    rows = _Rows()
    try:
        return document | {"places": [_whole(place, rows) for place in document["places"]]}
    except (TypeError, KeyError, ValueError) as error:
        raise Corrupt(f"not a build: {error}") from None


class _Row:
    """Sequences one after the other, each as the number of items that it begins with as the one before does,
    and the rest of its items."""

    def __init__(self) -> None:
        self._last: Any = ()

    def written(self, items: tuple[Any, ...]) -> list[Any]:
        last, self._last = self._last, items
        count = min(len(last), len(items))
        if last[:count] != items[:count]:
            count = next(number for number in range(count) if last[number] != items[number])
        return [count, *values.encode(items[count:])]

    def whole(self, document: list[Any]) -> list[Any]:
        if not document or type(document[0]) is not int:
            return document  # written by a version that wrote them whole
        count, *rest = document
        self._last = [*self._last[:count], *rest]
        return list(self._last)


class _Rows:
    def __init__(self) -> None:
        self.parents = _Row()
        self.inputs = _Row()
        self.environments = _Row()


def _place(place: Place, rows: _Rows) -> dict[str, Any]:
    lean = place._replace(parent=None, inputs=(), run=place.run._replace(environment=()))
    document: dict[str, Any] = values.encode(lean)
    if place.parent is not None:
        document["parent"] = rows.parents.written(place.parent)
    document["inputs"] = [rows.inputs.written(chain) for chain in place.inputs]
    document["run"]["environment"] = rows.environments.written(place.run.environment)
    return document


def _whole(document: dict[str, Any], rows: _Rows) -> dict[str, Any]:
    run = document["run"]
    return document | {
        "parent": None if document["parent"] is None else rows.parents.whole(document["parent"]),
        "inputs": [rows.inputs.whole(chain) for chain in document["inputs"]],
        "run": run | {"environment": rows.environments.whole(run["environment"])},
    }
