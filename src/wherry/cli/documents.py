"""Images as docker's API describes them, which is what `inspect` prints; containerdocument.py has containers.

Every field of an image is always there, empty where the image says nothing: a template that asks for it
gets an answer. Fields that have no meaning without a daemon are left out.
"""

from __future__ import annotations

from typing import Any

from wherry.cli import facts
from wherry.container.options.health import Health
from wherry.oci.config import Execution, Healthcheck
from wherry.runtime.net.ports import Port
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.ui.units import rfc3339

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: docker's word for a moment that has not come."""


def image(store: Store, image: Image) -> dict[str, Any]:
    config = image.config
    return {
        "Id": image.id,
        "RepoTags": [name.familiar for name in store.images.holders(image.id)],
        "RepoDigests": store.images.repo_digests(image.id),
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created or rfc3339(image.created),
        "Author": config.author,
        "Config": _config(config.execution),
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "OsVersion": config.platform.os_version,
        "Size": facts.size(store, image),
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Metadata": {"LastTagTime": _last_tagged(store, image)},
    }


def _config(execution: Execution) -> dict[str, Any]:
    document: dict[str, Any] = {
        "User": execution.user,
        "ExposedPorts": {port: {} for port in execution.exposed_ports},
        "Env": list(execution.env),
        "Entrypoint": _list(execution.entrypoint),
        "Cmd": _list(execution.cmd),
        "Volumes": {volume: {} for volume in execution.volumes},
        "WorkingDir": execution.working_dir,
        "Labels": dict(execution.labels),
        "OnBuild": list(execution.onbuild),
        "StopSignal": execution.stop_signal,
        "Shell": _list(execution.shell),
        "Healthcheck": healthcheck(execution.healthcheck),
    }
    return document | dict(execution.other)


def _list(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


def healthcheck(check: Healthcheck | Health | None) -> dict[str, Any] | None:
    """Times in nanoseconds."""
    if check is None:
        return None
    fields = {
        "Test": list(check.test),
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {name: value for name, value in fields.items() if value}


def _last_tagged(store: Store, image: Image) -> str:
    holders = set(store.images.holders(image.id))
    times = [name.updated for name in store.images.all_names() if name.reference in holders]
    return rfc3339(max(times)) if times else NEVER


def ports(published: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in published:
        several = f"{port.host}-{port.last}" if port.last else str(port.host)
        binding = {"HostIp": port.address, "HostPort": several if port.host else ""}
        bindings.setdefault(f"{port.container}/{port.protocol}", []).append(binding)
    return bindings
