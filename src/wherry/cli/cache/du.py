"""`wherry cache du`: what the build cache takes on the disk, as `docker buildx du` lists it."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.base.text import one_line
from wherry.runtime import modes
from wherry.store.entries import Entry, entries
from wherry.store.store import Store
from wherry.ui import format, table, units

HEADERS = {
    "ID": "ID",
    "Reclaimable": "RECLAIMABLE",
    "Size": "SIZE",
    "LastUsedSince": "LAST ACCESSED",
    "LastUsedAt": "LAST ACCESSED AT",
    "CreatedAt": "CREATED AT",
    "Shared": "SHARED",
    "Type": "TYPE",
    "Description": "DESCRIPTION",
}
_COLUMNS = ("ID", "Reclaimable", "Size", "LastUsedSince")
_VERBOSE = {
    "ID": "ID",
    "Created at": "CreatedAt",
    "Reclaimable": "Reclaimable",
    "Shared": "Shared",
    "Size": "Size",
    "Description": "Description",
    "Last used": "LastUsedSince",
    "Type": "Type",
}


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    parser.add_argument("--verbose", action="store_true", help="Show all that is known of each part")


def run(args: argparse.Namespace) -> int:
    if args.verbose and args.format:
        raise UsageError("--verbose is a format of its own: --format does not go with it")
    with Store.open() as store:
        modes.enter_as_user()
        found = entries(store)[::-1]
    rows = list(map(_row, found))
    if args.verbose:
        print("".join(map(_block, rows)), end="")
    else:
        print(format.listing(args.format, HEADERS, _COLUMNS, rows), end="")
    if args.verbose or args.format in ("", "table"):
        print(_totals(found), end="")
    return 0


def _row(entry: Entry) -> dict[str, object]:
    """An image's layer is not to be had as long as the image is there."""
    return {
        "ID": entry.id,
        "Reclaimable": str(not entry.held).lower(),
        "Size": units.size(entry.size),
        "LastUsedSince": units.ago(entry.used) if entry.used else "",
        "LastUsedAt": units.rfc3339(entry.used) if entry.used else "",
        "CreatedAt": units.rfc3339(entry.created) if entry.created else "",
        "Shared": str(entry.held).lower(),
        "Type": entry.kind,
        "Description": entry.text,
    }


def _block(row: dict[str, object]) -> str:
    lines = [[f"{title}:", one_line(str(row[field]))] for title, field in _VERBOSE.items()]
    return table.align(lines, minimum=0, gap=1) + "\n"


def _totals(found: list[Entry]) -> str:
    shared = sum(entry.size for entry in found if entry.held)
    total = sum(entry.size for entry in found)
    sums = {"Shared": shared, "Private": total - shared, "Reclaimable": total - shared, "Total": total}
    return table.align([[f"{name}:", units.size(size)] for name, size in sums.items()])
