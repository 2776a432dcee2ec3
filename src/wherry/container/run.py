"""Create a container from an image and what a user asks for, and start its monitor."""

from __future__ import annotations

import os
import time

from wherry.base.errors import UsageError, WherryError
from wherry.container import events, signals, volumes
from wherry.container.containers import Containers
from wherry.container.monitor.connection import Started, wait_for_start
from wherry.container.monitor.standby import Standby, is_plain
from wherry.container.options import command, environment, health, mounting, options, publishing
from wherry.container.options.mounting import Volume
from wherry.container.options.networking import CONTAINER
from wherry.container.options.options import Options
from wherry.container.state import Spec
from wherry.networks.definition import Networks
from wherry.runtime.conditions import checked
from wherry.runtime.net.ports import release, reserve
from wherry.store.store import Store


def create(store: Store, wanted: Options) -> str:
    """Enter a container of a local image; its ID. Nothing runs yet.

    Raises NotFound for the image, UsageError for options that cannot be, WherryError for a name in use.
    """
    options.check(wanted)
    with store.lease():
        image = store.images.find(wanted.image, wanted.platform)
        execution = image.config.execution
        container_id = os.urandom(32).hex()
        exposed = tuple(dict.fromkeys((*execution.exposed_ports, *wanted.expose)))
        network, hostname = _network(store.root, wanted, container_id)
        spec = Spec(
            id=container_id,
            name=wanted.name,
            image=image.id,
            image_name=wanted.image,
            created=time.time(),
            args=command.combine(execution, wanted.entrypoint, wanted.arguments),
            entrypoint=len(command.first(execution, wanted.entrypoint)),
            env=environment.merge(execution.env, wanted.env),
            user=wanted.user or execution.user,
            working_dir=_normal(wanted.working_dir or execution.working_dir or "/"),
            hostname=hostname,
            labels=tuple((dict(execution.labels) | dict(wanted.labels)).items()),
            ports=publishing.published(wanted, exposed) if wanted.network == "default" else (),
            exposed=exposed,
            publish_all=wanted.publish_all,
            volumes=mounting.resolve(wanted.volumes, _inherited(store.root, wanted), execution.volumes),
            network=network,
            terminal=wanted.terminal,
            interactive=wanted.interactive,
            remove=wanted.remove,
            read_only=wanted.read_only,
            host_ca=wanted.host_ca,
            isolation=wanted.isolation,
            snapshotter=wanted.snapshotter,
            rights=wanted.rights,
            health=health.resolve(wanted.health, execution),
            restart=wanted.restart,
            log=wanted.log,
            networks=wanted.networks,
            conditions=checked(wanted.conditions),
            stop_signal=wanted.stop_signal or execution.stop_signal,
            stop_timeout=wanted.stop_timeout,
            annotations=wanted.annotations,
        )
        signals.number_of(spec.stop_signal)
        containers = Containers(store.root)
        spec = containers.create(spec)
        try:
            volumes.provide_all(store.root, [item for item in spec.volumes if item.kind == "volume"])
        except BaseException:
            containers.discard(spec)
            raise
    events.record(containers.folder(spec.id), spec, "create")
    return spec.id


def fill_volumes(root: str, container_id: str) -> None:
    """Give volumes that nobody has used what the image has, as docker does before a container is started.

    Afterwards the calling process is in the container's mode.
    """
    from wherry.container.prepare import prepared
    from wherry.runtime import modes

    folder = Containers(root).folder(container_id)
    spec = folder.spec()
    if not any(volumes.needs_content(root, volume) for volume in spec.volumes):
        return
    if modes.enter(spec.isolation).may_mount:
        with folder.locked(), Store.open(root) as store, store.lease(), prepared(store, folder, spec):
            pass


def start(root: str, container_id: str, *, attached: bool = False, standby: Standby | None = None) -> Started:
    """Start a container that does not run and wait until its process does; by `standby`, if one is there.

    With `attached`, everything that the process writes comes over the connection. The calling process
    must have one thread and no open store: it forks, and SQLite's locks do not survive that. Raises
    WherryError for a taken port and Failed for whatever goes wrong later; nothing is left running then.
    """
    containers = Containers(root)
    spec = containers.folder(container_id).spec()
    volumes.provide_all(root, spec.volumes)
    with containers.folder(container_id).locked():
        if containers.folder(container_id).state().is_running():
            raise WherryError(f"container {spec.name} is running already")
        listeners = reserve(spec.ports)
        try:
            if standby is None or not standby.suits(spec):
                standby = Standby(spec.isolation if is_plain(spec) else None, listeners)
        finally:
            release(listeners)
        connection = standby.begin(root, container_id, attached)
        words = wait_for_start(connection)
        return Started(spec.name, connection, words["note"], spec.terminal, spec.interactive)


def _inherited(root: str, wanted: Options) -> list[Volume]:
    """What `--volumes-from` brings; of several containers' mounts at one place the last counts."""
    return [
        volume
        for item in wanted.volumes_from
        for volume in mounting.inherit(Containers(root).find(item.container).spec.volumes, item.read_only)
    ]


def _network(root: str, wanted: Options, container_id: str) -> tuple[str, str]:
    """The container's network, another's by its ID, and its host name; WherryError for what there is not."""
    _check_networks(Networks(root), wanted)
    if not wanted.network.startswith(CONTAINER):
        host = os.uname().nodename if wanted.network == "host" else container_id[:12]
        return wanted.network, wanted.hostname or host
    other = Containers(root).find(wanted.network.removeprefix(CONTAINER))
    if other.spec.network.startswith(CONTAINER):
        return other.spec.network, other.spec.hostname
    return f"{CONTAINER}{other.id}", other.spec.hostname


def _check_networks(networks: Networks, wanted: Options) -> None:
    found = [networks.find(attachment.network) for attachment in wanted.networks.attachments]
    if wanted.ports and found and all(network.internal for network in found):
        raise UsageError(f"-p needs a network that leads outside, and {found[0].name} is internal")


def _normal(path: str) -> str:
    return "/" + os.path.normpath(path).strip("/")
