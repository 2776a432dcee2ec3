"""`wherry cache ls`: the results of steps that the build cache has, the last used first."""

from __future__ import annotations

import argparse

from wherry.base.text import clipped
from wherry.oci import digest as digests
from wherry.runtime import modes
from wherry.store.results import Kept, results
from wherry.store.store import Store
from wherry.ui import format, units

HEADERS = {
    "ID": "ID",
    "Step": "STEP",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "LastUsedSince": "LAST USED",
    "LastUsedAt": "LAST USED AT",
    "Size": "SIZE",
    "Saves": "SAVES",
    "Holds": "HOLDS",
    "Parents": "PARENTS",
    "Network": "NETWORK",
}
_COLUMNS = ("ID", "Step", "CreatedSince", "LastUsedSince", "Size", "Saves", "Holds")
_WIDTH = 50


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    add("--no-trunc", action="store_true", help="Cut nothing off")
    add("-q", "--quiet", action="store_true", help="Show the IDs of layers only")


def run(args: argparse.Namespace) -> int:
    with Store.open() as store:
        modes.enter_as_user()
        found = results(store)
    if args.quiet:
        found = [kept for kept in found if kept.layer]
    spec = "{{.ID}}" if args.quiet and args.format in ("", "table") else args.format
    print(format.listing(spec, HEADERS, _COLUMNS, [row(kept, args.no_trunc) for kept in found]), end="")
    return 0


def row(kept: Kept, whole: bool) -> dict[str, object]:
    """The fields of a result; what changed nothing has no layer, so no ID."""
    return {
        "ID": (kept.layer if whole else digests.short(kept.layer)) if kept.layer else "<none>",
        "Step": kept.text if whole else clipped(kept.text, _WIDTH),
        "CreatedSince": units.ago(kept.made),
        "CreatedAt": units.rfc3339(kept.made),
        "LastUsedSince": units.ago(kept.used),
        "LastUsedAt": units.rfc3339(kept.used),
        "Size": units.size(kept.size),
        "Saves": units.span(kept.seconds),
        "Holds": "as observed" if kept.observed else "exactly",
        "Parents": str(len(kept.parents)),
        "Network": str(kept.networked).lower(),
    }
