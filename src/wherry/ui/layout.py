"""The lines of the live view: from what is known to text of a given width, without touching a terminal."""

from __future__ import annotations

import unicodedata

from wherry.base.events import Note, Summary
from wherry.base.text import clipped, one_line
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.ui import tally as tallies
from wherry.ui.board import TAIL, Board, Status, Step
from wherry.ui.units import bytes_of

_BAR = 20
_STYLES = {Status.CACHED: "cyan", Status.FAILED: "bold red", Status.DONE: "", Status.RUNNING: ""}


class Line(NamedTuple):
    """`style` is "", `dim`, `bold`, `cyan`, `yellow` or `bold red`."""

    text: str
    style: str = ""


def lasting(item: Step | Note, columns: int) -> Line:
    """The line that stays above the live part: a step that ended, or a note."""
    if isinstance(item, Note):
        prefix, style = ("WARNING: ", "yellow") if item.level == "warning" else ("", "")
        return Line(prefix + one_line(item.text), style)
    word = f"{item.word} " if item.word else ""
    return Line(_between(f" => {word}{item.name}", f"{item.seconds:.1f}s", columns), _STYLES[item.status])


def canceled(step: Step, now: float, columns: int) -> Line:
    """The line that stays of a step that was still running when the build ended."""
    return Line(_between(f" => CANCELED {step.name}", f"{now - step.started:.1f}s", columns), "yellow")


def total(board: Board, title: str, now: float, finished: bool = False) -> Line:
    """`[+] Building 3.2s (5/7)`."""
    text = f"[+] {title} {now - board.started:.1f}s ({board.ended()}/{len(board.steps)})"
    return Line(text + (" FINISHED" if finished else ""), "bold")


def tally(board: Board) -> list[Line]:
    """What the build comes to, below the total line."""
    text = tallies.line(board.tally) if board.tally else ""
    return [Line(f"    {text}")] if text else []


def summary(item: Summary) -> list[Line]:
    """What stands below the total line."""
    return [Line(""), *(Line(f" {one_line(text)}", "yellow") for text in item.lines)]


def live(board: Board, title: str, now: float, columns: int, rows: int) -> list[Line]:
    """The total line and the running steps with their output, in at most `rows` lines."""
    running = board.running()
    room = max(rows - 1, 0)
    hidden = len(running) - room
    shown = running[: room - 1] if hidden > 0 else running
    spare = room - len(running)
    lines = [total(board, title, now)]
    for number, step in enumerate(shown):
        lines.append(Line(_between(f" => {step.name}", f"{max(now - step.started, 0):.1f}s", columns)))
        below = _below(step, columns)
        share = max(spare, 0) // (len(shown) - number)
        lines += below[-share:] if share else []
        spare -= min(share, len(below))
    if hidden > 0:
        lines.append(Line(f" => and {len(running) - len(shown)} more", "dim"))
    return [Line(_fit(line.text, columns), line.style) for line in lines[:rows]]


def _below(step: Step, columns: int) -> list[Line]:
    """Blobs that are on their way (those that arrived are left out), and the last lines of output."""
    pending = [(what, amounts) for what, amounts in step.transfers.items() if not _complete(*amounts)]
    lines = [Line(_transfer(what, *amounts, columns)) for what, amounts in pending]
    arrived = len(step.transfers) - len(pending)
    if arrived:
        lines.insert(0, Line(f" => => {arrived} of {len(step.transfers)} done", "dim"))
    return [*lines, *(Line(f" => => # {text}", "dim") for text in step.tail()[-TAIL:])]


def _transfer(what: str, done: int, total: int, columns: int) -> str:
    name = digests.short(digests.parse(what)) if digests.is_digest(what) else one_line(what)
    if not total:
        return _between(f" => => {name}", bytes_of(done), columns)
    filled = min(done * _BAR // total, _BAR)
    bar = ("=" * filled + ">" * (filled < _BAR)).ljust(_BAR)
    amount = f"{bytes_of(done)} / {bytes_of(total)}"
    left = f" => => {clipped(name, 40)}"
    wide = f"[{bar}] {amount:>21}"
    return _between(left, wide if columns >= len(left) + len(wide) + 2 else amount, columns)


def _complete(done: int, total: int) -> bool:
    return 0 < total <= done


def _between(left: str, right: str, columns: int) -> str:
    """`left` at the left margin, cut if it must be, and `right` at the right one."""
    room = columns - len(right) - 1
    if room < 8:
        return _fit(left, columns)
    left = _fit(left, room)
    return left + " " * (room - width(left)) + " " + right


def _fit(text: str, columns: int) -> str:
    """As much of `text` as fits into `columns` cells."""
    if width(text) <= columns:
        return text
    used = 0
    for position, character in enumerate(text):
        used += width(character)
        if used > columns - 1:
            return text[:position] + "…"
    return text


def width(text: str) -> int:
    """Cells that `text` takes on a terminal: East Asian wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
