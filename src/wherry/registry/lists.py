"""What a registry lists in pages: the tags of a repository (distribution-spec 1.1, "Listing Tags")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wherry.base.errors import Corrupt
from wherry.base.text import one_line
from wherry.oci import reference as references
from wherry.oci.descriptor import decode
from wherry.registry.client import Client

_PAGE = 1000
"""Tags that are asked for at once; a registry may give fewer."""
_MAX_PAGES = 10_000
_NEXT = re.compile(r"""<([^<>]*)>[^<>]*;\s*rel\s*=\s*"?next\b""", re.IGNORECASE)
"""RFC 8288, 3: the URL of the next page."""


def tags(client: Client) -> list[str]:
    """All tags of the repository, in a reader's order: v1.9 before v1.10. NotFound where there is none."""
    found: set[str] = set()
    missing = f"no such repository: {client.reference.familiar_name}"
    for raw in pages(client, f"tags/list?n={_PAGE}", "application/json", missing):
        found.update(_names(client, raw or b"{}"))
    return sorted(found, key=by_numbers)


def pages(
    client: Client, path: str, accept: str, missing: str = "", unknown: Sequence[int] = ()
) -> Iterator[bytes | None]:
    """The documents of a list, one for each page; None, and the end, for a status of `unknown`.

    A registry that leads elsewhere, or in a circle, is refused.
    """
    seen: set[str] = set()
    while path:
        if path in seen or len(seen) == _MAX_PAGES:
            raise Corrupt(f"{client.registry} gives a list without end for {client.reference.familiar_name}")
        seen.add(path)
        response, raw = client.page(path, accept, missing, unknown)
        if response.status in unknown:
            yield None
            return
        match = _NEXT.search(response.header("Link"))
        path = client.redirected(response, match[1]) if match else ""
        yield raw


def _names(client: Client, raw: bytes) -> list[str]:
    names = decode(raw).get("tags") or []
    if not isinstance(names, list):
        raise Corrupt(f"{client.registry} sent a list of tags that is none")
    for name in names:
        if not isinstance(name, str) or not references.is_tag(name):
            raise Corrupt(f"{client.registry} lists what is no tag: {one_line(repr(name))[:140]}")
    return names


def by_numbers(name: str) -> list[tuple[int, int, str]]:
    """A key to sort by: digits count as numbers; what is the same by number is told apart by its text."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]
