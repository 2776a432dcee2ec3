"""What a user may ask of a container, and docker's words for ports, mounts and labels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.oci.platform import Platform
from wherry.runtime.net.ports import Port
from wherry.runtime.spec import Conditions

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NETWORKS = ("default", "host", "none")

_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class Volume(NamedTuple):
    """One mount: `kind` is "bind" (`source` is an absolute host path) or "volume" (`source` is its name).

    `copy`: a volume that is empty gets what the image has at `target`. An anonymous volume goes with its
    container; its name is chosen when the container is created.
    """

    kind: str
    source: str
    target: str
    read_only: bool = False
    copy: bool = True
    anonymous: bool = False


class Options(NamedTuple):
    """What `wherry run` was told, already parsed; the image's own settings are not in it."""

    image: str
    arguments: tuple[str, ...] = ()
    name: str = ""
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    network: str = "default"
    terminal: bool = False
    interactive: bool = False
    remove: bool = False
    read_only: bool = False
    host_ca: bool = False
    isolation: str = "auto"
    snapshotter: str = "auto"
    no_new_privileges: bool = False
    seccomp: bool = True
    conditions: Conditions = Conditions()
    platform: Platform | None = None


def parse_ports(word: str) -> list[Port]:
    """`[ip:][host:]container[/protocol]`, each side a number or a range; no host port: any free one."""
    body, slash, protocol = word.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol == "sctp":
        raise Unsupported(f"-p {word}: sctp is not supported", hint="tcp and udp are")
    if protocol not in ("tcp", "udp"):
        raise UsageError(f"invalid protocol in -p {word}: {protocol!r}", hint="write tcp or udp")
    head, _, container = body.rpartition(":")
    address, host = _address_and_host(head, word)
    inside = _range(container, word)
    if not host:
        return [Port(address, 0, number, protocol) for number in inside]
    outside = _range(host, word, lowest=0)
    if len(outside) != len(inside):
        if len(inside) == 1:
            raise Unsupported(f"-p {word}: a range of host ports for one port is not supported")
        raise UsageError(f"invalid ranges in -p {word}: they differ in length")
    return [Port(address, number, target, protocol) for number, target in zip(outside, inside, strict=True)]


def _address_and_host(head: str, word: str) -> tuple[str, str]:
    """The part in front of the container's port: `host`, `ip:host`, `ip:`, `[v6]:host` or nothing."""
    if not head or re.fullmatch(r"[0-9]+(-[0-9]+)?", head):
        return "", head
    address, _, host = head.rpartition(":")
    import ipaddress

    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        return str(ipaddress.ip_address(bare)), host
    except ValueError:
        raise UsageError(
            f"invalid IP address in -p {word}: {bare or head!r}",
            hint="write [ip:][host port:]container port[/udp], such as -p 127.0.0.1:8080:80",
        ) from None


def _range(text: str, word: str, lowest: int = 1) -> list[int]:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if not match:
        raise UsageError(f"invalid port in -p {word}: {text!r}", hint="a port is a number from 1 to 65535")
    first, last = int(match[1]), int(match[2] or match[1])
    if not lowest <= first <= last <= 65535:
        raise UsageError(f"invalid port in -p {word}: {text}", hint="a port is a number from 1 to 65535")
    return list(range(first, last + 1))


def parse_volume(word: str) -> Volume:
    """`host path:target[:options]`, `name:target[:options]` or `target` alone (an anonymous volume).

    A source that begins with `/`, `./` or `../` (or is `.` or `..`) is a host path, taken from the working
    directory; any other is a volume's name.
    """
    parts = word.split(":")
    if len(parts) == 1:
        return Volume("volume", "", _target(parts[0], word), anonymous=True)
    if len(parts) > 3 or not parts[0]:
        raise UsageError(f"invalid volume: {word}", hint="write -v source:/target or -v source:/target:ro")
    read_only, copy = _volume_options(parts[2] if len(parts) == 3 else "", word)
    target = _target(parts[1], word)
    source = parts[0]
    if source in (".", "..") or source.startswith(("/", "./", "../")):
        return Volume("bind", os.path.abspath(source), target, read_only, copy=False)
    if not NAME.fullmatch(source):
        raise UsageError(
            f"invalid volume name in -v {word}: {source!r}",
            hint="a name has letters, digits, _ . -; a host path begins with / or ./",
        )
    return Volume("volume", source, target, read_only, copy)


def _volume_options(text: str, word: str) -> tuple[bool, bool]:
    """Read-only, and whether to copy the image's content. `z`, `Z` (SELinux labels) are not needed here."""
    read_only, copy = False, True
    for option in text.split(",") if text else ():
        if option in ("ro", "rw"):
            read_only = option == "ro"
        elif option == "nocopy":
            copy = False
        elif option not in ("z", "Z", "rprivate", "private"):
            raise Unsupported(
                f"-v {word}: the option {option!r} is not supported", hint="ro, rw and nocopy are"
            )
    return read_only, copy


def _target(path: str, word: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"invalid volume {word}: the path in the container must be absolute")
    normal = "/" + os.path.normpath(path).lstrip("/")
    if normal == "/":
        raise UsageError(f"invalid volume {word}: the target cannot be /")
    return normal


def parse_label(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if not key:
        raise UsageError(f"invalid label: {word}", hint="write --label key=value")
    return key, value


def forbids_new_privileges(words: Iterable[str]) -> bool:
    """What `--security-opt` says of new privileges. Unsupported for what else docker knows of."""
    forbidden = False
    for word in words:
        name, _, value = word.replace(":", "=", 1).partition("=")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            forbidden = value != "false"
        elif word != "seccomp=unconfined":
            raise Unsupported(
                f"--security-opt {word} is not supported", hint="no-new-privileges and seccomp=unconfined are"
            )
    return forbidden


def check_name(name: str) -> None:
    """UsageError where a container cannot be called so."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"invalid container name: {name!r}",
            hint="a name has two or more letters, digits, _ . - and begins with a letter or a digit",
        )


def check(options: Options) -> None:
    """UsageError where a value, or two values together, cannot be."""
    if options.name:
        check_name(options.name)
    if options.network not in NETWORKS:
        raise Unsupported(
            f"--network {options.network} is not supported", hint=f"the networks are {', '.join(NETWORKS)}"
        )
    if options.ports and options.network == "none":
        raise UsageError("-p needs a network, and --network none has none")
    if options.hostname and not _is_hostname(options.hostname):
        raise UsageError(f"invalid hostname: {options.hostname!r}")
    if options.working_dir and not options.working_dir.startswith("/"):
        raise UsageError(
            f"the working directory {options.working_dir!r} is invalid, it needs to be an absolute path"
        )
    targets = [volume.target for volume in options.volumes]
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"duplicate mount point: {target}")


def _is_hostname(text: str) -> bool:
    return len(text) <= 64 and all(_HOST_LABEL.fullmatch(label) for label in text.split("."))
