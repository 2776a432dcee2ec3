"""`--chmod`: octal (`755`) and symbolic (`u=rwX,go=rX`), as chmod(1) has them."""

from __future__ import annotations

import re

from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import DockerfileError

_OCTAL = re.compile(r"0*([0-7]{1,4})")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0}


class Action(NamedTuple):
    """`who` has the classes u, g and o; `what` is rwxXst letters, or one class to copy from."""

    who: str
    operator: str
    what: str


class Mode(NamedTuple):
    """`bits` where the mode is octal, else `actions`, done one after the other."""

    bits: int | None
    actions: tuple[Action, ...] = ()

    def apply(self, mode: int, *, folder: bool) -> int:
        """The twelve permission bits for something that has `mode` now."""
        if self.bits is not None:
            return self.bits
        mode &= 0o7777
        for action in self.actions:
            mode = _applied(action, mode, folder)
        return mode


def parse(text: str) -> Mode:
    """Raises DockerfileError where `text` is no mode."""
    octal = _OCTAL.fullmatch(text)
    if octal:
        return Mode(int(octal[1], 8))
    actions: list[Action] = []
    for part in text.split(","):
        clause = _CLAUSE.fullmatch(part)
        if clause is None:
            raise DockerfileError(
                f"invalid chmod parameter: {text!r}",
                hint="an octal number up to 07777, or letters as u=rwX,go=rX",
            )
        who = "ugo" if not clause[1] or "a" in clause[1] else clause[1]
        actions += (Action(who, operator, what) for operator, what in _ACTION.findall(clause[2]))
    return Mode(None, tuple(actions))


def _applied(action: Action, mode: int, folder: bool) -> int:
    permissions = _permissions(action.what, mode, folder)
    for who in "ugo":
        if who not in action.who:
            continue
        shift = _SHIFT[who]
        bits = permissions << shift
        special = _SPECIAL[who] if "s" in action.what else 0
        if action.operator == "+":
            mode |= bits | special
        elif action.operator == "-":
            mode &= ~(bits | special)
        else:
            # As chmod(1): a folder keeps its set-id bits unless they are named.
            kept = 0 if not folder else mode & _SPECIAL[who]
            mode = (mode & ~(7 << shift | _SPECIAL[who])) | bits | special | kept
    return _sticky(action, mode)


def _permissions(what: str, mode: int, folder: bool) -> int:
    if what in _SHIFT:
        return mode >> _SHIFT[what] & 7
    bits = sum(bit for letter, bit in _BITS.items() if letter in what)
    return bits | 1 if "X" in what and (folder or mode & 0o111) else bits


def _sticky(action: Action, mode: int) -> int:
    if "o" not in action.who:
        return mode
    if "t" in action.what:
        return mode & ~0o1000 if action.operator == "-" else mode | 0o1000
    return mode & ~0o1000 if action.operator == "=" else mode
