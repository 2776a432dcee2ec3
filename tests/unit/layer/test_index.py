from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from wherry.base.errors import Corrupt
from wherry.layer.entry import FILE, OPAQUE, WHITEOUT, Entry
from wherry.layer.index import decode, encode, read_index, write_index
from wherry.testing import trees


@settings(deadline=None)
@given(trees.layers())
def test_an_index_loses_nothing(made: tuple[list[Entry], trees.Contents]) -> None:
    layer, _ = trees.write(*made)
    assert decode(encode(layer)) == layer


def test_whiteouts_and_unknown_digests(tmp_path: Path) -> None:
    entries = [Entry("a/b", WHITEOUT), Entry("", OPAQUE), Entry("f", FILE, size=3)]
    layer = trees.write(entries[:2], {})[0]._replace(entries=tuple(entries))
    path = str(tmp_path / "index")
    write_index(path, layer)
    assert read_index(path) == layer


def test_damage_is_noticed(tmp_path: Path) -> None:
    layer, _ = trees.write([Entry("f", FILE)], {"f": b""})
    data = encode(layer)
    for damaged in (b"", data[:-1], data[:40], data[:10] + b"\xff" + data[11:], bytes(len(data))):
        (tmp_path / "index").write_bytes(damaged)
        with pytest.raises(Corrupt, match="index"):
            read_index(str(tmp_path / "index"))
