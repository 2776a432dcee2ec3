"""Images and containers as docker's API describes them: the fields that `inspect` prints.

Every field of an image is always there, empty where the image says nothing: a template that asks for it
gets an answer. Fields that have no meaning without a daemon are left out.
"""

from __future__ import annotations

from typing import Any

from wherry.cli import facts
from wherry.container import loglimits, networking
from wherry.container.containers import Container
from wherry.container.health import Condition, Health
from wherry.container.log import timestamp
from wherry.container.loglimits import LogLimits
from wherry.container.networking import Attachment
from wherry.container.state import PAUSED, RESTARTING
from wherry.oci.config import Execution, Healthcheck
from wherry.runtime.net.ports import Port
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.ui.units import rfc3339

_NEVER = "0001-01-01T00:00:00Z"
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


def container(store: Store, item: Container) -> dict[str, Any]:
    spec, state = item.spec, item.state
    return {
        "Id": item.id,
        "Created": rfc3339(spec.created),
        "Path": spec.args[0] if spec.args else "",
        "Args": list(spec.args[1:]),
        "State": {
            "Status": state.status,
            "Running": item.is_running,
            "Paused": state.status == PAUSED,
            "Restarting": state.status == RESTARTING,
            "OOMKilled": state.out_of_memory,
            "Pid": state.pid,
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": rfc3339(state.started) if state.started else _NEVER,
            "FinishedAt": rfc3339(state.finished) if state.finished else _NEVER,
            **_condition(state.health),
        },
        "Image": spec.image,
        "ResolvConfPath": item.folder.file("resolv.conf"),
        "HostnamePath": item.folder.file("hostname"),
        "HostsPath": item.folder.file("hosts"),
        "LogPath": item.folder.file("log.jsonl") if spec.log.driver == loglimits.FILE else "",
        "Name": f"/{spec.name}",
        "RestartCount": state.restarts,
        "HostConfig": {
            "LogConfig": _log_config(spec.log),
            "NetworkMode": networking.names(spec.network, spec.networks)[0],
            "PortBindings": _bindings(spec.ports),
            "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.retries},
            "AutoRemove": spec.remove,
            "ReadonlyRootfs": spec.read_only,
        },
        "Mounts": [_mount(store, volume._asdict()) for volume in spec.volumes],
        "Config": {
            "Hostname": spec.hostname,
            "User": spec.user,
            "Tty": spec.terminal,
            "OpenStdin": spec.interactive,
            "ExposedPorts": {port: {} for port in spec.exposed},
            "Env": list(spec.env),
            "Cmd": list(spec.args),
            "Image": spec.image_name,
            "WorkingDir": spec.working_dir,
            "Labels": dict(spec.labels),
            "StopSignal": spec.stop_signal,
            **({"Healthcheck": _healthcheck(spec.health)} if spec.health else {}),
        },
        "NetworkSettings": {
            "Ports": _ports(spec.exposed, state.ports),
            "Networks": _networks(item),
        },
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
        "Healthcheck": _healthcheck(execution.healthcheck),
    }
    return document | dict(execution.other)


def _list(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


def _condition(health: Condition | None) -> dict[str, Any]:
    """A container without a health check has no such field."""
    if health is None:
        return {}
    results = [
        {
            "Start": timestamp(int(result.started * 10**9)),
            "End": timestamp(int(result.ended * 10**9)),
            "ExitCode": result.code,
            "Output": result.output,
        }
        for result in health.results
    ]
    return {"Health": {"Status": health.status, "FailingStreak": health.failures, "Log": results}}


def _healthcheck(check: Healthcheck | Health | None) -> dict[str, Any] | None:
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
    return rfc3339(max(times)) if times else _NEVER


def _log_config(limits: LogLimits) -> dict[str, Any]:
    options = {"max-file": str(limits.files), "max-size": str(limits.size or -1)}
    options |= {"labels": ",".join(limits.labels)} if limits.labels else {}
    options |= {"env": ",".join(limits.env)} if limits.env else {}
    return {"Type": limits.driver, "Config": options if limits.driver == loglimits.FILE else {}}


def _bindings(ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        several = f"{port.host}-{port.last}" if port.last else str(port.host)
        binding = {"HostIp": port.address, "HostPort": several if port.host else ""}
        bindings.setdefault(f"{port.container}/{port.protocol}", []).append(binding)
    return bindings


def _ports(exposed: tuple[str, ...], ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]] | None]:
    """Published ports with their numbers, and exposed ones that are not published."""
    return {**dict.fromkeys(exposed), **_bindings(ports)}


def _networks(item: Container) -> dict[str, dict[str, Any]]:
    """Those that the container belongs to, by name; where it is on them while it runs."""
    return {attachment.network: _place(item, attachment) for attachment in item.spec.networks.attachments}


def _place(item: Container, attachment: Attachment) -> dict[str, Any]:
    spec = item.spec
    place = next((one for one in item.state.places if one.network == attachment.network), None)
    addresses = [one.partition("/") for one in place.addresses] if place else []
    first, second = [*addresses, ("", "", ""), ("", "", "")][:2]
    return {
        "Aliases": list(attachment.aliases),
        "NetworkID": place.id if place else "",
        "Gateway": place.gateway if place else "",
        "IPAddress": first[0],
        "IPPrefixLen": int(first[2] or 0),
        "GlobalIPv6Address": second[0],
        "GlobalIPv6PrefixLen": int(second[2] or 0),
        "MacAddress": place.mac if place else "",
        "DNSNames": list(networking.called(spec.id, spec.name, spec.hostname, attachment)),
    }


def _mount(store: Store, volume: dict[str, Any]) -> dict[str, Any]:
    is_volume = volume["kind"] == "volume"
    source = volume["source"]
    return {
        "Type": volume["kind"],
        **({"Name": source} if is_volume else {}),
        "Source": store.path("volumes", source, "_data") if is_volume else source,
        "Destination": volume["target"],
        "RW": not volume["read_only"],
    }
