"""Labels, as filters ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def have(labels: Mapping[str, str] | Iterable[tuple[str, str]], words: Iterable[str]) -> bool:
    """Whether all of the words, each `key` or `key=value`, are among the labels."""
    known = dict(labels)
    return all(_has(known, word) for word in words)


def _has(labels: Mapping[str, str], word: str) -> bool:
    key, equals, value = word.partition("=")
    return key in labels and (not equals or labels[key] == value)
