"""Layouts, archives and registries that lie: each ends in one clear error, and nothing comes of them."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import remote, severalplatforms
from support.cli import write_files
from support.remote import described, sha256
from wherry.base.errors import Corrupt, Unsupported, WherryError
from wherry.oci import media
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.output.layoutimage import Layout
from wherry.registry.transport import Retries
from wherry.testing.registry import Registry
from wherry.transfer import places
from wherry.transfer.content import checked
from wherry.transfer.copy import copy
from wherry.transfer.layouts import names
from wherry.transfer.opening import Opening

IMAGE = remote.make({"a": b"1" * 1000}, {"b": b"2" * 1000})
LAYER = f"blobs/sha256/{sha256(IMAGE.layers[0])[7:]}"
MANIFEST = f"blobs/sha256/{IMAGE.digest[7:]}"
NAMED = {"org.opencontainers.image.ref.name": "v1"}

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_ROOT", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def run(source: str, target: str = "oci:out:x", referrers: bool = False) -> str:
    one, other = places.parse(source), places.parse(target)
    with Opening(retries=Retries(attempts=2, first=0.001)) as opening:
        return copy(opening.source(one), opening.target(other, one), (), referrers)


def files() -> Files:
    return remote.layout((IMAGE, NAMED))


def packed(content: Files, *more: tarfile.TarInfo) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for item in more:
            archive.addfile(item)
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def _other_bytes(content: Files) -> None:
    content[LAYER] = b"x" * len(content[LAYER])


def _longer(content: Files) -> None:
    content[LAYER] += b"\0"


def _shorter(content: Files) -> None:
    content[LAYER] = content[LAYER][:-1]


def _missing(content: Files) -> None:
    del content[LAYER]


def _manifest(content: Files) -> None:
    content[MANIFEST] = content[MANIFEST].replace(b"layers", b"Layers")


def _no_index(content: Files) -> None:
    content["index.json"] = content[MANIFEST]


def _no_json(content: Files) -> None:
    content["index.json"] = b"[" * 100_000


def _endless(content: Files) -> None:
    document = json.loads(content["index.json"])
    document["manifests"] *= 10_001
    content["index.json"] = json.dumps(document).encode()


LIES = [_other_bytes, _longer, _shorter, _missing, _manifest, _no_index, _no_json, _endless]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
@pytest.mark.parametrize("target", ["oci:out:x", "oci-archive:out.tar:x", "store:app"])
def test_layouts_that_lie(lie: Callable[[Files], None], kind: str, target: str, tmp_path: Path) -> None:
    content = files()
    lie(content)
    if kind == "oci":
        write_files(tmp_path / "layout", content)
    else:
        (tmp_path / "layout").write_bytes(packed(content))
    before = set(os.listdir(tmp_path)) | {"store"}
    with pytest.raises((Corrupt, Unsupported)) as caught:
        run(f"{kind}:layout:v1", target)
    assert caught.value.message.isprintable()
    assert set(os.listdir(tmp_path)) <= before


def test_places_that_there_are_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for source, said, hint in (
        ("oci:none:x", "there is no folder none", ""),
        ("oci:file", "there is no folder file", "a layout in a tar is named oci-archive:file"),
        ("oci:folder", "folder is no OCI layout: it has no index.json", ""),
        ("oci-archive:none", "there is no file none", ""),
        ("docker-archive:folder", "folder is a folder", "a layout in a folder is named oci:folder"),
        (
            "oci-archive:file",
            "oci-archive:file is no OCI archive: it has no index.json",
            "an archive of `docker",
        ),
        ("store:none", "no such image: none", "`wherry images` lists"),
    ):
        with pytest.raises(WherryError) as caught:
            run(source)
        assert caught.value.message == said
        assert caught.value.hint.startswith(hint)
    assert not os.path.exists("out")


def test_a_blob_that_is_a_link_or_a_pipe(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "layout", files())
    (tmp_path / "secret").write_bytes(b"s" * len(IMAGE.layers[0]))
    (folder / LAYER).unlink()
    (folder / LAYER).symlink_to(tmp_path / "secret")
    with pytest.raises(Corrupt, match="has other content than it says"):
        run("oci:layout:v1")
    (folder / LAYER).unlink()
    os.mkfifo(folder / LAYER)
    with pytest.raises(Corrupt, match="is not a file"):
        run("oci:layout:v1")


def test_a_wrong_size_of_what_the_store_has(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", files())
    run("oci:layout:v1", "store:app:v1")
    manifest = json.loads(IMAGE.manifest)
    manifest["layers"][0]["size"] += 1
    lying = IMAGE._replace(manifest=json.dumps(manifest).encode())
    write_files(tmp_path / "lying", remote.layout((lying, NAMED)))
    with pytest.raises(Corrupt, match=r"has \d+ bytes, not \d+ as its manifest says"):
        run("oci:lying:v1", "store:app:v2")


def _victim(tmp_path: Path) -> Path:
    victim = tmp_path / "mine"
    victim.write_text("kept")
    return victim


def test_links_at_the_names_that_are_written_aside(tmp_path: Path) -> None:
    """A stranger's layout, which is added to, may have links wherever something is about to be written."""
    write_files(tmp_path / "layout", files())
    folder, victim = write_files(tmp_path / "out", files()), _victim(tmp_path)
    (folder / LAYER).unlink()
    for name in ("index.json", "oci-layout", LAYER, MANIFEST):
        for ending in (f"{os.getpid()}", f"{os.getpid()}.{threading.get_ident()}"):
            (folder / f"{name}.{ending}.new").symlink_to(victim)
    run("oci:layout:v1")
    assert victim.read_text() == "kept"


