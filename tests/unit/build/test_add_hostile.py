"""ADD of archives made to do harm: an error, or a layer whose index is what its stream says."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wherry.base.errors import WherryError
from wherry.build.build import build
from wherry.build.options import Options
from wherry.layer.apply import extract, read_index_of
from wherry.layer.entry import OPAQUE, Entry
from wherry.layer.forms import PLAIN
from wherry.layer.layers import Layers
from wherry.store.store import Store
from wherry.testing import trees

Context = Callable[[Mapping[str, str | bytes]], Path]
Member = tuple[str, bytes, str]

NAMES = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "b/a",
    "l/x",
    "up/x",
    "../x",
    "/a",
    "a/../b",
    ".wh.a",
    "a/.wh..wh..opq",
    ".",
]
LINKS = ["a", "b", "a/b", "/", "..", "../../x", "/etc/passwd", "nothing", "l/x", "."]
KINDS = [
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
]


def archive(members: list[Member]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    return target.getvalue()


def without_content(entry: Entry) -> Entry:
    return entry._replace(offset=-1)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_text("secret")
    return tmp_path / "outside"


def test_a_name_twice_and_a_folder_in_a_file_s_place(store: Store, context: Context) -> None:
    members = [("a", tarfile.REGTYPE, ""), ("a", tarfile.DIRTYPE, ""), ("a/b", tarfile.REGTYPE, "")]
    context({"Dockerfile": "FROM scratch\nADD t /\n", "t": archive(members)})
    built = build(store, Options(context=str(context({}))))
    [diff_id] = store.images.get(built.image).config.diff_ids
    assert [(entry.path, entry.kind) for entry in Layers(store).index(diff_id).entries] == [
        ("a", "d"),
        ("a/b", "f"),
    ]


@pytest.mark.parametrize("link", ["nothing", "../x", "/etc/passwd"])
def test_a_hard_link_to_what_the_archive_does_not_have(store: Store, context: Context, link: str) -> None:
    """Also where the image has it: nobody could extract such a layer."""
    folder = context(
        {
            "Dockerfile": "FROM scratch\nCOPY passwd /etc/\nADD t /\n",
            "t": archive([("h", tarfile.LNKTYPE, link)]),
            "passwd": "",
        }
    )
    with pytest.raises(WherryError, match=r"which is no file in it|with '\.\.'"):
        build(store, Options(context=str(folder)))


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(KINDS), st.sampled_from(LINKS)), max_size=8),
    st.sampled_from(["/", "/n/", "/l/", "/up"]),
)
@example([("a", tarfile.REGTYPE, ""), ("a/b", tarfile.REGTYPE, "")], "/")
def test_random_malice(
    store: Store, context: Context, outside: Path, tmp_path: Path, members: list[Member], target: str
) -> None:
    before = trees.facts(str(outside))
    folder = context({"Dockerfile": f"FROM scratch\nCOPY links /\nADD t {target}\n", "t": archive(members)})
    links = folder / "links"
    if not links.exists():
        links.mkdir()
        (links / "l").symlink_to(outside)
        (links / "up").symlink_to("../../..")
    try:
        built = build(store, Options(context=str(folder)))
    except WherryError as error:
        assert "bug" not in error.message
        return
    layers = Layers(store)
    for number, diff_id in enumerate(store.images.get(built.image).config.diff_ids):
        kept = layers.index(diff_id)
        with layers.open_tar(diff_id) as tar:
            read = read_index_of(tar)
        assert set(map(without_content, kept.entries)) == set(map(without_content, read.entries))
        assert not any(".." in entry.path.split("/") for entry in kept.entries)
        with layers.open_tar(diff_id) as tar:
            place = tmp_path / f"x{number}"
            extract(tar, str(place), PLAIN)
        here = {entry.path for entry in kept.entries if entry.kind != OPAQUE and entry.path}
        assert set(trees.facts(str(place))) == here
        shutil.rmtree(place)
    assert trees.facts(str(outside)) == before
