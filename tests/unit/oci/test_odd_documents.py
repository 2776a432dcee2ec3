"""Documents that are JSON and yet no good: half characters, NULs, numbers without end."""

from __future__ import annotations

import pytest

from wherry.base.errors import Corrupt
from wherry.oci import descriptor
from wherry.oci.config import parse


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"config": {"Labels": {"a": "\\ud800"}}}', "not UTF-8"),
        (b'{"config": {"Labels": {"a\\uDFFF": ""}}}', "not UTF-8"),
        (b'{"author": "\xed\xa0\x80"}', "not UTF-8"),
        ('{"author": "ä"}'.encode("utf-16"), "not UTF-8"),
        (b'{"config": {"Env": ["A=\\u0000"]}}', "has a NUL"),
        (b'{"config": {"Volumes": {"/a\\u0000b": {}}}}', "has a NUL"),
        (b'{"config": {"Healthcheck": {"Test": ["NONE"], "Interval": 1e999}}}', "infinity"),
        (b'{"config": {"Healthcheck": {"Test": ["NONE"], "Retries": NaN}}}', "NaN"),
        (b'{"config": []}', None),
        (b'{"config": [1]}', "has to be an object"),
        (b'{"author": ["' + b"A" * 5000 + b'"]}', "is not a string"),
    ],
)
def test_texts_and_numbers_that_nothing_can_be_done_with(raw: bytes, message: str | None) -> None:
    """They would be found out much later, where a file is made or a config written."""
    if message is None:
        parse(raw)
        return
    with pytest.raises(Corrupt, match=message) as caught:
        parse(raw)
    assert len(caught.value.message) < 300


def test_whole_pairs_are_characters() -> None:
    assert parse(b'{"author": "\\ud83d\\ude00"}').author == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"platform": {"os": "linux\\u001b[2J", "architecture": "amd64"}', "not printable"),
        ('"platform": {"os": "linux", "architecture": "' + "a" * 129 + '"}', "128 characters"),
        ('"mediaType": "a\\u0000b"', "media type"),
        ('"mediaType": "' + "a" * 256 + '"', "media type"),
    ],
)
def test_words_that_are_shown(entry: str, message: str) -> None:
    digest = "sha256:" + "0" * 64
    raw = f'{{"schemaVersion": 2, "manifests": [{{"size": 1, "digest": "{digest}", {entry}}}]}}'
    with pytest.raises(Corrupt, match=message):
        descriptor.parse(raw.encode())