def test_a_blob_of_the_target_that_is_a_link(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", files())
    folder, victim = write_files(tmp_path / "out", files()), _victim(tmp_path)
    victim.write_bytes(b"s" * len(IMAGE.layers[0]))
    (folder / LAYER).unlink()
    (folder / LAYER).symlink_to(victim)
    run("oci:layout:v1")
    assert (folder / LAYER).read_bytes() == IMAGE.layers[0]
    assert victim.read_bytes() == b"s" * len(IMAGE.layers[0])


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_blobs_that_would_come_to_lie_elsewhere(tmp_path: Path, name: str) -> None:
    write_files(tmp_path / "layout", files())
    folder = write_files(tmp_path / "out", files())
    shutil.rmtree(folder / name)
    (tmp_path / "elsewhere").mkdir()
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Corrupt, match="is a link: the blobs of a layout are in the layout"):
        run("oci:layout:v1")
    assert not os.listdir(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "member",
    [
        link("index.json", "../../etc/passwd"),
        link("index.json", "/etc/passwd"),
        link("index.json", "index.json"),
        link("x", "", tarfile.CHRTYPE),
        link("../x", ""),
        link("index.json", "gone", tarfile.LNKTYPE),
    ],
)
def test_archives_with_links_that_lead_out(tmp_path: Path, member: tarfile.TarInfo) -> None:
    content = files()
    if member.name == "index.json":
        del content["index.json"]
    (tmp_path / "a.tar").write_bytes(packed(content, member))
    with pytest.raises(Corrupt):
        run("oci-archive:a.tar:v1")


def test_names_that_a_terminal_would_obey(tmp_path: Path) -> None:
    name = {"org.opencontainers.image.ref.name": "v1\x1b[2J\x9b"}
    write_files(tmp_path / "layout", remote.layout((IMAGE, name)))
    assert names(Layout("layout")) == ["v1"]


def test_links_within_an_archive_are_followed(tmp_path: Path) -> None:
    content = files()
    content["elsewhere/layer"] = content.pop(LAYER)
    (tmp_path / "a.tar").write_bytes(packed(content, link(LAYER, "../../elsewhere/layer")))
    assert run("oci-archive:a.tar:v1") == IMAGE.digest


