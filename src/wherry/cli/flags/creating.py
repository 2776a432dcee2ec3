"""The flags of `run` and `create`, and the container that they make. Some groups are modules of their own."""

from __future__ import annotations

import argparse
import os
import sys

from wherry.base.settings import ISOLATIONS, SNAPSHOTTERS, load
from wherry.cli import conditions
from wherry.cli.flags import (
    health,
    loglimits,
    mounting,
    networking,
    providing,
    publishing,
    restarting,
    rights,
)
from wherry.cli.flags.idfile import id_file
from wherry.cli.flags.refused import REFUSED
from wherry.cli.parser import Parser
from wherry.container.options import environment, options
from wherry.container.options.options import Options
from wherry.container.options.rights import KEEP_ID
from wherry.oci import platform as platforms
from wherry.store.store import Store

_GROUPS = (
    networking,
    publishing,
    mounting,
    rights,
    health,
    restarting,
    loglimits,
    conditions,
    providing,
)


def register(parser: Parser) -> None:
    parser.interspersed = False
    parser.refused = REFUSED
    add = parser.add_argument
    add("--annotation", metavar="KEY=VALUE", action="append", help="an annotation for the OCI runtime")
    add("--cidfile", metavar="FILE", help="write the container's ID into a new file")
    add("-e", "--env", metavar="NAME[=VALUE]", action="append", help="set an environment variable")
    add("--entrypoint", metavar="COMMAND", help="execute this in place of the image's ENTRYPOINT")
    add("--env-file", metavar="FILE", action="append", help="read environment variables from a file")
    add("--host-ca", action="store_true", help="let the container trust the host's certificate bundle")
    add("-h", "--hostname", metavar="NAME", default="", help="the container's host name")
    add("--isolation", metavar="MODE", choices=ISOLATIONS, help=f"the mode: {', '.join(ISOLATIONS)}")
    add(
        "--snapshotter",
        metavar="NAME",
        choices=SNAPSHOTTERS,
        help=f"how the root filesystem is made: {', '.join(SNAPSHOTTERS)}",
    )
    add("-i", "--interactive", action="store_true", help="keep stdin open")
    add("-l", "--label", metavar="KEY[=VALUE]", action="append", help="set a label")
    add("--label-file", metavar="FILE", action="append", help="read labels from a file")
    add("--name", metavar="NAME", default="", help="name the container")
    add("--platform", metavar="OS/ARCH", help="run the image for this platform")
    add("--read-only", action="store_true", help="mount the root filesystem read-only")
    add("--rm", action="store_true", help="remove the container and its anonymous volumes when it ends")
    add("--stop-signal", metavar="SIGNAL", default="", help="the signal that asks it to end")
    add("--stop-timeout", metavar="SECONDS", type=int, help="how long `stop` waits for that (default 10)")
    add("-t", "--tty", action="store_true", help="give the process a terminal")
    add("-u", "--user", metavar="NAME|UID[:GROUP]", default="", help="the user to run as")
    add("-w", "--workdir", metavar="DIR", default="", help="the working directory")
    for group in _GROUPS:
        group.register(parser)
    add("image", metavar="IMAGE")
    add("command", metavar="COMMAND", nargs=argparse.REMAINDER)


def read(args: argparse.Namespace) -> Options:
    """What the flags, or else the settings, say. Raises UsageError."""
    settings = load()
    providing.check(args)
    network, networks = networking.read(args)
    wanted = Options(
        image=args.image,
        arguments=tuple(args.command),
        name=args.name,
        entrypoint=args.entrypoint,
        env=environment.from_options(args.env or (), args.env_file or (), os.environ),
        user=args.user,
        working_dir=args.workdir,
        hostname=args.hostname,
        labels=_labels(args),
        annotations=tuple(options.parse_pair(word, "--annotation") for word in args.annotation or ()),
        stop_signal=args.stop_signal,
        stop_timeout=args.stop_timeout,
        ports=publishing.ports(args),
        expose=publishing.exposed(args),
        publish_all=args.publish_all,
        volumes=mounting.read(args),
        volumes_from=mounting.inheritances(args),
        network=network,
        terminal=args.tty,
        interactive=args.interactive,
        remove=args.rm,
        read_only=args.read_only,
        host_ca=args.host_ca or settings.host_ca,
        isolation=args.isolation or settings.isolation,
        snapshotter=args.snapshotter or settings.snapshotter,
        rights=rights.read(args),
        health=health.read(args),
        restart=restarting.read(args),
        log=loglimits.read(args),
        networks=networks,
        conditions=conditions.read(args, settings),
        platform=platforms.parse(args.platform) if args.platform else None,
    )
    return _with_own_number(wanted) if args.userns == KEEP_ID else wanted


def _with_own_number(wanted: Options) -> Options:
    from wherry.container.options.identity import kept

    return kept(wanted)


def create(args: argparse.Namespace, wanted: Options) -> str:
    """Enter the container, its image pulled where it has to be; the ID."""
    from wherry.container.run import create

    if (wanted.ports or wanted.publish_all) and wanted.network == "host":
        print("warning: published ports are discarded when using the host's network", file=sys.stderr)
    with id_file(args.cidfile) as write, Store.open() as store:
        providing.provide(store, args, wanted)
        container_id = create(store, wanted)
        write(container_id)
        return container_id


def _labels(args: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """What `--label` says counts."""
    files = (pair for path in args.label_file or () for pair in environment.read_pairs(path, "label file"))
    return (
        *((key, value or "") for key, value in files),
        *(options.parse_pair(word, "--label") for word in args.label or ()),
    )
