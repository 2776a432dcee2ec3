"""`wherry events`: what happens to containers, images, volumes and networks."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from wherry.base.errors import UsageError
from wherry.cli.parser import Parser
from wherry.store.events import Event
from wherry.store.store import default_root


def register(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "-f",
        "--filter",
        metavar="KEY=VALUE",
        action="append",
        help="only those: type=, event=, container= ...",
    )
    add("--format", default="", help="'json' or a Go template, for each event in turn")
    add(
        "--since",
        metavar="TIME",
        default="",
        help="first those from this time on: 10m ago, 2026-01-31T12:00:00Z",
    )
    add("--until", metavar="TIME", default="", help="end with those of this time")


def run(args: argparse.Namespace) -> int:
    from wherry.store import eventfilters, events

    wanted = eventfilters.parse(args.filter or ())
    now = time.time()
    since, until = _moment(args.since, now), _moment(args.until, now)
    if since is not None and until is not None and since > until:
        raise UsageError(f"--since {args.since} is after --until {args.until}")
    if until is not None and since is None:
        since = 0

    def over() -> bool:
        return until is not None and time.time_ns() >= until

    for event in events.follow(default_root(), since=since, over=over):
        if (until is None or event.time <= until) and wanted.takes(event):
            sys.stdout.write(_text(event, args.format))
            sys.stdout.flush()
    return 0


def _moment(text: str, now: float) -> int | None:
    """In nanoseconds since 1970; None for no text."""
    from wherry.ui.units import nanoseconds

    return nanoseconds(text, now) if text else None


def _text(event: Event, form: str) -> str:
    from wherry.ui import format

    if not form:
        return _line(event)
    document = _document(event)
    if form in ("json", "{{json .}}"):
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n"
    # Templates call the fields by the names that they have in docker's source.
    fields = {
        {"id": "ID", "timeNano": "TimeNano"}.get(key, key.capitalize()): document[key] for key in document
    }
    return format.document(form, fields)


def _line(event: Event) -> str:
    """`2026-11-21T08:17:14.000000001+00:00 container start 3aa2... (image=app:v1, name=web)`, on one line."""
    from wherry.base.text import one_line

    seconds, rest = divmod(event.time, 10**9)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{rest:09d}{zone[:3]}:{zone[3:]}"
    words = ", ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
    return one_line(f"{moment} {event.kind} {event.action} {event.id}{f' ({words})' if words else ''}") + "\n"


def _document(event: Event) -> dict[str, Any]:
    """As docker's API has it, the fields included that it had first."""
    attributes = dict(sorted(event.attributes.items()))
    old: dict[str, Any] = {}
    if event.kind in ("container", "image"):
        old = {"status": event.action, "id": event.id}
        if event.kind == "container" and "image" in attributes:
            old["from"] = attributes["image"]
    return old | {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes},
        "scope": "local",
        "time": event.time // 10**9,
        "timeNano": event.time,
    }