@given(st.data())
def test_an_archive_cut_anywhere_is_no_archive(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    raw = packed(files()).rstrip(b"\0")
    end = data.draw(st.integers(1, len(raw) - 1))
    (folder / "a.tar").write_bytes(raw[:end])
    with pytest.raises(WherryError):
        run(f"oci-archive:{folder}/a.tar:v1", f"oci:{folder}/out:x")
    assert os.listdir(folder) == ["a.tar"]


def test_an_archive_cut_behind_all_that_is_needed(tmp_path: Path) -> None:
    raw = packed(files() | {"zzz": b"z" * 5000})
    (tmp_path / "a.tar").write_bytes(raw[: raw.rindex(b"zz")])
    with pytest.raises(Corrupt, match="cut off"):
        run("oci-archive:a.tar:v1")


def test_a_layer_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_MAX_LAYER_SIZE", "1M")
    monkeypatch.setenv("WHERRY_MAX_LAYER_ENTRIES", "100")
    content = remote.docker_archive(remote.make({"a": b"1"}), "app:v1")
    (name,) = [name for name in content if name.endswith("layer.tar")]
    content[name] = (
        gzip.compress(bytes(1 << 20)) * 520
    )  # beside the content, names of 512 MiB are allowed for
    (tmp_path / "d.tar").write_bytes(packed(content))
    with pytest.raises(Corrupt, match="has more content than a layer may have"):
        run("docker-archive:d.tar")


def test_two_diff_ids_for_one_blob(tmp_path: Path) -> None:
    config = json.loads(IMAGE.config)
    config["rootfs"]["diff_ids"] = [sha256(IMAGE.tars[0]), sha256(IMAGE.tars[1])]
    raw = json.dumps(config).encode()
    twice = [described(IMAGE.layers[0], media.LAYER_GZIP)] * 2
    manifest = severalplatforms.manifest(described(raw, media.CONFIG), twice)
    lying = IMAGE._replace(config=raw, manifest=manifest)
    write_files(tmp_path / "layout", remote.layout((lying, NAMED)))
    with pytest.raises(Corrupt, match="a layer that is said to be two"):
        run("oci:layout:v1", "store:app")


def test_more_referrers_than_are_followed() -> None:
    with Registry() as registry:
        remote.publish(registry, "app:v1", IMAGE)
        subject = IMAGE.manifest
        for _ in range(6):
            digest = severalplatforms.attach(registry, "app", subject, "application/x", b"x")
            subject = registry.manifests["app", digest][1]
        with pytest.raises(Unsupported, match="referrers of referrers"):
            run(f"{registry.host}/app:v1", referrers=True)
    assert not os.path.exists("out")


class _Source:
    """A source of one blob, which counts how often it is opened."""

    shown = "a test"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened = 0

    def open(self, blob: Descriptor) -> BinaryIO:
        del blob
        self.opened += 1
        return io.BytesIO(self.data)


@given(st.binary(max_size=2000), st.lists(st.tuples(st.booleans(), st.integers(0, 2000)), max_size=20))
def test_a_checked_blob_reads_and_seeks_as_a_file(data: bytes, steps: list[tuple[bool, int]]) -> None:
    """Uploads that break begin again, at the start or within."""
    plain = io.BytesIO(data)
    source: Any = _Source(data)
    with checked(source, Descriptor("", Digest(sha256(data)), len(data))) as stream:
        for seeks, number in steps:
            if seeks:
                offset = min(number, len(data))
                assert (stream.seek(offset), plain.seek(offset)) == (offset, offset)
            else:
                assert stream.read(number) == plain.read(number)
            assert stream.tell() == plain.tell()


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=200), st.integers(1, 300))
def test_no_last_byte_of_a_wrong_blob_is_given(promised: bytes, sent: bytes, size: int) -> None:
    if promised == sent:
        return
    source: Any = _Source(sent)
    given_out = b""
    blob = Descriptor("", Digest(sha256(promised)), len(promised))
    with (
        pytest.raises(Corrupt, match="a test has other content than it says"),
        checked(source, blob) as stream,
    ):
        while data := stream.read(size):
            given_out += data
    assert len(given_out) < len(promised)


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_a_clear_error(text: str) -> None:
    for prefix in ("", "oci:", "store:", "docker-archive:", "docker://"):
        try:
            assert places.parse(prefix + text).text == prefix + text
        except WherryError:
            pass
