"""Why the steps of a build ran, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from wherry.base.text import clipped, one_line
from wherry.build import account as accounts
from wherry.build.account import BASE, EXACT, EXECUTED, FAILED, NOTHING_COPIED, OBSERVED, Change
from wherry.build.explain import Explained, Explanation, Why
from wherry.build.reads import Read, Reads, Unused
from wherry.oci import reference as references
from wherry.ui import table, tally
from wherry.ui.units import ago, rfc3339, span

_WORDS = {
    EXECUTED: "EXECUTED",
    EXACT: "REUSED (exact)",
    OBSERVED: "REUSED (observed)",
    FAILED: "FAILED",
    BASE: "",
    "": "not run",
}
_STYLES = {EXECUTED: "33", EXACT: "36", OBSERVED: "36", FAILED: "1;31", "": "2"}
_CAUSES = {
    accounts.NEW: "never built before",
    accounts.REMOVED: "its result was removed from the store",
    accounts.LOST: "what it was made of the last time was removed from the store: nothing can be compared",
    accounts.FAILED_BEFORE: "it failed in the last build",
    accounts.OTHER_MODE: "its result was made in another mode",
    accounts.FILES: "the same files; what they were copied onto was another, and is not kept",
}
_HOW = {"content": "content", "names": "names listed", "existence": "existence, mode", "absent": "looked for"}
_LONGEST = 200
"""Characters of a value or of an instruction that is told."""


def text(found: Explanation, *, color: bool = False, columns: int | None = None) -> str:
    """The steps, each with its reasons below it, unless only what is unused was asked for. Lines that name a
    step are cut at `columns`."""
    painter = _Painter(color)
    names = ", ".join(references.parse(name).familiar for name in found.build.names)
    head = ", ".join(filter(None, (names, ago(found.created), found.build.context)))
    summed = tally.line(accounts.tally([place.name for place in found.build.places], found.account))
    lines = [f"build {found.id}: {one_line(head)}", summed]
    if found.unused is None or any(step.reads for step in found.steps):
        lines += ["", painter.painted(_row("RESULT", "TOOK", "STEP"), "2")]
        for step in found.steps:
            lines += _step(step, painter, columns)
    for item in found.unused or ():
        lines += ["", *_unused(item, found)]
    if found.unused == ():
        lines += ["", "nothing was copied from the context"]
    return "".join(f"{line}\n" for line in lines)


class _Painter:
    def __init__(self, color: bool) -> None:
        self._color = color

    def painted(self, line: str, code: str) -> str:
        return f"\x1b[{code}m{line}\x1b[0m" if self._color and code else line


def _row(result: str, took: str, step: str) -> str:
    return f"{result:<17}  {took:>10}  {step}"


_INDENT = " " * (len(_row("", "", "")) + 2)


def _step(step: Explained, painter: _Painter, columns: int | None) -> Iterator[str]:
    went = step.went
    took = span(went.seconds) if went.result in (EXECUTED, EXACT, OBSERVED, FAILED) else ""
    line = _row(_WORDS[went.result], took, one_line(step.place.name))
    yield painter.painted(clipped(line, columns) if columns else line, _STYLES.get(went.result, ""))
    for reason in _reasons(step):
        yield f"{_INDENT}{one_line(reason)}"
    if step.reads is not None:
        yield from (f"{_INDENT}{line}" for line in _reads(step.reads))


def _reasons(step: Explained) -> Iterator[str]:
    went = step.went
    if went.result == BASE and went.changes:
        yield "another image than in the last build"
    if went.result == OBSERVED and went.copied and step.reads is None:
        names = f": {', '.join(went.names)}; unchanged" if went.names else ""
        yield f"read {went.read} of {_files(went.copied)} copied{names}"
    if step.why is not None:
        yield from _why(step.why)
    told = step.why.text if step.why else ""
    if went.unobserved not in ("", NOTHING_COPIED, told):
        yield f"holds on its own layers alone: {went.unobserved}"


def _why(why: Why) -> Iterator[str]:
    if why.differences:
        yield from (f"{item.path or '/'}: {', '.join(item.how)}" for item in why.differences)
        if why.more:
            yield f"... and {why.more:,} more"
    elif why.changes:
        yield from map(_change, why.changes)
    elif why.cause == accounts.UNOBSERVED:
        yield "its last result holds on its own layers alone" + (f": {why.text}" if why.text else "")
        if why.below:
            yield f"below it: {'; '.join(clipped(name, 60) for name in why.below[:3])}"
    else:
        yield _CAUSES.get(why.cause, why.text)


def _change(change: Change) -> str:
    what = f"{change.what} {change.name}".strip()
    if change.what == "instruction":
        return f"the instruction itself; it was {_value(change.old)}"
    if change.old is None and change.new is None:
        return f"{what} is other"
    if change.old is None:
        return f"{what} is new: {_value(change.new)}"
    if change.new is None:
        return f"{what} is gone; it was {_value(change.old)}"
    return f"{what}: {_value(change.old)} -> {_value(change.new)}"


def _value(value: str | None) -> str:
    return clipped(one_line(value or ""), _LONGEST) or '""'


def _reads(reads: Reads) -> Iterator[str]:
    if reads.read is None:
        of = f" of {_files(reads.copied)}" if reads.copied else ""
        yield f"what it read{of} is not known: {one_line(reads.unknown)}"
        return
    count = sum("content" in read.how for read in reads.read)
    yield f"read {count} of {_files(reads.copied)}"
    width = max((len(_how(read)) for read in reads.read), default=0)
    yield from (f"  {_how(read):<{width}}  {one_line(read.path) or '/'}" for read in reads.read)


def _how(read: Read) -> str:
    return ", ".join(_HOW[how] for how in read.how)


def _unused(item: Unused, found: Explanation) -> Iterator[str]:
    name = one_line(found.build.places[item.number].name)
    if item.unknown:
        yield f"{name}: nothing can be said: {item.unknown}"
        return
    if item.needs_all:
        yield f"{name}: nothing can be said of {_files(item.copied)}"
        for number in item.needs_all:
            yield f"  it is not known what {one_line(found.build.places[number].name)} read: maybe all"
        return
    if not item.files:
        yield f"{name}: {_files(item.copied)}, all needed"
        return
    yield f"{name}: {len(item.files)} of {_files(item.copied)} are needed by no step and no image"
    rows = [
        (f"  {one_line(path)}", _files(count) if path.endswith("/") else "") for path, count in item.folders
    ]
    yield from (line.rstrip() for line in table.align(rows, minimum=0).splitlines())


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def document(found: Explanation) -> dict[str, Any]:
    """As docs/schemas/explain.json says."""
    counts = accounts.tally([place.name for place in found.build.places], found.account)
    whole: dict[str, Any] = {
        "id": found.id,
        "created": rfc3339(found.created),
        "context": found.build.context,
        "dockerfile": found.build.file,
        "names": list(found.build.names),
        "image": found.build.image or None,
        "failed": found.build.failure is not None,
        "summary": counts._asdict(),
        "steps": [_step_document(step) for step in found.steps],
    }
    if found.unused is not None:
        whole["unused"] = [_unused_document(item, found) for item in found.unused]
    return {key: _utf8(value) for key, value in whole.items()}


_RESULTS = {EXACT: "reused-exact", OBSERVED: "reused-observed", "": "not-run"}


def _step_document(step: Explained) -> dict[str, Any]:
    place, went = step.place, step.went
    row: dict[str, Any] = {
        "name": place.name,
        "line": place.where.line if place.where else None,
        "result": _RESULTS.get(went.result, went.result),
        "seconds": went.seconds,
        "layer": went.layer,
        "platform": place.platform,
    }
    if went.result == OBSERVED:
        row["observed"] = {"copied": went.copied, "read": went.read}
    if went.result == BASE:
        row["changed"] = bool(went.changes)
    if went.unobserved:
        row["unobserved"] = went.unobserved
    if step.why is not None:
        row["why"] = _why_document(step.why)
    if step.reads is not None:
        row["reads"] = _reads_document(step.reads)
    return row


def _why_document(why: Why) -> dict[str, Any]:
    return {
        "cause": why.cause.replace(" ", "-"),
        "text": why.text,
        "differences": [{"path": item.path, "how": list(item.how)} for item in why.differences],
        "more": why.more,
        "changes": [change._asdict() for change in why.changes],
        "below": list(why.below),
    }


def _reads_document(reads: Reads) -> dict[str, Any]:
    if reads.read is None:
        return {"copied": reads.copied, "unknown": reads.unknown}
    return {"copied": reads.copied, "read": [read._asdict() for read in reads.read]}


def _unused_document(item: Unused, found: Explanation) -> dict[str, Any]:
    def names(numbers: Iterable[int]) -> list[str]:
        return [found.build.places[number].name for number in numbers]

    return {
        "step": names([item.number])[0],
        "copied": item.copied,
        "files": list(item.files),
        "needsAll": names(item.needs_all),
        **({"unknown": item.unknown} if item.unknown else {}),
    }


def _utf8(value: Any) -> Any:
    """Bytes of names that are no UTF-8 are written as `\\xNN`: JSON has no way to say them."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: _utf8(item) for key, item in value.items()}
    return [_utf8(item) for item in value] if isinstance(value, list | tuple) else value
