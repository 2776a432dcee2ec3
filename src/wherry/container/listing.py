"""Containers in words: what `ps` shows of each, and which of them it shows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from wherry.container.containers import Container
from wherry.container.options import health
from wherry.container.state import CREATED, PAUSED, RESTARTING, RUNNING, State
from wherry.runtime.net.ports import Port

STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
"""All that docker knows; a container of wherry's is created, running, paused, restarting or exited."""


def status(container: Container, age: Sequence[str]) -> str:
    """`Created`, `Up 5 minutes`, `Restarting (1) 2 seconds ago`, `Exited (0) 3 hours ago`.

    `age`: the times since start and end, in words.
    """
    state = container.state
    if state.status == CREATED:
        return "Created"
    if state.status == RUNNING:
        return f"Up {age[0]}{_health(state)}"
    if state.status == PAUSED:
        return f"Up {age[0]} (Paused)"
    if state.status == RESTARTING:
        return f"Restarting ({state.exit_code}) {age[1]} ago"
    return f"Exited ({state.exit_code}) {age[1]} ago"


def _health(state: State) -> str:
    if state.health is None:
        return ""
    return " (health: starting)" if state.health.status == health.STARTING else f" ({state.health.status})"


def ages(container: Container) -> tuple[float, float]:
    """Seconds since the start and since the end."""
    now = time.time()
    return now - container.state.started, now - container.state.finished


def ports(container: Container) -> str:
    """`0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 90/udp`: what is published, then what is only exposed."""
    if container.state.status not in (RUNNING, PAUSED):
        return ""
    published = [
        f"{address}->{port.container}/{port.protocol}"
        for port in container.state.ports
        for address in addresses(port)
    ]
    inside = {f"{port.container}/{port.protocol}" for port in container.state.ports}
    exposed = (word if "/" in word else f"{word}/tcp" for word in container.spec.exposed)
    return ", ".join([*published, *(word for word in exposed if word not in inside)])


def addresses(port: Port) -> list[str]:
    """`0.0.0.0:8080` and `[::]:8080`: where a port of a running container is published."""
    hosts = [port.address] if port.address else ["0.0.0.0", "::"]
    return [f"[{host}]:{port.host}" if ":" in host else f"{host}:{port.host}" for host in hosts]


def command(container: Container, whole: bool) -> str:
    """The command in double quotes; cut to 20 characters unless `whole`."""
    text = " ".join(container.spec.args)
    return f'"{text}"' if whole or len(text) <= 20 else f'"{text[:19]}…"'
