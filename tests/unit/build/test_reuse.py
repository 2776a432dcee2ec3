"""How many of a step's older results are tested."""

from __future__ import annotations

import pytest

from wherry.build import reuse
from wherry.layer.entry import FILE, Entry
from wherry.layer.layers import Layers
from wherry.layer.writer import LayerWriter
from wherry.oci import digest as digests
from wherry.oci.digest import Digest
from wherry.snapshot.differences import CONTENT
from wherry.snapshot.observations import split
from wherry.store.records import Result
from wherry.store.store import Store

KEY = digests.of(b"step")
COPIES = 6
FILES = 10


def copied(store: Store, read: int, edited: int) -> tuple[Digest, ...]:
    """A copy of files, one of which a step has read, and one nobody."""

    def write(writer: LayerWriter) -> None:
        for name in ("read", "edited", *map(str, range(FILES - 2))):
            text = b"%d" % {"read": read, "edited": edited}.get(name, 0)
            writer.add(Entry(name, FILE, 0o644, size=len(text)), text)

    return (Layers(store).add_tar(write).diff_id,)


@pytest.fixture
def filled(store: Store) -> Store:
    for number in range(COPIES):
        chain = copied(store, number, 0)
        store.traces.put(KEY, (chain,), Result(None, 1, number), [split({"read": CONTENT})])
    return store


def found(store: Store, read: int) -> float | None:
    """When the result was made that holds for a copy in which the file that nobody read is another one."""
    result = reuse.Reuse(store).find(KEY, [copied(store, read, 1)], lambda _result: True)
    return None if result is None else result.result.made


def test_an_old_state_of_a_project_is_found_again(filled: Store) -> None:
    assert [found(filled, number) for number in range(COPIES)] == [*range(COPIES)]
    assert found(filled, COPIES) is None


def test_where_layers_are_large_the_last_used_are_tested_alone(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "_MOST_READ", 3 * FILES)
    assert found(filled, COPIES - 1) == COPIES - 1
    assert found(filled, COPIES - 3) == COPIES - 3
    assert found(filled, 0) is None
