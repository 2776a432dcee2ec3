"""Layers made to do harm: none of them may touch what is outside its folder, hang, or eat the memory."""

from __future__ import annotations

import io
import os
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherry.base.errors import Corrupt, Unsupported, UsageError, WherryError
from wherry.layer.apply import extract, read_index_of
from wherry.layer.entry import CHARACTER, DIRECTORY, FILE, HARDLINK, OPAQUE, SYMLINK, Entry
from wherry.layer.forms import TRUSTED
from wherry.layer.reader import read_layer
from wherry.layer.source import Limits, limits
from wherry.layer.writer import Layer
from wherry.testing import trees

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: devices")


class Member:
    """One hostile member: a name as it is to stand in the header, and what it pretends to be."""

    def __init__(self, name: str, type: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"") -> None:
        self.info = tarfile.TarInfo(name)
        self.info.type, self.info.linkname, self.info.size = type, link, len(data)
        self.info.uid, self.info.gid = os.geteuid(), os.getegid()
        self.info.mode = 0o755
        self.data = data

    def bytes(self) -> bytes:
        return self.info.tobuf(tarfile.PAX_FORMAT) + self.data + bytes(-len(self.data) % 512)


def archive(*members: Member) -> bytes:
    return b"".join(member.bytes() for member in members) + bytes(1024)


def folder(name: str) -> Member:
    return Member(name, tarfile.DIRTYPE)


def symlink(name: str, target: str) -> Member:
    return Member(name, tarfile.SYMTYPE, target)


def hardlink(name: str, target: str) -> Member:
    return Member(name, tarfile.LNKTYPE, target)


class Prison:
    """A folder to extract into, beside things that no layer may touch."""

    def __init__(self, base: Path) -> None:
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.root = base / "root"
        self.before = trees.facts(str(base))

    def extract(self, stream: bytes) -> Layer:
        try:
            layer = extract(io.BytesIO(stream), str(self.root), TRUSTED)
            assert layer == read_index_of(io.BytesIO(stream))
            return layer
        finally:
            after = trees.facts(str(self.outside.parent))
            kept = {path: fact for path, fact in after.items() if not path.startswith("root")}
            assert kept == self.before

    def text(self, path: str) -> str:
        assert not os.path.islink(self.root / path)
        return (self.root / path).read_text()


@pytest.fixture
def prison(tmp_path: Path) -> Prison:
    return Prison(tmp_path)


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/../../x", "/../x", "./..", "a/..", "../outside/secret", "a/../b"]
)
@pytest.mark.parametrize("type", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_paths_with_two_dots_are_refused(prison: Prison, name: str, type: bytes) -> None:
    with pytest.raises(Corrupt, match=r"'\.\.'"):
        prison.extract(archive(folder("a"), Member(name, type, "t")))


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "a/.wh...", "a/.wh.b/c"])
def test_whiteouts_that_aim_outside_are_refused(prison: Prison, name: str) -> None:
    with pytest.raises(Corrupt, match="whiteout"):
        prison.extract(archive(folder("a"), Member(name)))


def test_a_removed_name_may_be_as_long_as_any_and_no_longer(prison: Prison) -> None:
    layer = prison.extract(archive(folder("a"), Member("a/.wh." + "n" * 255)))
    assert layer.entries[-1].path == "a/" + "n" * 255
    with pytest.raises(Corrupt, match="too long"):
        read_index_of(io.BytesIO(archive(Member(".wh." + "n" * 256))))


def test_absolute_names_stay_inside(prison: Prison) -> None:
    outside = str(prison.outside / "secret")
    prison.extract(archive(Member(outside, data=b"harmless")))
    assert prison.text(outside.lstrip("/")) == "harmless"


@pytest.mark.parametrize("target", ["{outside}", "../outside", "../../../../../../../../{outside}"])
def test_a_file_below_a_link_that_points_out(prison: Prison, target: str) -> None:
    """CVE-2018-15664's and CVE-2019-14271's family: the link is followed within the root, by name alone."""
    target = target.format(outside=prison.outside)
    layer = prison.extract(archive(symlink("out", target), Member("out/secret", data=b"new")))
    inside = layer.entries[-1].path
    assert inside.endswith("outside/secret")
    assert prison.text(inside) == "new"


def test_a_link_is_replaced_and_not_written_through(prison: Prison) -> None:
    secret = str(prison.outside / "secret")
    prison.extract(archive(symlink("x", secret), Member("x", data=b"new")))
    assert prison.text("x") == "new"


