"""Which events somebody wants to see: docker's `events --filter` (moby, daemon/events/filter.go)."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base import labels
from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple
from wherry.store.events import Event

KINDS = ("builder", "container", "image", "network", "volume")
_KEYS = ("container", "event", "image", "label", "network", "scope", "type", "volume")
_WITH_DETAILS = ("exec_create", "exec_start", "health_status")
"""Actions that a colon and details follow."""


class Wanted(NamedTuple):
    """The values of each key, of which an event has to match one; of labels all."""

    values: dict[str, tuple[str, ...]]

    def takes(self, event: Event) -> bool:
        return all(_TESTS[key](event, values) for key, values in self.values.items())


def parse(words: Iterable[str]) -> Wanted:
    """Of words such as `type=container`; UsageError for others."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in _KEYS:
            what = f"invalid filter: {key!r}" if equals else f"bad format of filter: {word!r}"
            raise UsageError(what, hint=f"write KEY=VALUE; the keys are {', '.join(_KEYS)}")
        if key == "type" and value not in KINDS:
            raise UsageError(f"invalid type of events: {value!r}", hint=f"it is one of {', '.join(KINDS)}")
        found[key] = (*found.get(key, ()), value)
    return Wanted(found)


def _is_type(event: Event, values: tuple[str, ...]) -> bool:
    return event.kind in values


def _is_scope(_event: Event, values: tuple[str, ...]) -> bool:
    return "local" in values


def _is_action(event: Event, values: tuple[str, ...]) -> bool:
    """Where one is asked for that details follow, the beginning counts, of all that are asked for."""
    if any(value in _WITH_DETAILS for value in values):
        return event.action.startswith(values)
    return event.action in values


def _is_container(event: Event, values: tuple[str, ...]) -> bool:
    return _begins(event, values)


def _is_network(event: Event, values: tuple[str, ...]) -> bool:
    return event.kind == "network" and _begins(event, values)


def _is_volume(event: Event, values: tuple[str, ...]) -> bool:
    return event.kind == "volume" and _begins(event, values)


def _begins(event: Event, values: tuple[str, ...]) -> bool:
    return event.id.startswith(values) or event.attributes.get("name", "").startswith(values)


def _is_image(event: Event, values: tuple[str, ...]) -> bool:
    """Of images themselves, and of containers made from them; with or without the tag."""
    name = event.attributes.get("name" if event.kind == "image" else "image", "")
    return any(text in values for text in (event.id, name, _without_tag(event.id), _without_tag(name)))


def _without_tag(name: str) -> str:
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _has_labels(event: Event, values: tuple[str, ...]) -> bool:
    return labels.have(event.attributes, values)


_TESTS = {
    "container": _is_container,
    "event": _is_action,
    "image": _is_image,
    "label": _has_labels,
    "network": _is_network,
    "scope": _is_scope,
    "type": _is_type,
    "volume": _is_volume,
}
