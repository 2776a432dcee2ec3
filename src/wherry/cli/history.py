"""`wherry history`: what made an image, the last instruction first, with the sizes of the layers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from wherry.base.text import clipped, one_line
from wherry.cli import facts
from wherry.cli.parser import boolean
from wherry.oci import platform as platforms
from wherry.oci.config import History
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.ui import format, units

_MISSING = "<missing>"
_CREATED_BY = 45
_COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    parser.add_argument(
        "-H",
        "--human",
        type=boolean,
        nargs="?",
        const=True,
        default=True,
        help="Show sizes and ages for people (default true); false: bytes and points in time",
    )
    parser.add_argument("--no-trunc", action="store_true", help="Do not shorten what is shown")
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="the image for this platform, where the name has several"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="Show only image IDs")


def run(args: argparse.Namespace) -> int:
    headers = {
        "ID": "IMAGE",
        "CreatedSince": "CREATED" if args.human else "CREATED AT",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    }
    platform = platforms.parse(args.platform) if args.platform else None
    with Store.open() as store:
        image = store.images.find(args.image, platform)
        rows = list(_rows(store, image, args.human, args.no_trunc))
    spec = "{{.ID}}" if args.quiet and args.format in ("", "table") else args.format
    print(format.listing(spec, headers, _COLUMNS, rows), end="")
    return 0


def _rows(store: Store, image: Image, human: bool, whole: bool) -> Iterator[dict[str, object]]:
    """Only the newest row has an ID: what stood before it is no image here."""
    name = facts.shown_id(image.id, whole)
    for step, size in reversed(_sized(store, image)):
        moment = facts.made(step.created, image)
        at = "N/A" if moment is None else units.rfc3339(moment)
        since = "N/A" if moment is None else units.ago(moment)
        created_by = one_line(step.created_by)
        yield {
            "ID": name,
            "CreatedSince": since if human else at,
            "CreatedAt": at,
            "CreatedBy": created_by if whole else clipped(created_by, _CREATED_BY),
            "Size": units.size(size) if human else str(size),
            "Comment": one_line(step.comment),
        }
        name = _MISSING


def _sized(store: Store, image: Image) -> list[tuple[History, int]]:
    """Each step of the history with the size of its layer, the first one first.

    The history is optional in OCI's image-spec and may be short: layers that it leaves out have rows too.
    """
    sizes = iter([facts.layer_size(store, diff_id) for diff_id in image.config.diff_ids])
    steps = [(step, 0 if step.empty_layer else next(sizes, 0)) for step in image.config.history]
    return steps + [(History(), size) for size in sizes]
