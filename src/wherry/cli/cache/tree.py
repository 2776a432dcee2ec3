"""`wherry cache tree`: which results stand on which, from the bases up."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from wherry.base.text import clipped, one_line
from wherry.base.tuples import NamedTuple
from wherry.cli.cache import ls as cachels
from wherry.oci import digest as digests
from wherry.oci.digest import NO_LAYERS, Digest
from wherry.runtime import modes
from wherry.store.results import Kept, results
from wherry.store.store import Store
from wherry.ui import format, table

HEADERS = {"Tree": "RESULT", "Depth": "DEPTH", "Images": "IMAGES", **cachels.HEADERS}
_COLUMNS = ("Tree", "ID", "Size", "LastUsedSince", "Holds")
_WIDTH = 60
_FIELDS = dict.fromkeys(cachels.HEADERS, "")


class _Node(NamedTuple):
    """A result, or the base that results stand on, and what is drawn to the left of it."""

    lines: str
    chain: Digest
    depth: int
    kept: Kept | None = None


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    parser.add_argument("--no-trunc", action="store_true", help="Cut nothing off")


def run(args: argparse.Namespace) -> int:
    with Store.open() as store:
        modes.enter_as_user()
        names = _names(store)
        nodes = list(_nodes(results(store), names))
    rows = [_row(node, names.get(node.chain, ()), args.no_trunc) for node in nodes]
    plain = args.format in ("", "table")
    print(_drawn(rows) if plain else format.listing(args.format, HEADERS, _COLUMNS, rows), end="")
    return 0


def _drawn(rows: list[dict[str, object]]) -> str:
    """The table, with the blanks that cells begin with; of bases nothing but the name."""
    cells = [[str(row[column]) for column in (_COLUMNS if row["Depth"] else _COLUMNS[:1])] for row in rows]
    return table.render([HEADERS[column] for column in _COLUMNS], cells)


def _names(store: Store) -> dict[Digest, tuple[str, ...]]:
    """The names of images by the chain IDs of their layers."""
    found: dict[Digest, tuple[str, ...]] = {}
    for image in store.images.all():
        names = tuple(name.familiar for name in store.images.holders(image.id))
        chain = digests.chain_id(image.config.diff_ids)
        found[chain] = (*found.get(chain, ()), *names)
    return found


def _nodes(found: list[Kept], names: dict[Digest, tuple[str, ...]]) -> Iterator[_Node]:
    """The nodes from above to below. Nothing here calls itself: a Dockerfile may have thousands of COPYs."""
    children: dict[Digest, list[Kept]] = {}
    for kept in sorted(found, key=lambda kept: kept.made):
        for parent in kept.parents:
            children.setdefault(parent, []).append(kept)
    made = {kept.above(parent) for parent, above in children.items() for kept in above if kept.layer}
    bases = sorted(children.keys() - made, key=lambda chain: _base(chain, names))
    pending = [(_Node("", chain, 0), "") for chain in reversed(bases)]
    while pending:
        node, margin = pending.pop()
        yield node
        above = children.get(node.chain, []) if node.kept is None or node.kept.layer else []
        for kept in reversed(above):
            is_last = kept is above[-1]
            lines = f"{margin}{'└─ ' if is_last else '├─ '}"
            child = _Node(lines, kept.above(node.chain), node.depth + 1, kept)
            pending.append((child, f"{margin}{'   ' if is_last else '│  '}"))


def _base(chain: Digest, names: dict[Digest, tuple[str, ...]]) -> str:
    if chain == NO_LAYERS:
        return "scratch"
    if chain not in names:
        return f"layers that are gone ({digests.short(chain)})"
    return ", ".join(names[chain]) or f"an image without a name ({digests.short(chain)})"


def _row(node: _Node, names: tuple[str, ...], whole: bool) -> dict[str, object]:
    if node.kept is None:
        text = _base(node.chain, {node.chain: names} if names else {})
        return {**_FIELDS, "Tree": text, "Depth": 0, "Images": ", ".join(names)}
    own = names if node.kept.layer else ()
    label = f" = {', '.join(own)}" if own else ""
    text = one_line(node.kept.text)
    text = text if whole else clipped(text, max(_WIDTH - len(node.lines) - len(label), 20))
    fields = cachels.row(node.kept, whole)
    return {**fields, "Tree": f"{node.lines}{text}{label}", "Depth": node.depth, "Images": ", ".join(own)}
