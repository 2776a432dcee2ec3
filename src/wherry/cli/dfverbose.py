"""`wherry system df -v`: every image, container, volume and part of the build cache, as docker lists them.

Sizes are bytes on disk. Files that several images or layers share are in the size of each here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from wherry.base.text import one_line
from wherry.cli import facts
from wherry.container import listing, volumes
from wherry.container.containers import Container, Containers
from wherry.oci import digest as digests
from wherry.runtime import modes
from wherry.store import parts
from wherry.store.entries import entries
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.store.usage import disk_usage
from wherry.ui import table, units

_IMAGES = (
    "REPOSITORY",
    "TAG",
    "IMAGE ID",
    "CREATED",
    "SIZE",
    "SHARED SIZE",
    "UNIQUE SIZE",
    "CONTAINERS",
)
_CONTAINERS = (
    "CONTAINER ID",
    "IMAGE",
    "COMMAND",
    "LOCAL VOLUMES",
    "SIZE",
    "CREATED",
    "STATUS",
    "NAMES",
)
_VOLUMES = ("VOLUME NAME", "LINKS", "SIZE")
_CACHE = ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "SHARED")

_Rows = Iterable[Sequence[str]]


def text() -> str:
    with Store.open() as store:
        modes.enter_as_user()
        containers = Containers(store.root).all()
        found = entries(store)
        total = sum(entry.size for entry in found if not entry.held)
        cache = (
            (
                entry.id,
                entry.kind,
                units.size(entry.size),
                units.ago(entry.created) if entry.created else "",
                units.ago(entry.used) if entry.used else "",
                str(entry.held).lower(),
            )
            for entry in found
        )
        return "\n".join(
            (
                _section("Images space usage:", _IMAGES, _images(store, containers)),
                _section("Containers space usage:", _CONTAINERS, _containers(store, containers)),
                _section("Local Volumes space usage:", _VOLUMES, _volumes(store, containers)),
                _section(f"Build cache usage: {units.size(total)}", _CACHE, cache),
            )
        )


def _section(title: str, header: Sequence[str], rows: _Rows) -> str:
    return f"{title}\n\n{table.render(header, ([one_line(cell) for cell in row] for row in rows))}"


def _images(store: Store, containers: list[Container]) -> Iterator[Sequence[str]]:
    images = store.images.all()
    users = Counter(container.spec.image for container in containers)
    owners = Counter(layer for image in images for layer in set(image.config.diff_ids))
    sizes = {layer: sum(map(disk_usage, parts.of_layers(store, [layer]))) for layer in owners}
    for image in images:
        layers = set(image.config.diff_ids)
        shared = sum(sizes[layer] for layer in layers if owners[layer] > 1)
        size = sum(sizes[layer] for layer in layers)
        for repository, tag in _names(store, image):
            yield (
                repository,
                tag,
                digests.short(image.id),
                units.ago(facts.created(image)),
                units.size(size),
                units.size(shared),
                units.size(size - shared),
                str(users[image.id]),
            )


def _names(store: Store, image: Image) -> list[tuple[str, str]]:
    names = [(name.familiar_name, name.tag) for name in store.images.holders(image.id)]
    return names or [("<none>", "<none>")]


def _containers(store: Store, containers: list[Container]) -> Iterator[Sequence[str]]:
    for container in containers:
        spec = container.spec
        since_start, since_end = listing.ages(container)
        yield (
            spec.id[:12],
            spec.image_name,
            listing.command(container, whole=False),
            str(sum(volume.kind == "volume" for volume in spec.volumes)),
            units.size(disk_usage(store.path("containers", spec.id))),
            units.ago(spec.created),
            listing.status(container, (units.age(since_start), units.age(since_end))),
            spec.name,
        )


def _volumes(store: Store, containers: list[Container]) -> Iterator[Sequence[str]]:
    links = Counter(
        volume.source
        for container in containers
        for volume in container.spec.volumes
        if volume.kind == "volume"
    )
    for name in sorted(volumes.names(store.root)):
        yield name, str(links[name]), units.size(disk_usage(store.path("volumes", name)))
