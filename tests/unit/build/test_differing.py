"""What differs in the layers of two executions: every path is told, or a folder above it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from support import stacks
from wherry.build.differing import Differing, differing
from wherry.layer.entry import CHARACTER, DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci.digest import Digest
from wherry.store.store import Store

Items = dict[str, tuple[str, int, int, str]]


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Layers]:
    with Store.open(str(tmp_path)) as store:
        yield Layers(store)


def added(layers: Layers, *entries: Entry, text: bytes = b"") -> Digest:
    def write(writer: LayerWriter) -> None:
        for entry in entries:
            if entry.kind == FILE:
                content = text or b"x" * entry.size
                writer.add(entry._replace(digest=b"", size=len(content)), content)
            else:
                writer.add(entry._replace(digest=b"", size=0))

    return layers.add_tar(write).diff_id


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(stacks.drawn, stacks.drawn)
def test_every_path_is_told(layers: Layers, one: Items, other: Items) -> None:
    first, second = (added(layers, *stacks.layer(items)) for items in (one, other))
    if first == second:
        return
    told = [item.path for item in differing(layers, first, second)]
    assert len(set(told)) == len(told) or any(OPAQUE in entry for entry in (*one.values(), *other.values()))
    keys = [
        {(entry.path, entry.kind == OPAQUE): entry[:-1] for entry in layers.index(layer).entries}
        for layer in (first, second)
    ]
    unlike = {key[0] for key in keys[0].keys() | keys[1].keys() if keys[0].get(key) != keys[1].get(key)}
    assert set(told) <= unlike
    for path in unlike:
        assert path in told or any(path.startswith(f"{above}/") for above in told)


def test_a_layer_that_was_not_made_at_all(layers: Layers) -> None:
    layer = added(layers, Entry("d", DIRECTORY, 0o755), Entry("d/x", FILE, 0o644), Entry("e", FILE, 0o644))
    assert differing(layers, layer, None) == [
        Differing("d", ("only the first time",)),
        Differing("e", ("only the first time",)),
    ]
    assert differing(layers, None, layer)[0].what == ("only the second time",)


def test_all_that_an_entry_has_is_compared(layers: Layers) -> None:
    one = (
        Entry("d", DIRECTORY, 0o755),
        Entry("d", OPAQUE),
        Entry("f", FILE, 0o644, mtime=10**9),
        Entry("g", FILE, 0o644, xattrs=(("user.a", b"\1"),)),
        Entry("h", HARDLINK, 0o644, link="f"),
        Entry("l", SYMLINK, 0o777, link="a"),
        Entry("n", CHARACTER, 0o600, device=(1, 3)),
        Entry("w", FILE, 0o644),
    )
    other = (
        Entry("d", DIRECTORY, 0o700, uid=1),
        Entry("f", FILE, 0o644, mtime=3 * 10**9),
        Entry("g", FILE, 0o644),
        Entry("h", HARDLINK, 0o644, link="g"),
        Entry("l", SYMLINK, 0o777, link="b"),
        Entry("n", CHARACTER, 0o600, device=(1, 5)),
        Entry("w", WHITEOUT),
    )
    found = differing(layers, added(layers, *one), added(layers, *other))
    assert [(item.path, "; ".join(item.what)) for item in found] == [
        ("d", "mode 755, then 700; owner 0:0, then 1:0"),
        ("d", "hides what lower layers have in it only the first time"),
        ("f", "time 1970-01-01 00:00:01, then 1970-01-01 00:00:03"),
        ("g", "attributes user.a=01, then none"),
        ("h", "link to f, then g"),
        ("l", "link to a, then b"),
        ("n", "device 1:3, then 1:5"),
        ("w", "a file, then removed"),
    ]


def test_another_order_is_a_difference_too(layers: Layers) -> None:
    a, b = Entry("a", FILE, 0o644), Entry("b", FILE, 0o644)
    (found,) = differing(layers, added(layers, a, b), added(layers, b, a))
    assert "another order" in found.what[0]


def test_what_is_not_for_everybody_is_not_quoted(layers: Layers) -> None:
    for mode, quotes, text in ((0o600, True, ""), (0o644, False, ""), (0o644, True, ': "one", then "two"')):
        entry = Entry("f", FILE, mode)
        pair = (added(layers, entry, text=b"one"), added(layers, entry, text=b"two"))
        (found,) = differing(layers, *pair, quotes=quotes)
        assert found.what == (f"content, line 1{text}",)
