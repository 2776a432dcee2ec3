"""The flags of `run` and `create` about the health check."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError, WherryError
from wherry.cli.parser import Parser
from wherry.container.options.health import Health


def register(parser: Parser) -> None:
    add = parser.add_argument
    add("--health-cmd", metavar="COMMAND", default="", help="a command for a shell that checks the health")
    add("--health-interval", metavar="TIME", default="", help="the time between two checks (30s)")
    add("--health-timeout", metavar="TIME", default="", help="the time that a check may take (30s)")
    add("--health-start-period", metavar="TIME", default="", help="failures do not count before (0s)")
    add("--health-start-interval", metavar="TIME", default="", help="the interval in that period (5s)")
    add("--health-retries", metavar="N", type=int, default=0, help="failures that mean unhealthy (3)")
    add("--no-healthcheck", action="store_true", help="do not run the image's health check")


def read(args: argparse.Namespace) -> Health:
    wanted = Health(
        test=("CMD-SHELL", args.health_cmd) if args.health_cmd else (),
        interval=_time("--health-interval", args.health_interval),
        timeout=_time("--health-timeout", args.health_timeout),
        start_period=_time("--health-start-period", args.health_start_period),
        start_interval=_time("--health-start-interval", args.health_start_interval),
        retries=args.health_retries,
    )
    if args.no_healthcheck:
        if any(wanted):
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return Health(("NONE",))
    return wanted


def _time(flag: str, text: str) -> int:
    """Nanoseconds; 0 where nothing is said."""
    if not text:
        return 0
    from wherry.dockerfile.values import duration

    try:
        return duration(text)
    except WherryError as error:
        raise UsageError(f"{flag}: {error.message}", hint=error.hint) from None
