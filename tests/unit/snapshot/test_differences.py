"""What differs between two root filesystems: compared with a look at every path of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import stacks
from support.stacks import Stack
from wherry.layer.entry import CHARACTER, DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from wherry.oci.digest import Digest
from wherry.snapshot.differences import ALL, CONTENT, FACE, NAMES, differences, ways
from wherry.snapshot.names import NameCache
from wherry.snapshot.unlike import told, unlike
from wherry.snapshot.view import View

State = tuple[object, ...]


def states(view: View) -> dict[str, tuple[State, ...]]:
    """All of a view, path by path, found by walking it."""
    found: dict[str, tuple[State, ...]] = {}
    for item in view.walk():
        entry = item.entry
        shared = view.cache.of(item.diff_id).shared.get(entry.path) if item.diff_id else None
        face = (entry.kind, entry.mode, entry.uid, entry.gid, entry.xattrs)
        content = (entry.kind, entry.digest, entry.link, shared if entry.kind == FILE else None)
        found[entry.path] = (face, tuple(_names(view, entry.path)), content)
    return found


def _names(view: View, folder: str) -> Iterator[tuple[str, str]]:
    for name in view.children(folder):
        found = view.lookup(f"{folder}/{name}")
        assert found is not None
        yield name, found.entry.kind


def compared(old: View, new: View) -> dict[str, int]:
    before, after = states(old), states(new)
    result = {}
    for path in before.keys() | after.keys():
        a, b = before.get(path), after.get(path)
        if a is None or b is None or a[0][0] != b[0][0]:
            result[path] = ALL
            continue
        bits = sum(bit for bit, x, y in zip((FACE, NAMES, CONTENT), a, b, strict=True) if x != y)
        if bits:
            result[path] = bits
    return result


@settings(max_examples=400, deadline=None)
@given(st.lists(stacks.drawn, min_size=1, max_size=5), st.data())
def test_all_that_differs_is_found_and_nothing_else(drawn: list[object], data: st.DataObject) -> None:
    stack = Stack()
    known = [stack.add(stacks.layer(items)) for items in drawn]  # type: ignore[arg-type]
    chain = st.lists(st.sampled_from(known), max_size=5, unique=True)
    old, new = View(stack, data.draw(chain)), View(stack, data.draw(chain))
    found = differences(old, new)
    assert found == compared(old, new)
    for path, bits in found.items():
        assert bool(ways(old, new, path, bits)) == bool(bits & ~NAMES)


X, Y = b"x" * 32, b"y" * 32


@pytest.mark.parametrize(
    ("before", "after", "bits", "expected"),
    [
        ([], [Entry("a", FILE)], ALL, ("new",)),
        ([Entry("a", FILE)], [], ALL, ("removed",)),
        ([Entry("a", FILE)], [Entry("a", DIRECTORY)], ALL, ("kind",)),
        ([Entry("a", FILE, size=1, digest=X)], [Entry("a", FILE, size=1, digest=Y)], CONTENT, ("content",)),
        ([Entry("a", FILE, size=1, digest=X)], [Entry("a", FILE, size=1, digest=Y)], FACE, ()),
        ([Entry("a", SYMLINK, link="x")], [Entry("a", SYMLINK, link="y")], CONTENT, ("link",)),
        (
            [Entry("a", CHARACTER, device=(1, 2))],
            [Entry("a", CHARACTER, device=(1, 3))],
            CONTENT,
            ("device",),
        ),
        ([Entry("a", FILE)], [Entry("a", FILE), Entry("b", HARDLINK, link="a")], CONTENT, ("hard links",)),
        ([Entry("a", FILE, 0o644)], [Entry("a", FILE, 0o600, digest=X)], ALL, ("content", "mode")),
        ([Entry("a", FILE, uid=1)], [Entry("a", FILE, gid=1)], FACE, ("owner",)),
        ([Entry("a", FILE)], [Entry("a", FILE, xattrs=(("user.x", b""),))], FACE, ("attributes",)),
        ([Entry("a", FILE, mtime=1)], [Entry("a", FILE, mtime=2)], ALL, ()),
    ],
)
def test_in_what_a_path_differs(
    before: list[Entry], after: list[Entry], bits: int, expected: tuple[str, ...]
) -> None:
    stack = Stack()
    old, new = (View(stack, (stack.add(entries),)) for entries in (before, after))
    assert ways(old, new, "a", bits) == expected


Drawn = dict[str, tuple[str, int, int, str]]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(stacks.drawn, st.booleans()), min_size=1, max_size=4), st.data())
def test_of_layers_in_each_other_s_place_what_differs_is_found(
    drawn: list[tuple[Drawn, bool]], data: st.DataObject
) -> None:
    stack = Stack()

    def added(items: Drawn) -> Digest:
        entries = stacks.layer(items)
        folders = [entry.path for entry in entries if entry.kind == DIRECTORY]
        implied = data.draw(st.lists(st.sampled_from(folders), max_size=1)) if folders else ()
        return stack.add(entries, implied)

    def changed(items: Drawn) -> Drawn:
        """Of a few paths the kind alone, or the mode, the content or the target."""
        result = dict(items)
        for path in data.draw(st.lists(st.sampled_from(sorted(items)), max_size=2)) if items else ():
            place = data.draw(st.integers(0, 3))
            fields: list[Any] = [*items[path]]
            fields[place] = data.draw(st.sampled_from([item[place] for item in values]))
            result[path] = (fields[0], fields[1], fields[2], fields[3])
        return result

    values = [("d", 0o755, 0, "a"), ("o", 0o644, 1, "b"), ("w", 0o755, 2, "/b"), ("f", 0o755, 0, "..")]
    old = View(stack, [added(items) for items, _ in drawn])
    new = View(stack, [added(changed(items)) for items, stays in drawn if stays])
    assert differences(old, new) == compared(old, new)


def test_a_folder_that_hides_what_is_below_it_or_shows_it_is_not_the_same() -> None:
    stack = Stack()
    lower = stack.add([Entry("d", DIRECTORY, 0o700), file("d/x")])
    shown = stack.add([Entry("d", DIRECTORY, 0o755)])
    for other in (
        stack.add([Entry("d", DIRECTORY, 0o755), Entry("d", OPAQUE)]),
        stack.add([Entry("d", DIRECTORY, 0o755)], implied=["d"]),
    ):
        old, new = View(stack, [lower, shown]), View(stack, [lower, other])
        assert differences(old, new) == compared(old, new) != {}
        assert differences(new, old) == compared(new, old) != {}


def test_of_what_two_layers_both_say_nothing_is_looked_at() -> None:
    stack = Stack()
    names = [f"d/{number:03}" for number in range(500)]
    first = [Entry("d", DIRECTORY, 0o755), *(file(name, b"x") for name in names)]
    second = [*first[:-1], file(names[-1], b"changed")]
    base, top = stack.add([file("base")]), stack.add([file("top")])
    old, new = ([base, stack.add(entries), top] for entries in (first, second))
    assert list(told(old, new, NameCache(stack))) == [(names[-1], True)]


@given(st.lists(st.sampled_from("abcdef"), max_size=6), st.lists(st.sampled_from("abcdef"), max_size=6))
def test_what_is_left_of_two_chains_is_theirs_and_the_rest_is_equal(old: list[str], new: list[str]) -> None:
    left, right = unlike(list(map(Digest, old)), list(map(Digest, new)))

    def rest(chain: list[str], without: Sequence[str]) -> list[str]:
        return [item for item in chain if chain.count(item) > without.count(item)]

    assert len(old) - len(left) == len(new) - len(right)
    if len(set(old)) == len(old) and len(set(new)) == len(new):
        assert rest(old, left) == rest(new, right)


def file(path: str, text: bytes = b"", mtime: int = 0) -> Entry:
    return Entry(path, FILE, 0o644, mtime=mtime, size=len(text), digest=text.ljust(32))


def test_times_are_not_compared() -> None:
    stack = Stack()
    old = View(stack, [stack.add([file("a", b"x", mtime=1)])])
    new = View(stack, [stack.add([file("a", b"x", mtime=2)])])
    assert differences(old, new) == {}


def test_a_new_name_is_a_change_of_its_folder_s_names_alone() -> None:
    stack = Stack()
    base = stack.add([Entry("d", DIRECTORY, 0o755), file("d/a")])
    more = stack.add([Entry("d", DIRECTORY, 0o755), file("d/b")])
    assert differences(View(stack, [base]), View(stack, [base, more])) == {"d/b": ALL, "d": NAMES}


def test_what_a_whiteout_uncovers_or_hides_is_found_below_it() -> None:
    stack = Stack()
    base = stack.add([Entry("d", DIRECTORY, 0o755), Entry("d/e", DIRECTORY, 0o755), file("d/e/x")])
    gone = stack.add([Entry("d", WHITEOUT)])
    assert differences(View(stack, [base]), View(stack, [base, gone])).keys() == {"", "d", "d/e", "d/e/x"}


def test_a_link_of_two_names_is_not_two_files_of_one_content() -> None:
    stack = Stack()
    one = stack.add([file("a", b"x"), Entry("b", HARDLINK, 0o644, link="a")])
    two = stack.add([file("a", b"x"), file("b", b"x")])
    assert differences(View(stack, [one]), View(stack, [two])) == {"a": CONTENT, "b": CONTENT}