def test_a_folder_becomes_a_link_between_entries(prison: Prison) -> None:
    """The descriptors that are kept open must not outlive the folder they were opened for."""
    stream = archive(
        folder("d"),
        Member("d/a", data=b"first"),
        symlink("d", str(prison.outside)),
        Member("d/secret", data=b"second"),
        folder("d"),
        Member("d/b", data=b"third"),
    )
    layer = prison.extract(stream)
    assert prison.text("d/b") == "third"
    assert not (prison.root / "d/a").exists()
    assert [entry.path for entry in layer.entries if entry.kind == FILE] == [
        f"{str(prison.outside).lstrip('/')}/secret",
        "d/b",
    ]


def test_a_folder_entry_replaces_a_link(prison: Prison) -> None:
    """Otherwise its mode and owner would be set on what the link points to."""
    prison.extract(archive(symlink("d", str(prison.outside)), folder("d"), Member("d/f", data=b"x")))
    assert prison.text("d/f") == "x"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside/secret", "missing", "d", "", "/", "out/secret"]
)
def test_hard_links_to_what_the_layer_does_not_have(prison: Prison, target: str) -> None:
    stream = archive(folder("d"), symlink("out", str(prison.outside)), hardlink("l", target))
    with pytest.raises(Corrupt):
        prison.extract(stream)


def test_a_hard_link_to_a_symlink_links_the_symlink(prison: Prison) -> None:
    stream = archive(symlink("s", str(prison.outside / "secret")), hardlink("l", "s"))
    prison.extract(stream + b"")
    assert os.path.islink(prison.root / "l")


def test_writing_to_a_hard_link_of_a_symlink(prison: Prison) -> None:
    secret = str(prison.outside / "secret")
    prison.extract(
        archive(symlink("s", secret), hardlink("l", "s"), Member("l", data=b"x"), Member("s", data=b"y"))
    )
    assert (prison.text("l"), prison.text("s")) == ("x", "y")


def test_circles_of_links_end(prison: Prison) -> None:
    with pytest.raises(Corrupt, match="circle"):
        prison.extract(archive(symlink("a", "b"), symlink("b", "a"), Member("a/x")))


@pytest.mark.parametrize("name", ["f/x", "f/x/y"])
def test_a_path_below_a_file(prison: Prison, name: str) -> None:
    with pytest.raises(Corrupt, match="no folder"):
        prison.extract(archive(Member("f"), Member(name)))


@root_only
def test_a_device_is_made_as_root_and_no_whiteout_smuggled_in(prison: Prison) -> None:
    member = Member("null", tarfile.CHRTYPE)
    member.info.devmajor, member.info.devminor = 1, 3
    layer = prison.extract(archive(member))
    assert layer.entries[0].kind == CHARACTER
    assert os.lstat(prison.root / "null").st_rdev == os.makedev(1, 3)


def test_the_same_name_again_and_again(prison: Prison) -> None:
    stream = archive(
        Member("a", data=b"1"),
        Member("a", data=b"2"),
        hardlink("b", "a"),
        folder("a"),
        Member("a/c", data=b"3"),
        Member("b", data=b"4"),
        hardlink("d", "a/c"),
        Member("a", data=b"5"),
    )
    layer = prison.extract(stream)
    assert {path: prison.text(path) for path in ("a", "b", "d")} == {"a": "5", "b": "4", "d": "3"}
    assert sorted((entry.path, entry.kind) for entry in layer.entries) == [
        ("a", FILE),
        ("b", FILE),
        ("d", FILE),
    ]


def test_huge_extended_headers(prison: Prison) -> None:
    for type in (b"x", b"g", b"L", b"K"):
        with pytest.raises(Corrupt, match="extended header has"):
            prison.extract(archive(Member("h", type, data=bytes(3 << 20))))
    announced = Member("h", b"x")
    announced.info.size = 1 << 60
    with pytest.raises(Corrupt, match="extended header has"):
        prison.extract(announced.info.tobuf(tarfile.GNU_FORMAT))


def test_extended_headers_that_never_end() -> None:
    """Each is small; only their number is not."""
    stream = archive(*[Member("h", b"x", data=b"10 a=bcde\n")] * 2000)
    with pytest.raises(Corrupt, match="entries"):
        list(read_layer(io.BytesIO(stream), Limits(entries=1000)))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"5",
        b"x a=b\n",
        b"0 a=b\n",
        b"6 a=b",
        b"99 a=b\n",
        b"-6 a=b\n",
        b"6 abcd",
        b"99999999999999999999999 a=b\n",
    ],
)
def test_malformed_pax_records(prison: Prison, record: bytes) -> None:
    if not record:
        assert read_index_of(io.BytesIO(archive(Member("h", b"x"), Member("f")))).entries[0].path == "f"
        return
    with pytest.raises(Corrupt, match="pax"):
        prison.extract(archive(Member("h", b"x", data=record), Member("f")))


