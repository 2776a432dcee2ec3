"""A container as docker's API describes it: what `inspect` prints.

Fields that are about what wherry does not have are there with docker's word for nothing, so that templates
and programs that were made for docker find them.
"""

from __future__ import annotations

from typing import Any

from wherry.cli.documents import NEVER, healthcheck, ports
from wherry.container.containers import Container
from wherry.container.log import timestamp
from wherry.container.options import loglimits, networking
from wherry.container.options.health import Condition
from wherry.container.options.loglimits import LogLimits
from wherry.container.options.mounting import Volume
from wherry.container.options.networking import CONTAINER, Attachment, Place
from wherry.container.options.rights import KEEP_ID, Rights
from wherry.container.state import PAUSED, RESTARTING, Spec
from wherry.runtime import modes
from wherry.runtime.spec import Resources
from wherry.store.store import Store


def document(store: Store, item: Container) -> dict[str, Any]:
    spec, state = item.spec, item.state
    driver = _driver(item)
    return {
        "Id": item.id,
        "Created": timestamp(int(spec.created * 10**9)),
        "Path": spec.args[0] if spec.args else "",
        "Args": list(spec.args[1:]),
        "State": _state(item),
        "Image": spec.image,
        "ResolvConfPath": item.folder.file("resolv.conf"),
        "HostnamePath": item.folder.file("hostname"),
        "HostsPath": item.folder.file("hosts"),
        "LogPath": item.folder.file("log.jsonl") if spec.log.driver == loglimits.FILE else "",
        "Name": f"/{spec.name}",
        "RestartCount": state.restarts,
        "Driver": driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(spec),
        "GraphDriver": {"Name": driver, "Data": _layers(item)},
        "Mounts": [_mount(store, volume) for volume in spec.volumes],
        "Config": _config(spec),
        "NetworkSettings": _network_settings(item),
    }


def _state(item: Container) -> dict[str, Any]:
    state = item.state
    return {
        "Status": state.status,
        "Running": item.is_running,
        "Paused": state.status == PAUSED,
        "Restarting": state.status == RESTARTING,
        "OOMKilled": state.out_of_memory,
        "Dead": False,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": timestamp(int(state.started * 10**9)) if state.started else NEVER,
        "FinishedAt": timestamp(int(state.finished * 10**9)) if state.finished else NEVER,
        **_condition(state.health),
    }


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


def _driver(item: Container) -> str:
    """How its root file system was made; before it was, how it is to be made."""
    import os

    scratch = item.folder.file("root")
    if os.path.isdir(f"{scratch}/upper"):
        return "overlay"
    return "copy" if os.path.isdir(f"{scratch}/root") else item.spec.snapshotter


def _layers(item: Container) -> dict[str, str] | None:
    scratch = item.folder.file("root")
    if _driver(item) == "overlay":
        return {"UpperDir": f"{scratch}/upper", "WorkDir": f"{scratch}/work"}
    return None


def _host_config(spec: Spec) -> dict[str, Any]:
    conditions = spec.conditions
    return {
        "Binds": [_bind(volume) for volume in spec.volumes if volume.kind != "tmpfs"],
        "ContainerIDFile": "",
        "LogConfig": _log_config(spec.log),
        "NetworkMode": networking.names(spec.network, spec.networks)[0],
        "PortBindings": ports(spec.ports),
        "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.retries},
        "AutoRemove": spec.remove,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": [0, 0],
        "Annotations": dict(spec.annotations),
        **_rights(spec.rights),
        "CgroupnsMode": "private",
        "Dns": list(spec.networks.servers),
        "DnsOptions": list(spec.networks.options),
        "DnsSearch": list(spec.networks.search),
        "ExtraHosts": [f"{name}:{address}" for name, address in conditions.hosts],
        "IpcMode": "private",
        "Cgroup": "",
        "Links": None,
        "PidMode": "",
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": {
            volume.target: ",".join(volume.options) for volume in spec.volumes if volume.kind == "tmpfs"
        },
        "UTSMode": "",
        "UsernsMode": KEEP_ID if spec.isolation == modes.KEEP_ID else "",
        "ShmSize": conditions.shm_size,
        "Runtime": conditions.runtime,
        "Isolation": "",
        "Ulimits": [
            {"Name": limit.name.removeprefix("RLIMIT_").lower(), "Hard": limit.hard, "Soft": limit.soft}
            for limit in conditions.limits
        ],
        **_resources(conditions.resources),
    }


def _rights(rights: Rights) -> dict[str, Any]:
    options = ["no-new-privileges"] if rights.no_new_privileges else []
    options += [f"seccomp={rights.profile}"] if rights.profile else []
    options += [] if rights.seccomp else ["seccomp=unconfined"]
    options += [] if rights.masked else ["systempaths=unconfined"]
    return {
        "CapAdd": list(rights.add) or None,
        "CapDrop": list(rights.drop) or None,
        "GroupAdd": list(rights.groups) or None,
        "OomScoreAdj": rights.oom_score_adj or 0,
        "Privileged": rights.privileged,
        "SecurityOpt": options or None,
        "Sysctls": dict(rights.sysctls),
        "Devices": [
            {"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": "rwm"}
            for device in rights.devices
        ],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "Init": rights.init,
        "MaskedPaths": list(rights.masked_paths()),
        "ReadonlyPaths": list(rights.read_only_paths()),
    }


