"""Which containers belong to which networks, and how a network that none belongs to goes."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base import labels
from wherry.base.errors import WherryError
from wherry.container.containers import Container, Containers
from wherry.networks import membership
from wherry.networks.definition import Network, Networks


def users(root: str) -> dict[str, list[Container]]:
    """By the names of networks: the containers that belong to them, running or not."""
    found: dict[str, list[Container]] = {}
    for container in Containers(root).all():
        for attachment in container.spec.networks.attachments:
            found.setdefault(attachment.network, []).append(container)
    return found


def remove(root: str, text: str) -> Network:
    """Delete a network that no running container is on. Those that do not run cannot be started then, until
    there is another of that name."""
    networks = Networks(root)
    with networks.locked():
        network = networks.find(text)
        if membership.users(root, network.id):
            on_it = [one for one in users(root).get(network.name, ()) if one.is_running]
            names = ", ".join(container.spec.name for container in on_it)
            raise WherryError(
                f"network {network.name} is in use by running containers: {names or 'one that is ending'}",
                hint="stop them, or take them off it with `wherry network disconnect`",
            )
        networks.remove(network)
    return network


def prune(root: str, until: float, wanted: Sequence[str]) -> list[str]:
    """Delete the networks created before `until` (unix seconds) that have all the labels `wanted` and that no
    container, running or not, belongs to. Their names."""
    networks = Networks(root)
    deleted = []
    with networks.locked():
        taken = users(root)
        for network in networks.all():
            if network.name in taken or network.created >= until or not labels.have(network.labels, wanted):
                continue
            if not membership.users(root, network.id):
                networks.remove(network)
                deleted.append(network.name)
    return deleted
