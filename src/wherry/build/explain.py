"""Why the steps of a kept build ran or did not, from its account and from what the store still has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wherry.base import values
from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import picking
from wherry.build.account import (
    BASE,
    DIFFERS,
    EXECUTED,
    FAILED,
    FILES,
    LOST,
    UNOBSERVED,
    Account,
    Change,
    Difference,
    Went,
)
from wherry.build.kept import Build, Place
from wherry.build.misses import LISTED
from wherry.build.reads import Reader, Reads, Unused, images_of, shown_at
from wherry.layer.entry import DIRECTORY
from wherry.oci.digest import Digest
from wherry.snapshot.differences import ALL, NAMES, differences, ways
from wherry.snapshot.view import View
from wherry.store.builds import Kept
from wherry.store.store import Store


class Why(NamedTuple):
    """Why a step was executed: `cause` and `text` as in `Miss`, and what is other than the last time.

    `below` are the names of the steps below it that were executed too.
    """

    cause: str
    text: str = ""
    differences: tuple[Difference, ...] = ()
    more: int = 0
    changes: tuple[Change, ...] = ()
    below: tuple[str, ...] = ()


class Explained(NamedTuple):
    """One step: what is kept of it, how it went, and why it was executed, if it was."""

    number: int
    place: Place
    went: Went
    why: Why | None = None
    reads: Reads | None = None


class Explanation(NamedTuple):
    """`unused` is None where it was not asked for."""

    id: str
    created: float
    build: Build
    account: Account
    steps: tuple[Explained, ...]
    unused: tuple[Unused, ...] | None = None


def explain(
    store: Store, kept: Kept, step: str = "", *, reads: bool = False, unused: bool = False
) -> Explanation:
    """The build `kept`, or its one `step`. NotFound where it is too old to say anything."""
    build = picking.build_of(kept)
    account = _account(kept, build)
    images = images_of(store, build, account)
    if unused and images is None:
        raise UsageError(
            "this build failed: what the steps need that it did not come to is not known",
            hint="leave out --unused",
        )
    reader = Reader(store, build, account, images)
    chosen = [picking.step(build, step)] if step else _shown(build, account)
    steps = tuple(_explained(reader, build, account, number, reads=reads) for number in chosen)
    found = tuple(reader.unused()) if unused else None
    return Explanation(kept.id, kept.created, build, account, steps, found)


def _account(kept: Kept, build: Build) -> Account:
    account = values.decode(Account, kept.account) if kept.account else Account(0, ())
    if len(account.steps) != len(build.places):
        raise NotFound(f"nothing is kept of how the build {kept.id} went", hint="build it once more")
    return account


def _shown(build: Build, account: Account) -> list[int]:
    """What an instruction says, and what else was executed for one."""
    steps = enumerate(zip(build.places, account.steps, strict=True))
    return [
        number
        for number, (place, went) in steps
        if picking.label(place) or (place.name and went.result in (EXECUTED, FAILED))
    ]


def _explained(reader: Reader, build: Build, account: Account, number: int, *, reads: bool) -> Explained:
    place, went = build.places[number], account.steps[number]
    found = reader.reads(number) if reads else None
    return Explained(number, place, went, _why(reader, build, account, number), found)


def _why(reader: Reader, build: Build, account: Account, number: int) -> Why | None:
    place, went = build.places[number], account.steps[number]
    miss = went.miss
    if miss is None:
        return None
    why = Why(miss.cause, miss.text, miss.differences, miss.more, miss.changes)
    if miss.cause == DIFFERS:
        return why._replace(differences=tuple(_placed(reader, place, item) for item in miss.differences))
    if miss.cause == FILES:
        return _why_copied(reader, place, miss.before, went.layer)
    if miss.cause == UNOBSERVED:
        return why._replace(below=tuple(_executed_below(build, account, number)))
    return why


def _placed(reader: Reader, place: Place, found: Difference) -> Difference:
    """What is in a mount, by its path in the step's root filesystem."""
    for mount in place.run.mounts:
        if mount.kind == "bind" and mount.input is not None and mount.input + 1 == found.tree:
            try:
                source = reader.view(place.inputs[mount.input]).resolve(mount.source).strip("/")
            except WherryError:
                source = mount.source.strip("/")
            return found._replace(path=shown_at(mount, source, found.path))
    return found


def _why_copied(reader: Reader, place: Place, before: Digest | None, layer: Digest | None) -> Why:
    """The files that are not as they were, by their names below the target."""
    old, new = (reader.view((diff_id,) if diff_id else ()) for diff_id in (before, layer))
    try:
        found = differences(old, new)
    except WherryError:
        return Why(LOST)
    target = (place.copy.target if place.copy else "").strip("/")
    prefix = f"{target}/" if target else ""
    unlike = _unlike_files(old, new, found) or _unlike_times(old, new)
    items = [Difference(path.removeprefix(prefix), how) for path, how in unlike]
    return Why(FILES, differences=tuple(items[:LISTED]), more=max(len(items) - LISTED, 0))


def _unlike_files(old: View, new: View, found: Mapping[str, int]) -> list[tuple[str, tuple[str, ...]]]:
    items = []
    for path, bits in sorted(found.items()):
        there = new.lookup(path) or old.lookup(path)
        is_folder = there is not None and there.entry.kind == DIRECTORY
        # What is in a new folder is new too, and says it better.
        if (how := ways(old, new, path, bits & ~NAMES)) and not (is_folder and bits == ALL):
            items.append((path, how))
    return items


def _unlike_times(old: View, new: View) -> list[tuple[str, tuple[str, ...]]]:
    """They count with `--timestamps=keep`; without, files that are the same have the same."""
    pairs = ((old.lookup(found.entry.path), found) for found in new.walk() if found.entry.path)
    return [
        (after.entry.path, ("time",))
        for before, after in pairs
        if before and before.entry.mtime != after.entry.mtime
    ]


def _executed_below(build: Build, account: Account, number: int) -> Iterator[str]:
    """The names of the steps that it stands on, next first, that were executed."""
    pending = list(build.places[number].needs)
    seen = set(pending)
    while pending:
        other = pending.pop(0)
        went, place = account.steps[other], build.places[other]
        if went.result == EXECUTED or (went.result == BASE and went.changes):
            yield place.name
        for below in place.needs:
            if below not in seen:
                seen.add(below)
                pending.append(below)