def _resources(limits: Resources) -> dict[str, Any]:
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": 0,
        "CgroupParent": limits.parent,
        "BlkioWeight": 0,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpus,
        "CpusetMems": limits.memory_nodes,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap or 2 * limits.memory,
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": limits.pids or None,
    }


def _log_config(limits: LogLimits) -> dict[str, Any]:
    options = {"max-file": str(limits.files), "max-size": str(limits.size or -1)}
    options |= {"labels": ",".join(limits.labels)} if limits.labels else {}
    options |= {"env": ",".join(limits.env)} if limits.env else {}
    return {"Type": limits.driver, "Config": options if limits.driver == loglimits.FILE else {}}


def _bind(volume: Volume) -> str:
    options = "" if not volume.read_only else ":ro"
    return f"{volume.source}:{volume.target}{options}"


def _mount(store: Store, volume: Volume) -> dict[str, Any]:
    is_volume = volume.kind == "volume"
    source = store.path("volumes", volume.source, "_data") if is_volume else volume.source
    return {
        "Type": volume.kind,
        **({"Name": volume.source} if is_volume else {}),
        "Source": source,
        "Destination": volume.target,
        **({"Driver": "local"} if is_volume else {}),
        "Mode": ",".join(volume.options),
        "RW": not volume.read_only,
        "Propagation": "rprivate" if volume.kind == "bind" else "",
    }


def _config(spec: Spec) -> dict[str, Any]:
    count = max(spec.entrypoint, 0)
    return {
        "Hostname": spec.hostname,
        "Domainname": "",
        "User": spec.user,
        "AttachStdin": spec.interactive,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {
            **{port: {} for port in spec.exposed},
            **{f"{port.container}/{port.protocol}": {} for port in spec.ports},
        },
        "Tty": spec.terminal,
        "OpenStdin": spec.interactive,
        "StdinOnce": False,
        "Env": list(spec.env),
        "Cmd": list(spec.args[count:]) or None,
        "Image": spec.image_name,
        "Volumes": {volume.target: {} for volume in spec.volumes if volume.anonymous} or None,
        "WorkingDir": spec.working_dir,
        "Entrypoint": list(spec.args[:count]) or None,
        "OnBuild": None,
        "Labels": dict(spec.labels),
        "StopSignal": spec.stop_signal,
        "StopTimeout": spec.stop_timeout,
        **({"Healthcheck": healthcheck(spec.health)} if spec.health else {}),
    }


def _network_settings(item: Container) -> dict[str, Any]:
    """What docker says of its first network is said at the top too, as it was before there were several."""
    spec, state = item.spec, item.state
    wanted = {attachment.network: attachment for attachment in spec.networks.attachments}
    places = {place.network: place for place in state.places}
    found = {name: _place(spec, wanted.get(name), places.get(name)) for name in {**wanted, **places}}
    if not found and not spec.network.startswith(CONTAINER):
        found = {spec.network: _place(spec, None, None)}
    first = next(iter(found.values()), _place(spec, None, None))
    is_private = item.is_running and spec.network == "default"
    return {
        "Bridge": "",
        "SandboxID": item.id if is_private else "",
        "SandboxKey": item.folder.file("netns") if is_private else "",
        "Ports": {**dict.fromkeys(spec.exposed), **ports(state.ports)},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{
            name: first[name]
            for name in (
                "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen",
                "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress",
            )
        },
        "Networks": found,
    }  # fmt: skip


def _place(spec: Spec, wanted: Attachment | None, place: Place | None) -> dict[str, Any]:
    addresses = place.addresses if place else ()
    v4, v6 = (next((one for one in addresses if (":" in one) is six), "/0") for six in (False, True))
    gateway = place.gateway if place else ""
    return {
        "IPAMConfig": _asked(wanted.addresses) if wanted and wanted.addresses else None,
        "Links": None,
        "Aliases": list(wanted.aliases) if wanted else None,
        "MacAddress": place.mac if place else "",
        "DriverOpts": None,
        "NetworkID": place.id if place else "",
        "EndpointID": "",
        "Gateway": gateway if ":" not in gateway else "",
        "IPAddress": v4.partition("/")[0],
        "IPPrefixLen": int(v4.partition("/")[2]),
        "IPv6Gateway": gateway if ":" in gateway else "",
        "GlobalIPv6Address": v6.partition("/")[0],
        "GlobalIPv6PrefixLen": int(v6.partition("/")[2]),
        "DNSNames": list(networking.called(spec.id, spec.name, spec.hostname, wanted)) if wanted else None,
    }


def _asked(addresses: tuple[str, ...]) -> dict[str, str]:
    return {"IPv6Address" if ":" in address else "IPv4Address": address for address in addresses}
