"""`wherry run`: a command in a new container."""

from __future__ import annotations

import argparse
import os
import sys

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.base.settings import ISOLATIONS, SNAPSHOTTERS, load
from wherry.cli import attaching, conditions
from wherry.cli.parser import Parser, add_tls_verify
from wherry.cli.refusals import told_apart
from wherry.cli.start import start
from wherry.container import environment, options
from wherry.container.options import Options
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.store.store import Store

_POLICIES = ("always", "missing", "never")


def register(parser: Parser) -> None:
    parser.interspersed = False
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="run in the background and print the container's ID")
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
    add("--name", metavar="NAME", default="", help="name the container")
    add("--network", "--net", metavar="NETWORK", default="default", help="the network: default, host or none")
    add("--platform", metavar="OS/ARCH", help="run the image for this platform")
    add("-p", "--publish", metavar="[IP:][HOST:]PORT", action="append", help="publish a port on the host")
    add("--pull", metavar="POLICY", default="missing", help="pull always, missing or never (default missing)")
    add("-q", "--quiet", action="store_true", help="do not show the progress of a pull")
    add("--read-only", action="store_true", help="mount the root filesystem read-only")
    add("--rm", action="store_true", help="remove the container and its anonymous volumes when it ends")
    add(
        "--security-opt",
        metavar="OPTION",
        action="append",
        help="one of no-new-privileges, seccomp=unconfined",
    )
    add("-t", "--tty", action="store_true", help="give the process a terminal")
    add("-u", "--user", metavar="NAME|UID[:GROUP]", default="", help="the user to run as")
    add("-v", "--volume", metavar="SOURCE:TARGET[:ro]", action="append", help="mount a host path or a volume")
    add("-w", "--workdir", metavar="DIR", default="", help="the working directory")
    attaching.register(parser)
    add_tls_verify(parser)
    conditions.register(parser)
    add("image", metavar="IMAGE")
    add("command", metavar="COMMAND", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """The process's exit code; docker's 125, 126 or 127 where there was no process."""
    with told_apart():
        return _run(args, _options(args))


def _run(args: argparse.Namespace, wanted: Options) -> int:
    from wherry.container.attach import attach, check_terminal
    from wherry.container.containers import Containers
    from wherry.container.run import create
    from wherry.container.stop import remove

    manner = attaching.manner(args)
    if not args.detach:
        check_terminal(wanted.terminal, wanted.interactive)
    if wanted.ports and wanted.network == "host":
        print("warning: published ports are discarded when using the host's network", file=sys.stderr)
    with Store.open() as store:
        _provide_image(store, args, wanted)
        container_id, root = create(store, wanted), store.root
    try:
        started = start(container_id, attached=not args.detach)
    except BaseException:
        remove(root, container_id, force=True, with_volumes=True)
        raise
    if not args.detach:
        return attach(started, Containers(root).folder(container_id).path, manner)
    started.connection.close()
    print(container_id)
    return 0


def _options(args: argparse.Namespace) -> Options:
    settings = load()
    if args.pull not in _POLICIES:
        raise UsageError(f"invalid policy --pull {args.pull}", hint=f"write {', '.join(_POLICIES)}")
    return Options(
        image=args.image,
        arguments=tuple(args.command),
        name=args.name,
        entrypoint=args.entrypoint,
        env=environment.from_options(args.env or (), args.env_file or (), os.environ),
        user=args.user,
        working_dir=args.workdir,
        hostname=args.hostname,
        labels=tuple(options.parse_label(word) for word in args.label or ()),
        ports=tuple(port for word in args.publish or () for port in options.parse_ports(word)),
        volumes=tuple(options.parse_volume(word) for word in args.volume or ()),
        network=args.network,
        terminal=args.tty,
        interactive=args.interactive,
        remove=args.rm,
        read_only=args.read_only,
        host_ca=args.host_ca or settings.host_ca,
        isolation=args.isolation or settings.isolation,
        snapshotter=args.snapshotter or settings.snapshotter,
        no_new_privileges=options.forbids_new_privileges(args.security_opt or ()),
        seccomp="seccomp=unconfined" not in (args.security_opt or ()),
        conditions=conditions.read(args, settings),
        platform=platforms.parse(args.platform) if args.platform else None,
    )


def _provide_image(store: Store, args: argparse.Namespace, wanted: Options) -> None:
    """Pull the image where it is not here, or always; a name that no registry can have is not asked for.

    Where the container will run in this process's own mode, its trees are made on the way.
    """
    name, here = args.image, store.images.resolve(args.image, platform=wanted.platform)
    if args.pull == "never" or (args.pull == "missing" and here):
        return
    try:
        reference = references.parse(name).with_default_tag()
    except WherryError:
        if here:
            return
        raise
    other = None if here else store.images.resolve(name)
    if other and not store.images.is_in(reference.name, other.id):
        store.images.find(
            name, wanted.platform
        )  # tells what it is for: no registry has it for another platform
    from wherry.cli.transfers import PULL, Transfers
    from wherry.registry import access
    from wherry.registry.pull import pull
    from wherry.runtime import modes

    unpack = modes.expected(wanted.isolation).name == "root"
    if not here and not args.quiet:
        print(f"Unable to find image '{reference.familiar}' locally", file=sys.stderr, flush=True)
    with Transfers(PULL, sys.stderr, args.quiet) as transfers:
        try:
            way = access.load(args.tls_verify, name)
            pull(store, reference, wanted.platform, transfers, access=way, unpack=unpack)
        except NotFound as error:
            error.hint = error.hint or "`wherry images` lists the images that are here"
            raise
