"""Containers come to networks and leave them, whether they run or not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

from wherry.base.errors import NotFound, WherryError
from wherry.container.containers import Container, Containers
from wherry.container.monitor import control
from wherry.container.monitor.connection import wait_for_start
from wherry.container.options.networking import Attachment, Networks, check
from wherry.container.state import Spec
from wherry.networks import definition
from wherry.networks.membership import Membership


def connect(root: str, name: str, attachment: Attachment) -> None:
    """The container comes to a network, at once where it runs. WherryError where that cannot be."""
    network = definition.Networks(root).find(attachment.network)
    attachment = attachment._replace(network=network.name)
    check("default", Networks((attachment,)))
    container = Containers(root).find(name)
    if container.spec.network != "default":
        raise WherryError(
            f"container {container.spec.name} cannot come to a network: it was created with --network "
            f"{container.spec.network.partition(':')[0]}"
        )

    def added(spec: Spec) -> Spec:
        if any(one.network == network.name for one in spec.networks.attachments):
            raise WherryError(f"container {spec.name} is connected to network {network.name} already")
        return _with(spec, (*spec.networks.attachments, attachment))

    with ExitStack() as stack:
        if container.is_running:
            # A container that runs finds the keeper, and cannot start one: it is in a mode already.
            visitor = Membership(root, "", ())
            stack.callback(visitor.close)
            visitor.join(container.spec.isolation)
        _change(container, added)


def disconnect(root: str, name: str, network: str, *, is_forced: bool) -> None:
    """The container leaves a network, which need not be there any more.

    With `is_forced` it is no error if the container is not on it.
    """
    container = Containers(root).find(name)
    with suppress(NotFound):
        network = definition.Networks(root).find(network).name

    def without(spec: Spec) -> Spec:
        left = tuple(one for one in spec.networks.attachments if one.network != network)
        if left == spec.networks.attachments and not is_forced:
            raise WherryError(f"container {spec.name} is not connected to network {network}")
        return _with(spec, left)

    _change(container, without)


def tell(container: Container) -> None:
    """Have the monitor of a container that runs look at its spec again. WherryError where it cannot do that;
    a container that has just ended does so at its next start."""
    with suppress(OSError), control.connect(container.folder.path) as connection:
        control.send(connection, control.CHANGED)
        wait_for_start(connection)


def _change(container: Container, changed: Callable[[Spec], Spec]) -> None:
    with container.folder.locked():
        before = container.folder.spec()
        container.folder.write_spec(changed(before))
        if container.folder.state().has_monitor():
            try:
                tell(container)
            except BaseException:
                container.folder.write_spec(before)
                raise


def _with(spec: Spec, attachments: tuple[Attachment, ...]) -> Spec:
    return spec._replace(networks=spec.networks._replace(attachments=attachments))
