"""What can go wrong between a registry and its client: each kind a value that a `Registry` is told."""

from __future__ import annotations

from collections.abc import Callable

from wherry.base.tuples import NamedTuple


class Answer(NamedTuple):
    """This answer instead of the right one; what was asked for is not done."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Redirect(NamedTuple):
    """To the same path on another server (`http://127.0.0.1:5000`); without one to itself: a loop."""

    base: str = ""
    status: int = 307


class Drop(NamedTuple):
    """The connection is cut `after` so many bytes of the right answer's body."""

    after: int = 0


class Lost(NamedTuple):
    """The connection ends without a byte of an answer; what was asked for is `done` all the same, or not."""

    done: bool = True


class Cut(NamedTuple):
    """The connection is cut `after` so many bytes of the request's body; an upload keeps them if `kept`."""

    after: int = 0
    kept: bool = True


class Stall(NamedTuple):
    """Silence for so many `seconds`, `after` so many bytes of the right answer's body."""

    after: int
    seconds: float


class Drip(NamedTuple):
    """The right answer's body in pieces of `size` bytes, with a pause of so many `seconds` before each."""

    size: int
    seconds: float


class Change(NamedTuple):
    """The right answer's body is changed; Content-Length stays the old one unless `honest`."""

    change: Callable[[bytes], bytes]
    honest: bool = True


class Relabel(NamedTuple):
    """The right answer with these headers in place of its own of that name; an empty value takes one away.

    Without Content-Length the body ends with the connection.
    """

    headers: tuple[tuple[str, str], ...]


class Before(NamedTuple):
    """Nothing wrong with the answer; but first something `happens`: tokens run out, a tag moves."""

    happens: Callable[[], object]


Kind = Answer | Redirect | Drop | Lost | Cut | Stall | Drip | Change | Relabel | Before


class Fault:
    """Happens to `times` requests of `method` ("" for any) whose path has `part` in it, once `skip` of them
    went well."""

    def __init__(self, method: str, part: str, what: Kind, times: int = 1, skip: int = 0) -> None:
        self.method = method
        self.part = part
        self.what = what
        self.times = times
        self.skip = skip

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request is one of them. It is counted."""
        if not self.times or self.method not in ("", method) or self.part not in path:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True
