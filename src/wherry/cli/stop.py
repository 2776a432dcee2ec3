"""`wherry stop`: the stop signal, and SIGKILL for what does not listen."""

from __future__ import annotations

import argparse

from wherry.cli.parser import Parser
from wherry.cli.several import each
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add_signal(parser)
    add_timeout(parser)
    parser.add_argument("containers", metavar="CONTAINER", nargs="+")


def run(args: argparse.Namespace) -> int:
    from wherry.container.stop import stop

    root, patience, number = default_root(), seconds(args), chosen_signal(args)

    def one(name: str) -> None:
        stop(root, name, patience, number)
        print(name, flush=True)

    return each(args.containers, one)


def add_signal(parser: Parser) -> None:
    parser.add_argument(
        "-s", "--signal", metavar="SIGNAL", help="the signal to send (else the container's stop signal)"
    )


def chosen_signal(args: argparse.Namespace) -> int | None:
    from wherry.container.signals import number_of

    return None if args.signal is None else number_of(args.signal)


def add_timeout(parser: Parser) -> None:
    parser.add_argument(
        "-t",
        "--timeout",
        "--time",
        metavar="SECONDS",
        type=int,
        help="how long to wait before SIGKILL (else the container's --stop-timeout, or 10)",
    )


def seconds(args: argparse.Namespace) -> float | None:
    return None if args.timeout is None else float(args.timeout)
