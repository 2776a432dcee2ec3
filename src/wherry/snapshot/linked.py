"""The names of one file in a view, as an archive has them: the first is the file, the others link to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wherry.layer.entry import FILE, HARDLINK, Entry
from wherry.snapshot.view import Found


def linked(items: Iterable[Found]) -> Iterator[tuple[Found, Entry]]:
    """Each with the entry that stands for it. A view shows hard links as files: two names are one file where
    their content is the same piece of a layer."""
    names: dict[tuple[str, int], str] = {}
    for found in items:
        entry = found.entry
        if entry.kind == FILE and entry.offset >= 0:
            first = names.setdefault((found.diff_id, entry.offset), entry.path)
            if first != entry.path:
                entry = entry._replace(kind=HARDLINK, link=first, size=0, digest=b"", offset=-1)
        yield found, entry
