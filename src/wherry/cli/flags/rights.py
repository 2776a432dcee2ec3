"""The flags of `run` and `create` about what the container's processes may do."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.container.options import devices, rights, sysctls
from wherry.container.options.rights import Rights

_NAMESPACES = ("ipc", "pid", "uts", "cgroupns", "userns")

_HELP = {
    "ipc": "its shared memory: private is what there is",
    "pid": "its process numbers: private is what there is",
    "uts": "its host name: private is what there is",
    "cgroupns": "its view of cgroups: private is what there is",
    "userns": "its user namespace: host is what there is, keep-id leaves you your own number",
}


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--cap-add", metavar="NAME", action="append", default=[], help="add a capability, or ALL")
    add("--cap-drop", metavar="NAME", action="append", default=[], help="take a capability away, or ALL")
    add("--privileged", action="store_true", help="all capabilities and devices, nothing masked, no seccomp")
    add(
        "--security-opt",
        metavar="OPTION",
        action="append",
        default=[],
        help="one of no-new-privileges, seccomp=FILE|unconfined, systempaths=unconfined",
    )
    add("--device", metavar="PATH[:PATH]", action="append", default=[], help="give it a device of the host's")
    add("--sysctl", metavar="NAME=VALUE", action="append", default=[], help="set a setting of its namespaces")
    add("--group-add", metavar="GROUP", action="append", default=[], help="one more group of its user")
    add("--init", action="store_true", help="begin with an init that reaps processes and passes signals on")
    add("--oom-score-adj", type=int, metavar="SCORE", help="how soon it is killed where memory is short")
    for name in _NAMESPACES:
        add(f"--{name}", metavar="MODE", default="", help=_HELP[name])


def read(args: argparse.Namespace) -> Rights:
    """What the flags say. Raises UsageError, and Unsupported for what containers do not have here."""
    for name in _NAMESPACES:
        rights.check_namespace(name, getattr(args, name))
    wanted = Rights(
        add=_capabilities("--cap-add", args.cap_add),
        drop=_capabilities("--cap-drop", args.cap_drop),
        privileged=args.privileged,
        devices=tuple(devices.parse(word) for word in args.device),
        sysctls=tuple(sysctls.parse(word) for word in args.sysctl),
        groups=tuple(args.group_add),
        init=args.init,
        oom_score_adj=args.oom_score_adj,
    )
    return rights.secured(wanted, args.security_opt)


def _capabilities(flag: str, words: list[str]) -> tuple[str, ...]:
    if not words:
        return ()
    from wherry.runtime import capabilities

    return tuple(capabilities.named(word, flag) for word in words)
