"""The keys by which a terminal is taken from a container that runs on: docker's `--detach-keys`."""

from __future__ import annotations

from wherry.base.errors import UsageError

DEFAULT = "ctrl-p,ctrl-q"
_SIGNS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse(text: str) -> bytes:
    """`ctrl-p,ctrl-q`, `ctrl-\\`, `x,y,z`: what the keys send; none for an empty text."""
    return b"".join(_key(word, text) for word in text.split(",")) if text else b""


def _key(word: str, text: str) -> bytes:
    if len(word) == 1 and word.isascii():
        return word.encode()
    prefix, _, key = word.lower().partition("-")
    if prefix == "ctrl" and len(key) == 1 and (key in _SIGNS or "a" <= key <= "z"):
        return bytes([_SIGNS[key] if key in _SIGNS else ord(key) - ord("a") + 1])
    raise UsageError(
        f"invalid keys: --detach-keys {text}: {word!r}",
        hint="write single characters or ctrl- and one of a-z @ [ \\ ] ^ _, with commas between them",
    )


class Keys:
    """Watches what is typed for the row of keys, however it is cut into pieces."""

    def __init__(self, row: bytes) -> None:
        self._row = row
        self._held = 0
        """How many keys of the row were typed last: they wait until it is clear whether more follow."""
        self.typed = False
        """Whether the whole row was."""

    def take(self, data: bytes) -> bytes:
        """What of `data`, and of what was held back, is the container's."""
        if not self._row:
            return data
        passed = bytearray()
        place = 0
        while place < len(data):
            if not self._held:
                begin = data.find(self._row[:1], place)
                if begin < 0:
                    return bytes(passed + data[place:])
                passed += data[place:begin]
                place = begin
            self._step(data[place], passed)
            place += 1
            if self._held == len(self._row):
                self.typed = True
                break
        return bytes(passed)

    def end(self) -> bytes:
        """What was held back, where nothing follows."""
        held, self._held = self._row[: self._held], 0
        return held

    def _step(self, byte: int, passed: bytearray) -> None:
        """The longest beginning of the row that the keys now end with is held; what is before it passes."""
        seen = self._row[: self._held] + bytes([byte])
        for start in range(len(seen) + 1):
            if self._row.startswith(seen[start:]):
                passed += seen[:start]
                self._held = len(seen) - start
                return
