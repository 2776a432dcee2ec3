"""`ps --filter`: which containers somebody wants to see (moby, daemon/list.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from wherry.base import labels
from wherry.base.errors import NotFound, UsageError
from wherry.base.tuples import NamedTuple
from wherry.container.containers import Container
from wherry.container.listing import STATUSES
from wherry.container.options import health
from wherry.container.options.networking import names
from wherry.container.state import EXITED

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?")


class _Filter(NamedTuple):
    """One kind: the values of which one has to match, and all containers, for what compares them."""

    values: tuple[str, ...]
    containers: tuple[Container, ...]


def matching(containers: Sequence[Container], words: Iterable[str]) -> list[Container]:
    """Those that every kind of filter takes, of words such as `name=web`, in the order that they have.

    Several filters of one kind: any of them (labels: all of them), as docker has it. Raises UsageError, and
    NotFound for a container that others are compared with.
    """
    wanted: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"bad format of filter: {word!r}", hint="write --filter name=web")
        if key not in _TESTS:
            raise UsageError(f"invalid filter: {key!r}", hint=f"the filters are {', '.join(_TESTS)}")
        _check(key, value)
        wanted[key] = (*wanted.get(key, ()), value)
    filters = {key: _Filter(values, tuple(containers)) for key, values in wanted.items()}
    for key in ("before", "since"):
        for value in wanted.get(key, ()):
            _find(value, containers)
    return [item for item in containers if all(_TESTS[key](item, one) for key, one in filters.items())]


def shows_all(words: Iterable[str]) -> bool:
    """Whether the filters may be about containers that do not run, so that these are shown too."""
    return any(word.startswith(("status=", "exited=")) for word in words)


def _check(key: str, value: str) -> None:
    known = {"health": health.STATUSES, "status": STATUSES}.get(key)
    if known and value not in known:
        raise UsageError(f"invalid {key}: {value!r}", hint=f"it is one of {', '.join(known)}")
    if key in ("expose", "publish") and not _PORT.fullmatch(value):
        raise UsageError(f"invalid port: {key}={value}", hint=f"write {key}=80, {key}=80-90 or {key}=53/udp")
    if key == "exited" and not re.fullmatch(r"-?[0-9]+", value):
        raise UsageError(f"invalid exit code: {value!r}", hint="write exited=0")


def _is_named(container: Container, wanted: _Filter) -> bool:
    """A regular expression, as in docker; what is none is looked for as it is."""
    name = container.spec.name
    for value in wanted.values:
        try:
            if re.search(value.removeprefix("/"), name) or value == f"^/{name}$":
                return True
        except re.error:
            if value in name:
                return True
    return False


def _has_id(container: Container, wanted: _Filter) -> bool:
    return container.id.startswith(wanted.values)


def _has_status(container: Container, wanted: _Filter) -> bool:
    return container.state.status in wanted.values


def _has_health(container: Container, wanted: _Filter) -> bool:
    condition = container.state.health
    return (condition.status if condition else health.NONE) in wanted.values


def _has_exited(container: Container, wanted: _Filter) -> bool:
    return container.state.status == EXITED and str(container.state.exit_code) in wanted.values


def _descends(container: Container, wanted: _Filter) -> bool:
    spec = container.spec
    return any(
        spec.image_name in (value, f"{value}:latest")
        or spec.image[7:].startswith(value.removeprefix("sha256:"))
        for value in wanted.values
    )


def _has_labels(container: Container, wanted: _Filter) -> bool:
    return labels.have(container.spec.labels, wanted.values)


def _is_older(container: Container, wanted: _Filter) -> bool:
    return any(
        container.spec.created < _find(value, wanted.containers).spec.created for value in wanted.values
    )


def _is_younger(container: Container, wanted: _Filter) -> bool:
    return any(
        container.spec.created > _find(value, wanted.containers).spec.created for value in wanted.values
    )


def _find(text: str, containers: Sequence[Container]) -> Container:
    for container in containers:
        if container.spec.name == text or container.id.startswith(text):
            return container
    raise NotFound(f"no such container: {text}", hint="`wherry ps -a` lists the ones that are here")


def _has_volume(container: Container, wanted: _Filter) -> bool:
    """By the volume's name, or by the place of any mount, on either side."""
    known = {text for volume in container.spec.volumes for text in (volume.source, volume.target)}
    return bool(known & {value.rstrip("/") or "/" for value in wanted.values})


def _is_on_network(container: Container, wanted: _Filter) -> bool:
    spec = container.spec
    known = [*names(spec.network, spec.networks), *(place.id for place in container.state.places)]
    return any(
        text == value or (len(text) == 64 and text.startswith(value))
        for text in known
        for value in wanted.values
    )


def _publishes(container: Container, wanted: _Filter) -> bool:
    """By the port in the container."""
    ports = {(port.container, port.protocol) for port in container.spec.ports}
    return any(_covers(value, ports) for value in wanted.values)


def _exposes(container: Container, wanted: _Filter) -> bool:
    ports = {(port.container, port.protocol) for port in container.spec.ports}
    for word in container.spec.exposed:
        number, _, protocol = word.partition("/")
        ports.add((int(number), protocol or "tcp"))
    return any(_covers(value, ports) for value in wanted.values)


def _covers(value: str, ports: set[tuple[int, str]]) -> bool:
    match = _PORT.fullmatch(value)
    assert match  # checked before
    first, last, protocol = int(match[1]), int(match[2] or match[1]), match[3] or "tcp"
    return any(first <= number <= last and kind == protocol for number, kind in ports)


_TESTS: dict[str, Callable[[Container, _Filter], bool]] = {
    "ancestor": _descends,
    "before": _is_older,
    "exited": _has_exited,
    "expose": _exposes,
    "health": _has_health,
    "id": _has_id,
    "label": _has_labels,
    "name": _is_named,
    "network": _is_on_network,
    "publish": _publishes,
    "since": _is_younger,
    "status": _has_status,
    "volume": _has_volume,
}
