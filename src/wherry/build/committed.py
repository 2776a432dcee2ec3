"""`commit`: an image of what a container has become: its image, and on it a layer of what it changed.

The layer is made as that of a RUN: what was mounted is not in it, and no time in it is later than a build's,
so containers that did the same give the same image.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.rights import file_owner
from wherry.build import times
from wherry.build.imported import changed
from wherry.container.changes import altered
from wherry.container.containers import Container
from wherry.container.state import Spec
from wherry.layer.layers import Layers
from wherry.oci.config import Execution, Healthcheck, History, ImageConfig
from wherry.oci.digest import Digest
from wherry.runtime import modes
from wherry.snapshot.altered import layer_of
from wherry.store.store import Store


def commit(
    store: Store, container: Container, *, changes: Sequence[str] = (), author: str = "", message: str = ""
) -> Digest:
    """Enter the image; its ID. `changes` are instructions of `imported.CHANGES`.

    The process must be in the container's mode. Callers hold the store's lease.
    """
    spec = container.spec
    base = store.images.get(Digest(spec.image)).config
    execution = changed(changes, base.platform, _execution(base.execution, spec))
    epoch = times.epoch()
    layers = Layers(store)
    with altered(store, container, clamp=epoch) as found:
        layer = layer_of(layers, found) if found else None
    created = times.rfc3339(epoch)
    line = History(created, " ".join(_command(base.execution, spec)[1]), layer is None, message, author)
    config = ImageConfig(
        platform=base.platform,
        execution=execution,
        diff_ids=(*base.diff_ids, *((layer.diff_id,) if layer else ())),
        history=(*_history(base), line),
        created=created,
        author=author,
    )
    return store.images.put(config.encode())


def _execution(image: Execution, spec: Spec) -> Execution:
    """The container's, as docker has it: what was said to `run` counts, but for mounts. Triggers (ONBUILD)
    were for builds on the image, not for what comes of it."""
    entrypoint, command = _command(image, spec)
    anonymous = (volume.target for volume in spec.volumes if volume.anonymous)
    published = (f"{port.container}/{port.protocol}" for port in spec.ports)
    return image._replace(
        user=_user(image, spec),
        exposed_ports=tuple(dict.fromkeys((*spec.exposed, *published))),
        env=spec.env,
        entrypoint=entrypoint or None,
        cmd=command or None,
        volumes=tuple(dict.fromkeys((*image.volumes, *anonymous))),
        working_dir=spec.working_dir if image.working_dir or spec.working_dir != "/" else "",
        labels=spec.labels,
        stop_signal=spec.stop_signal,
        healthcheck=_healthcheck(image.healthcheck, spec),
        onbuild=(),
    )


def _user(image: Execution, spec: Spec) -> str:
    """With `--userns keep-id` whoever ran it, if nobody else was named: that is no affair of the image's."""
    uid, gid = file_owner()
    return image.user if spec.isolation == modes.KEEP_ID and spec.user == f"{uid}:{gid}" else spec.user


def _healthcheck(image: Healthcheck | None, spec: Spec) -> Healthcheck | None:
    if spec.health:
        return Healthcheck(*(getattr(spec.health, name) for name in Healthcheck._fields))
    # The container has none: what the image says was refused.
    return Healthcheck(("NONE",)) if image and image.test else image


def _command(image: Execution, spec: Spec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    count = spec.entrypoint
    if count < 0:
        own = image.entrypoint or ()
        count = len(own) if spec.args[: len(own)] == own else 0
    return spec.args[:count], spec.args[count:]


def _history(base: ImageConfig) -> tuple[History, ...]:
    """A history is optional, and may tell of other layers than there are: the number has to be right."""
    if sum(not item.empty_layer for item in base.history) == len(base.diff_ids):
        return base.history
    return tuple(History() for _ in base.diff_ids)
