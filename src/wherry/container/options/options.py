"""What a user may ask of a container."""

from __future__ import annotations

import re

from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple
from wherry.container import signals
from wherry.container.names import NAME
from wherry.container.options import mounting, networking, rights
from wherry.container.options.health import Health
from wherry.container.options.loglimits import LogLimits
from wherry.container.options.mounting import Inheritance, Volume
from wherry.container.options.networking import Networks
from wherry.container.options.restart import Restart
from wherry.container.options.rights import Rights
from wherry.oci.platform import Platform
from wherry.runtime.net.ports import Port
from wherry.runtime.spec import Conditions

_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class Options(NamedTuple):
    """What `wherry run` or `create` was told, already parsed; the image's own settings are not in it.

    `expose`: as in an image, `80/tcp`. `stop_timeout`: seconds, negative for ever; None: docker's ten.
    """

    image: str
    arguments: tuple[str, ...] = ()
    name: str = ""
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    stop_timeout: int | None = None
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    publish_all: bool = False
    volumes: tuple[Volume, ...] = ()
    volumes_from: tuple[Inheritance, ...] = ()
    network: str = "default"
    terminal: bool = False
    interactive: bool = False
    remove: bool = False
    read_only: bool = False
    host_ca: bool = False
    isolation: str = "auto"
    snapshotter: str = "auto"
    rights: Rights = Rights()
    health: Health = Health()
    restart: Restart = Restart()
    log: LogLimits = LogLimits()
    networks: Networks = Networks()
    conditions: Conditions = Conditions()
    platform: Platform | None = None


def parse_pair(word: str, flag: str) -> tuple[str, str]:
    """`key=value`, or `key` alone, of `--label` and `--annotation`."""
    key, _, value = word.partition("=")
    if not key:
        raise UsageError(f"invalid {flag} {word}", hint=f"write {flag} key=value")
    return key, value


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
    _check_network(options)
    rights.check(options.rights, options.network)
    mounting.check(options.volumes)
    if options.stop_signal:
        signals.number_of(options.stop_signal)
    if options.hostname and not _is_hostname(options.hostname):
        raise UsageError(f"invalid hostname: {options.hostname!r}")
    if options.working_dir and not options.working_dir.startswith("/"):
        raise UsageError(
            f"the working directory {options.working_dir!r} is invalid, it needs to be an absolute path"
        )


def _check_network(options: Options) -> None:
    networking.check(options.network, options.networks)
    if (options.ports or options.publish_all) and options.network == networking.NONE:
        flag = "-p" if options.ports else "-P"
        raise UsageError(f"{flag} needs a network, and --network none has none")
    if options.network.startswith(networking.CONTAINER):
        _refuse_what_is_the_others(options)


def _refuse_what_is_the_others(options: Options) -> None:
    given = {
        "-p": options.ports,
        "--hostname": options.hostname,
        "--add-host": options.conditions.hosts,
    }
    for option, value in given.items():
        if value:
            raise UsageError(
                f"{option} belongs to the container whose network it is: --network {options.network}"
            )


def _is_hostname(text: str) -> bool:
    return len(text) <= 64 and all(_HOST_LABEL.fullmatch(label) for label in text.split("."))
