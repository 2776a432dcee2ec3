"""What a COPY asked of a context, so that the next build need only ask the same again.

What a COPY copies follows from its operation, the ignore file, and what the context answers: what is at a
path, which names are in a folder, all that lies below one. Where every answer is the same, so is the digest
of what is copied, and no entry is made of 50,000 files. Files count as the same by their stamps
(`filedigests.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry import __version__
from wherry.build.filedigests import CTIME, Listing, Stamp, is_settled, now, packed
from wherry.build.step import Copy
from wherry.build.times import Times
from wherry.oci.digest import Digest

if TYPE_CHECKING:
    from wherry.build.context import Context

FIXED = Times()
LOOKUP, NAMES, WALK = "lookup", "names", "walk"

Answer = tuple[str, str, bytes]
"""What was asked, of which path, and what stands for the answer."""


class Seen:
    """The questions that one reader of a context was asked, with what it answered, in their order."""

    def __init__(self) -> None:
        self._began = now()
        self._newest = 0
        self._answers: list[Answer | None] = []

    def lookup(self, path: str, found: Stamp | None, *, is_folder: bool) -> None:
        """Of a folder only its kind and mode count: what is in it is another question."""
        if found is not None and not is_folder:
            self._newest = max(self._newest, found[CTIME])
        self._answers.append((LOOKUP, path, looked_up(found, is_folder=is_folder)))

    def names(self, path: str, names: list[str]) -> None:
        self._answers.append((NAMES, path, listed(names)))

    def walk(self, path: str) -> Walk:
        self._answers.append(None)
        return Walk(self._ended, len(self._answers) - 1, path)

    def _ended(self, at: int, answer: Answer, newest: int) -> None:
        self._newest = max(self._newest, newest)
        self._answers[at] = answer

    @property
    def answers(self) -> list[Answer] | None:
        """None where they prove nothing: a folder was not gone through to its end, or a file is so young that
        it could change and look the same."""
        answers = [answer for answer in self._answers if answer is not None]
        is_whole = len(answers) == len(self._answers)
        return answers if is_whole and is_settled(self._newest, self._began) else None


class Walk:
    """One walk through a folder, as its listings are come upon."""

    def __init__(self, ended: Callable[[int, Answer, int], None], at: int, path: str) -> None:
        self._ended = ended
        self._at = at
        self._path = path
        self._hash = hashlib.sha256()
        self._newest = 0

    def listed(self, listing: Listing) -> None:
        self._hash.update(listing.answer())
        self._newest = max(self._newest, listing.newest)

    def end(self) -> Answer:
        answer = (WALK, self._path, self._hash.digest())
        self._ended(self._at, answer, self._newest)
        return answer


def looked_up(found: Stamp | None, *, is_folder: bool) -> bytes:
    if found is None:
        return b""
    return b"folder %o" % found[0] if is_folder else packed([found])


def listed(names: list[str]) -> bytes:
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).digest()


def recalled(operation: Copy, context: Context, times: Times = FIXED) -> str | None:
    """The digest of what the operation copies, where the context answers as it did when that was known."""
    known = context.digests.copy(_key(operation, times))
    if known is None:
        return None
    answers, content = known
    if all(context.answer(kind, path) == answer for kind, path, answer in answers):
        return str(content)
    return None


def remember(
    operation: Copy, context: Context, answers: list[Answer], content: str, times: Times = FIXED
) -> None:
    """Keep the digest for the next build, unless something was found changed when it was read since."""
    if context.digests.is_firm:
        context.digests.keep_copy(_key(operation, times), (answers, content))


def earlier(recipe: Digest, context: Context) -> Digest | None:
    """The layer that was made last of the recipe, from whatever the context had then; it may be gone."""
    layer = context.digests.layer(_versioned(recipe))
    return Digest(layer) if layer else None


def made(recipe: Digest, context: Context, layer: Digest) -> None:
    context.digests.keep_layer(_versioned(recipe), layer)


def _versioned(recipe: Digest) -> str:
    """Another version may write a layer otherwise."""
    return f"{__version__} {recipe}"


def _key(operation: Copy, times: Times) -> str:
    """All that decides what the operation copies and how its digest is made: another version may differ."""
    asked = (
        operation.patterns,
        operation.inline,
        operation.excludes,
        operation.parents,
        operation.unpack,
        operation.remotes,
        times if times.keeps else None,
    )
    return hashlib.sha256(repr((__version__, asked)).encode("utf-8", "surrogateescape")).hexdigest()
