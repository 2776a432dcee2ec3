"""What of a build's executed steps is other than in the last build of the same Dockerfile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from wherry.base import values
from wherry.base.errors import WherryError
from wherry.build import picking
from wherry.build.account import (
    BASE,
    FAILED,
    FAILED_BEFORE,
    FILES,
    NEW,
    REMOVED,
    Account,
    Change,
    Miss,
    Went,
)
from wherry.build.kept import Build, Place
from wherry.build.stage import DEFAULT_SHELL
from wherry.build.step import Copy, Mount
from wherry.build.times import DEFAULT_EPOCH, FIXED, KEEP
from wherry.store.builds import Builds

_LOOKED_THROUGH = 5
"""Builds, before a step counts as new: one context may have several Dockerfiles and targets."""


def completed(builds: Builds, build: Build, account: Account) -> Account:
    """The account with what comparing it with those of the last builds tells. Before this one is kept."""
    steps = list(account.steps)
    open_ones = {number for number, went in enumerate(steps) if went.miss is not None or went.result == BASE}
    for last, old in islice(_last(builds, build), _LOOKED_THROUGH):
        found = {new: old for new, old in matches(last.places, build.places).items() if new in open_ones}
        for number, match in found.items():
            before, place = last.places[match], build.places[number]
            changed = tuple(changes(before, place, _times(old), _times(account)))
            steps[number] = _compared(steps[number], old.steps[match], before.parent != place.parent, changed)
        open_ones -= found.keys()
        if not open_ones:
            break
    return account._replace(steps=tuple(steps))


def _last(builds: Builds, build: Build) -> Iterator[tuple[Build, Account]]:
    """The last builds of the same context and file, the last one first."""
    for kept in builds.newest():
        if (kept.document.get("context"), kept.document.get("file")) != (build.context, build.file):
            continue
        try:
            last = picking.build_of(kept)
            account = values.decode(Account, kept.account)
        except WherryError:
            continue
        if len(account.steps) == len(last.places):
            yield last, account


def _compared(went: Went, last: Went, is_on_other: bool, changed: tuple[Change, ...]) -> Went:
    if went.miss is not None:
        return went._replace(miss=_with_last(went.miss, last, changed))
    return went._replace(changes=(Change("image"),)) if is_on_other else went


def _with_last(miss: Miss, last: Went, changed: tuple[Change, ...]) -> Miss:
    if miss.cause == FILES and last.layer is not None:
        return miss._replace(before=last.layer)
    if miss.cause != NEW:
        return miss
    if changed:
        return miss._replace(changes=changed)
    if last.result == FAILED:
        return miss._replace(cause=FAILED_BEFORE)
    return miss._replace(cause=REMOVED) if last.result else miss


def matches(old: Sequence[Place], new: Sequence[Place]) -> dict[int, int]:
    """For steps of `new` by number the step of `old` that is the same instruction, or was before an edit.

    In each stage equal instructions are the same, in their order. One that is in no other place, behind
    two that are the same and with the same keyword, was edited.
    """
    found: dict[int, int] = {}
    free: dict[tuple[str, str], list[int]] = {}
    for number, place in enumerate(old):
        free.setdefault((_stage(place), picking.instruction(place)), []).append(number)
    for number, place in enumerate(new):
        if candidates := free.get((_stage(place), picking.instruction(place))):
            found[number] = candidates.pop(0)
    taken = set(found.values())
    following = {(_stage(place), place.needs[0]): n for n, place in enumerate(old) if place.needs}
    for number, place in enumerate(new):
        if number in found:
            continue
        if not place.needs:  # FROM: one a stage
            behind = next(
                (n for n, other in enumerate(old) if not other.needs and _is_like(other, place)), None
            )
        else:
            behind = following.get((_stage(place), found.get(place.needs[0], -1)))
        if behind is not None and behind not in taken and _is_like(old[behind], place):
            found[number] = behind
            taken.add(behind)
    return found


def _stage(place: Place) -> str:
    """`builder` of `[builder 2/5] RUN make`."""
    return picking.label(place).rpartition(" ")[0]


def _is_like(old: Place, new: Place) -> bool:
    keywords = {picking.instruction(place).partition(" ")[0] for place in (old, new)}
    return len(keywords) == 1 and _stage(old) == _stage(new)


def changes(
    old: Place, new: Place, old_times: tuple[int, str] = (0, ""), new_times: tuple[int, str] = (0, "")
) -> Iterator[Change]:
    """What of a step itself is other than it was; nothing of what it stands on."""
    texts = picking.instruction(old), picking.instruction(new)
    if texts[0] != texts[1]:
        yield Change("instruction", "", *texts)
    if old.platform != new.platform:
        yield Change("platform", "", old.platform, new.platform)
    if old_times[0] != new_times[0]:
        yield Change("SOURCE_DATE_EPOCH", "", _epoch(old_times[0]), _epoch(new_times[0]))
    if bool(old_times[1]) != bool(new_times[1]):
        yield Change("--timestamps", "", *(KEEP if word else FIXED for _, word in (old_times, new_times)))
    if new.kind == "Run":
        yield from _changes_of_run(old, new, is_same_text=texts[0] == texts[1])
    elif new.kind == "Copy" and old.copy is not None and new.copy is not None:
        yield from _changes_of_copy(old.copy, new.copy, is_same_text=texts[0] == texts[1])
    elif new.kind == "Folder":
        if old.run.folder != new.run.folder:
            yield Change("WORKDIR", "", old.run.folder, new.run.folder)
        if old.run.user != new.run.user:
            yield Change("USER", "", old.run.user, new.run.user)


def _times(account: Account) -> tuple[int, str]:
    return account.epoch, account.timestamps


def _epoch(epoch: int) -> str | None:
    return None if epoch == DEFAULT_EPOCH else str(epoch)


def _changes_of_run(old: Place, new: Place, *, is_same_text: bool) -> Iterator[Change]:
    if old.shell != new.shell:
        before_shell, shell = (" ".join(place.shell or DEFAULT_SHELL) for place in (old, new))
        yield Change("SHELL", "", before_shell, shell)
    elif is_same_text and (old.run.args != new.run.args or old.run.scripts != new.run.scripts):
        yield Change("here-document")
    before, now = dict(old.run.environment), dict(new.run.environment)
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            is_argument = name in (new.arguments if name in now else old.arguments)
            yield Change("ARG" if is_argument else "ENV", name, before.get(name), now.get(name))
    if before == now and old.run.environment != new.run.environment:
        yield Change("ENV", "order of the variables")
    pairs = (
        ("USER", old.run.user, new.run.user),
        ("WORKDIR", old.run.folder, new.run.folder),
        ("--network", old.run.network, new.run.network),
    )
    yield from (Change(what, "", before, now) for what, before, now in pairs if before != now)
    if is_same_text:
        yield from _changes_of_mounts(old.run.mounts, new.run.mounts)


def _changes_of_mounts(old: Sequence[Mount], new: Sequence[Mount]) -> Iterator[Change]:
    """With the same words a mount changes where its variables or WORKDIR do."""
    before, now = (
        {mount.target or mount.id: mount._replace(label="") for mount in side} for side in (old, new)
    )
    for target in dict.fromkeys((*before, *now)):
        if before.get(target) != now.get(target):
            yield Change("--mount", target)


_COPIED = (
    ("sources", "patterns"),
    ("target", "target"),
    ("--chown", "owner"),
    ("--chmod", "mode"),
    ("--exclude", "excludes"),
    ("--from", "context"),
)


def _changes_of_copy(old: Copy, new: Copy, *, is_same_text: bool) -> Iterator[Change]:
    if not is_same_text:
        return
    for what, field in _COPIED:
        before, now = (_text(getattr(copy, field)) for copy in (old, new))
        if before != now:
            yield Change(what, "", before, now)
    if old.inline != new.inline:
        yield Change("here-document")
    if old.remotes != new.remotes:
        yield Change("sources")


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)