@pytest.mark.parametrize(
    "key, value",
    [
        ("size", "-1"),
        ("size", "99999999999999999999"),
        ("size", "abc"),
        ("uid", "-5"),
        ("uid", "4294967295"),
        ("mtime", "nan"),
        ("mtime", "1e9"),
        ("path", "../x"),
        ("path", "a\0b"),
        ("path", "n" * 256),
        ("path", "n/" * 2500 + "n"),
        ("SCHILY.xattr.user.big", "v" * 70_000),
        ("SCHILY.xattr.", "v"),
        ("GNU.sparse.map", "0,5,3,5"),
    ],
)
def test_values_of_pax_records(prison: Prison, key: str, value: str) -> None:
    member = Member("f")
    member.info.pax_headers = {key: value}
    if key == "GNU.sparse.map":
        member.info.pax_headers["GNU.sparse.size"] = "10"
    with pytest.raises(Corrupt):
        prison.extract(archive(member))


@pytest.mark.parametrize("type", [tarfile.REGTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000001\0", b"99999999999\0"])
def test_sizes_that_cannot_be(size: bytes, type: bytes) -> None:
    """A negative one would make a reader go back, and read the same headers for ever."""
    header = bytearray(Member("f", type, "t").bytes())
    header[124:136] = size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(Corrupt):
        list(read_layer(io.BytesIO(bytes(header) + bytes(1024))))


def test_devices_that_cannot_be(prison: Prison) -> None:
    member = Member("d", tarfile.CHRTYPE)
    member.info.devmajor = 5000
    with pytest.raises(Corrupt, match="impossible number"):
        prison.extract(archive(member))


def test_types_that_nobody_knows(prison: Prison) -> None:
    with pytest.raises(Unsupported, match="type"):
        prison.extract(archive(Member("f", b"Q")))


def test_what_is_no_tar_at_all(prison: Prison) -> None:
    for data in (b"\x7fELF" + bytes(600), b"<html>" * 200, os.urandom(4096)):
        with pytest.raises(Corrupt, match="not a tar"):
            prison.extract(data)


def test_a_bomb_has_a_limit_that_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = archive(Member("f", data=bytes(100_000)))
    with pytest.raises(Corrupt, match="more than 65536 bytes") as caught:
        list(read_layer(io.BytesIO(bomb), Limits(size=1 << 16)))
    assert "WHERRY_MAX_LAYER_SIZE" in caught.value.hint
    monkeypatch.setenv("WHERRY_MAX_LAYER_SIZE", "1M")
    assert limits().size == 1 << 20
    assert len(list(read_layer(io.BytesIO(bomb), limits()))) == 1
    monkeypatch.setenv("WHERRY_MAX_LAYER_SIZE", "much")
    with pytest.raises(UsageError, match="WHERRY_MAX_LAYER_SIZE"):
        limits()


def test_a_sparse_bomb_is_counted_as_it_would_be_read() -> None:
    member = Member("f")
    member.info.pax_headers = {
        "GNU.sparse.map": "",
        "GNU.sparse.size": str(1 << 50),
        "GNU.sparse.numblocks": "0",
    }
    member.info.pax_headers["GNU.sparse.map"] = "0,0"
    with pytest.raises(Corrupt, match="more than"):
        list(read_layer(io.BytesIO(archive(member))))


def test_names_that_fill_the_memory() -> None:
    """Compressed, ten thousand attributes of zeros are nothing."""
    bomb = Member("f")
    bomb.info.pax_headers = {f"SCHILY.xattr.user.{number}": "0" * 60_000 for number in range(10)}
    with pytest.raises(Corrupt, match="bytes of names") as caught:
        read_index_of(io.BytesIO(archive(*[bomb] * 20)), Limits(names=5 << 20))
    assert "WHERRY_MAX_LAYER_ENTRIES" in caught.value.hint


def test_folders_that_are_implied_by_the_thousand() -> None:
    """One name of four thousand bytes has two thousand folders in it, with four million bytes of paths."""
    bomb = [Member(f"{number}/" + "d/" * 1900 + "f") for number in range(20)]
    with pytest.raises(Corrupt, match="more than 9000 entries"):
        read_index_of(io.BytesIO(archive(*bomb)), Limits(entries=9000))
    with pytest.raises(Corrupt, match="bytes of names"):
        read_index_of(io.BytesIO(archive(*bomb)), Limits(names=1 << 20))


def test_global_headers_are_small() -> None:
    """Each of them counts for all entries after it."""
    record = b"70000 a=" + b"x" * (70_000 - 9) + b"\n"
    with pytest.raises(Corrupt, match="global headers"):
        read_index_of(io.BytesIO(archive(Member("h", b"g", data=record))))


def test_a_bomb_behind_the_archive_s_end(tmp_path: Path) -> None:
    stream = archive(Member("f")) + b"x" * (3 << 20)
    few = Limits(size=1 << 20, entries=10, names=100)
    with pytest.raises(Corrupt, match="stream has more than"):
        read_index_of(io.BytesIO(stream), few)
    with pytest.raises(Corrupt, match="stream has more than"):
        extract(io.BytesIO(stream), str(tmp_path / "x"), TRUSTED, few)


def test_the_number_of_entries_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits() == Limits()
    monkeypatch.setenv("WHERRY_MAX_LAYER_ENTRIES", "3M")
    assert limits().entries == 3 << 20
    assert limits().names > Limits().names
    monkeypatch.setenv("WHERRY_MAX_LAYER_ENTRIES", "9" * 5000)
    with pytest.raises(UsageError, match="WHERRY_MAX_LAYER_ENTRIES"):
        limits()


def test_too_many_entries() -> None:
    stream = archive(*(Member(f"f{number}") for number in range(50)))
    with pytest.raises(Corrupt, match="more than 20 entries"):
        list(read_layer(io.BytesIO(stream), Limits(entries=20)))


@settings(deadline=None, max_examples=60)
@given(
    members=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "a",
                    "b",
                    "a/b",
                    "a/b/c",
                    "b/a",
                    "../outside/x",
                    "/a",
                    "a/..",
                    ".wh.a",
                    "a/.wh..wh..opq",
                    "b/.wh.a",
                ]
            ),
            st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]),
            st.sampled_from(["a", "b", "a/b", "/", "..", "../outside", "../outside/secret", "/etc", "."]),
        ),
        max_size=12,
    )
)
def test_random_malice(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    """Whatever it is, it ends in a layer whose index says what is on the disk, or in an error for users."""
    prison = Prison(tmp_path_factory.mktemp("prison"))
    stream = archive(*(Member(name, type, link) for name, type, link in members))
    try:
        layer = prison.extract(stream)
    except WherryError:
        return
    found = trees.facts(str(prison.root))
    assert set(found) == {entry.path for entry in layer.entries if entry.kind != OPAQUE and entry.path}
    for entry in layer.entries:
        if entry.kind == DIRECTORY and entry.path:
            assert (prison.root / entry.path).is_dir()
        elif entry.kind == SYMLINK:
            assert found[entry.path][6] == entry.link
        elif entry.kind == HARDLINK:
            assert os.path.samestat(os.lstat(prison.root / entry.path), os.lstat(prison.root / entry.link))


@settings(deadline=None, max_examples=300)
@given(
    made=trees.layers(),
    where=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 1 << 20),
    keep_sums=st.booleans(),
)
@example(made=([Entry("f", FILE, size=3)], {"f": b"abc"}), where=[], cut=600, keep_sums=True)
def test_damaged_archives_are_corrupt_or_read(
    made: tuple[list[Entry], trees.Contents], where: list[tuple[int, int]], cut: int, keep_sums: bool
) -> None:
    data = bytearray(trees.write(*made)[1])
    for at, value in where:
        data[at % len(data)] = value
        block = at % len(data) // 512 * 512
        if keep_sums and data[block + 257 : block + 262] == b"ustar":
            data[block + 148 : block + 156] = b"        "
            struct.pack_into("8s", data, block + 148, b"%06o\0 " % sum(data[block : block + 512]))
    stream = bytes(data[: cut % (len(data) + 1)]) if cut % 2 else bytes(data)
    try:
        for _, content in read_layer(io.BytesIO(stream), Limits(size=1 << 24)):
            content.read()
    except (Corrupt, Unsupported):
        pass


def test_an_archive_that_is_cut_off_within_a_file() -> None:
    stream = archive(Member("f", data=bytes(2000)))
    for size in (1, 511, 600, 1500, 2500):
        with pytest.raises(Corrupt, match="cut off"):
            read_index_of(io.BytesIO(stream[:size]))
