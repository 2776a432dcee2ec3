"""Secrets in a step's output: `***` stands in their place, in what is shown and in the log.

This guards against the accident, `set -x` or an error that quotes a password. A process that has a secret
can always say it in other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORTEST = 4
"""Bytes. What is shorter is part of too many words to be told from them."""

MASK = b"***"


def words(secrets: Iterable[bytes]) -> tuple[bytes, ...]:
    """What is to be masked of secrets: their lines without the blanks around them, the longest first."""
    lines = {line.strip() for secret in secrets for line in secret.splitlines()}
    return tuple(sorted((line for line in lines if len(line) >= SHORTEST), key=len, reverse=True))


class Masked:
    """One stream that comes in pieces; a secret may lie across their borders. `words` are not empty."""

    def __init__(self, words: tuple[bytes, ...]) -> None:
        self._words = list(map(_Word, words))
        self._pattern = re.compile(b"|".join(map(re.escape, words)))
        self._held = b""

    def take(self, piece: bytes) -> bytes:
        """What can be shown by now: an end that may be the beginning of a secret is held back."""
        text = self._held + piece
        end = self._settled(text)
        self._held = text[end:]
        return self._pattern.sub(MASK, text[:end])

    def rest(self) -> bytes:
        """What is left when no more comes."""
        text, self._held = self._held, b""
        return self._pattern.sub(MASK, text)

    def _settled(self, text: bytes) -> int:
        """Where the part ends that no further piece can change."""
        end = min(word.beginning(text) for word in self._words)
        for match in self._pattern.finditer(text):
            if match.start() < end < match.end():
                return match.start()
        return end


class _Word:
    """Finds where a text may go on with a word that it does not have whole: Knuth, Morris and Pratt's way."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._shorter = [0] * len(word)  # of each beginning, the longest shorter one that it ends in
        matched = 0
        for index in range(1, len(word)):
            matched = self._step(matched, word[index])
            self._shorter[index] = matched

    def beginning(self, text: bytes) -> int:
        """Where the longest end of `text` starts that the word begins with and that is not all of it."""
        matched = 0
        for byte in text[max(len(text) - len(self._word) + 1, 0) :]:
            matched = self._step(matched, byte)
        return len(text) - matched

    def _step(self, matched: int, byte: int) -> int:
        while matched and self._word[matched] != byte:
            matched = self._shorter[matched - 1]
        return matched + (self._word[matched] == byte)
