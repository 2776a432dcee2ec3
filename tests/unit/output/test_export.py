"""`build -o`: layouts, and the root file system as a tar and as a folder."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support import remote
from wherry.base import removal
from wherry.base.errors import Corrupt, Unsupported, UsageError, WherryError
from wherry.base.events import Emit, Event, Note, ignore
from wherry.layer.layers import Layers
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.output import spec
from wherry.output.export import export
from wherry.output.load import load
from wherry.output.result import Part, Result
from wherry.store.store import Store


class Member(tarfile.TarInfo):
    """A member with what is of interest about it."""

    def __init__(self, name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> None:
        super().__init__(name)
        self.type, self.mode, self.linkname = kind, mode, link
        self.mtime = 1_000_000_000


def _layer(*members: tuple[Member, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _put(store: Store, tars: Sequence[bytes]) -> Digest:
    diff_ids = [Layers(store).add_stream(io.BytesIO(data), extract=False).diff_id for data in tars]
    return store.images.put(ImageConfig(platforms.host(), diff_ids=tuple(diff_ids)).encode())


def written(store: Store, image_id: Digest, *outputs: str, names: str = "", emit: Emit = ignore) -> None:
    """As `build` does for one platform."""
    part = Part(store.images.get(image_id).config.platform, image_id)
    result = Result((part,), tuple(map(references.parse, names.split())))
    export(store, result, [spec.parse(text) for text in outputs], emit)


BELOW = _layer(
    (Member("bin", tarfile.DIRTYPE, 0o555), b""),
    (Member("bin/su", mode=0o4755), b"program"),
    (Member("bin/other", tarfile.LNKTYPE, link="bin/su"), b""),
    (Member("gone"), b"gone"),
    (Member("etc", tarfile.DIRTYPE, 0o755), b""),
    (Member("etc/changed"), b"old"),
    (Member("pipe", tarfile.FIFOTYPE, 0o600), b""),
)
ABOVE = _layer(
    (Member(".wh.gone"), b""),
    (Member("etc/changed"), b"new"),
    (Member("etc/link", tarfile.SYMTYPE, link="/etc/passwd"), b""),
    (Member("null", tarfile.CHRTYPE), b""),
)


@pytest.fixture
def image_id(store: Store) -> Digest:
    above = bytearray(ABOVE)
    with tarfile.open(fileobj=io.BytesIO(ABOVE)) as archive:
        node = archive.getmember("null")
    node.devmajor, node.devminor = 1, 3
    above[node.offset : node.offset + 512] = node.tobuf(tarfile.USTAR_FORMAT)
    return _put(store, [BELOW, bytes(above)])


def test_a_tar_of_the_merged_layers(store: Store, image_id: Digest, tmp_path: Path) -> None:
    written(store, image_id, f"type=tar,dest={tmp_path}/out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        members = {member.name: member for member in archive}
        assert archive.extractfile("etc/changed").read() == b"new"  # type: ignore[union-attr]
    assert list(members) == [
        "bin", "bin/other", "bin/su", "etc", "etc/changed", "etc/link", "null", "pipe",
    ]  # fmt: skip
    assert members["bin/su"].islnk()
    assert members["bin/su"].linkname == "bin/other"
    assert members["bin/other"].mode == 0o4755
    assert members["bin"].mtime == 1_000_000_000
    assert (members["null"].devmajor, members["null"].devminor) == (1, 3)


def test_a_folder(store: Store, image_id: Digest, tmp_path: Path) -> None:
    events: list[Event] = []
    out = tmp_path / "out"
    (out / "etc").mkdir(parents=True)
    (out / "mine").write_text("stays")
    (out / "etc" / "changed").write_text("is replaced")
    written(store, image_id, str(out), emit=events.append)
    assert (out / "mine").read_text() == "stays"
    assert (out / "etc" / "changed").read_text() == "new"
    assert os.readlink(out / "etc" / "link") == "/etc/passwd"
    assert (out / "bin" / "su").read_text() == "program"
    assert (out / "bin" / "su").samefile(out / "bin" / "other")
    assert stat.S_IMODE((out / "bin" / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "bin").stat().st_mode) == 0o555
    assert (out / "bin").stat().st_mtime == (out / "bin" / "su").stat().st_mtime == 1_000_000_000
    assert stat.S_ISFIFO((out / "pipe").stat().st_mode)
    assert not (out / "gone").exists()
    assert not (out / "null").exists()
    assert [event.text for event in events if isinstance(event, Note)] == ["1 device nodes were not exported"]
    written(store, image_id, str(out))


def test_no_link_in_the_folder_is_followed(store: Store, image_id: Digest, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "changed").write_text("untouched")
    out = tmp_path / "out"
    out.mkdir()
    (out / "etc").symlink_to(outside)
    (out / "pipe").symlink_to(outside / "changed")
    written(store, image_id, str(out))
    assert (outside / "changed").read_text() == "untouched"
    assert not (out / "etc").is_symlink()
    assert os.listdir(outside) == ["changed"]


def test_the_longest_path(store: Store, tmp_path: Path) -> None:
    """As deep as the kernel allows, twice: nothing is recursive, and no name is put before it."""
    deep = "/".join(["dd"] * 1360) + "/" + "f" * 14
    assert len(deep) == 4094
    image_id = _put(store, [_layer((Member(deep), b"deep"))])
    for _ in range(2):
        written(store, image_id, str(tmp_path / "out"))
    descriptor = os.open(tmp_path / "out", os.O_RDONLY)
    for part in deep.split("/")[:-1]:
        inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    assert os.listdir(descriptor) == ["f" * 14]
    os.close(descriptor)
    removal.remove(str(tmp_path / "out"))  # pytest's own would not


def test_a_folder_in_the_way(store: Store, image_id: Digest, tmp_path: Path) -> None:
    (tmp_path / "out" / "etc" / "changed" / "mine").mkdir(parents=True)
    with pytest.raises(WherryError, match=r"cannot write .*/out/etc/changed: Is a directory"):
        written(store, image_id, str(tmp_path / "out"))
    assert (tmp_path / "out" / "etc" / "changed" / "mine").is_dir()


@pytest.mark.parametrize("output", ["type=oci,dest={}/a.tar", "type=docker,dest={}/a.tar"])
def test_archives_can_be_loaded(store: Store, image_id: Digest, tmp_path: Path, output: str) -> None:
    written(store, image_id, output.format(tmp_path), names="app:v1")
    with Store.open(str(tmp_path / "second")) as second, open(tmp_path / "a.tar", "rb") as archive:
        (loaded,) = load(second, archive)
        assert loaded == (image_id, (references.parse("app:v1"),))


def test_a_layout_in_a_folder_grows(store: Store, image_id: Digest, tmp_path: Path) -> None:
    output = f"type=oci,dest={tmp_path}/layout,tar=false"
    written(store, image_id, output, names="app:v1")
    before = sorted(os.listdir(tmp_path / "layout" / "blobs" / "sha256"))
    written(store, image_id, output, names="app:v2")
    assert sorted(os.listdir(tmp_path / "layout" / "blobs" / "sha256")) == before
    assert sorted(os.listdir(tmp_path / "layout")) == ["blobs", "index.json", "oci-layout"]
    assert "app:v2" in (tmp_path / "layout" / "index.json").read_text()
    for name in before:
        data = (tmp_path / "layout" / "blobs" / "sha256" / name).read_bytes()
        assert remote.sha256(data) == f"sha256:{name}"


def test_links_in_a_layout_are_not_followed(store: Store, image_id: Digest, tmp_path: Path) -> None:
    output = f"type=oci,dest={tmp_path}/layout,tar=false"
    written(store, image_id, output, names="app:v1")
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    content = {name: (blobs / name).read_bytes() for name in os.listdir(blobs)}
    outside = tmp_path / "outside"
    for name, data in content.items():
        (blobs / name).unlink()
        outside.write_bytes(b"x" * len(data))
        (blobs / name).symlink_to(outside)
        (blobs / f"{name}.{os.getpid()}.new").symlink_to(outside)
    (tmp_path / "layout" / f"index.json.{os.getpid()}.new").symlink_to(outside)
    before = outside.read_bytes()
    written(store, image_id, output, names="app:v2")
    assert outside.read_bytes() == before
    for name, data in content.items():
        assert not (blobs / name).is_symlink()
        assert (blobs / name).read_bytes() == data


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_blobs_that_would_lie_elsewhere(store: Store, image_id: Digest, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "layout" / name
    folder.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Corrupt, match="is a link: the blobs of a layout are in the layout"):
        written(store, image_id, f"type=oci,dest={tmp_path}/layout,tar=false")
    assert not os.listdir(tmp_path / "elsewhere")


@pytest.mark.parametrize("output", ["type=image,name=app:v2", "type=docker,name=app:v2"])
def test_the_store_is_an_output_too(store: Store, image_id: Digest, output: str) -> None:
    written(store, image_id, output)
    assert store.images.find("app:v2").id == image_id


ARM = Platform("linux", "arm", "v7")


def _other(store: Store, image_id: Digest, *tars: bytes) -> Part:
    """An image for another platform, on the same layers."""
    config = store.images.get(image_id).config
    added = [Layers(store).add_stream(io.BytesIO(data), extract=False).diff_id for data in tars]
    other = config._replace(platform=ARM, diff_ids=(*config.diff_ids, *added))
    return Part(ARM, store.images.put(other.encode()), (("kind", "arm"),))


def _several(store: Store, image_id: Digest, *tars: bytes) -> Result:
    return Result(
        (Part(platforms.host(), image_id), _other(store, image_id, *tars)),
        (references.parse("app:v1"),),
        is_index=True,
        annotations=(("of", "the index"),),
    )


def test_several_platforms_are_an_index_of_a_layout(store: Store, image_id: Digest, tmp_path: Path) -> None:
    result = _several(store, image_id, _layer((Member("arm"), b"arm")))
    out = tmp_path / "layout"
    export(
        store, result, [spec.parse(f"type=oci,dest={out},tar=false"), spec.parse(f"type=oci,dest={out}.tar")]
    )
    (entry,) = json.loads((out / "index.json").read_text())["manifests"]
    assert entry["mediaType"] == "application/vnd.oci.image.index.v1+json"
    index = json.loads((out / "blobs/sha256" / entry["digest"][7:]).read_text())
    assert index["annotations"] == {"of": "the index"}
    assert [item["platform"]["architecture"] for item in index["manifests"]][1] == "arm"
    assert index["manifests"][1]["platform"]["variant"] == "v7"
    manifest = json.loads((out / "blobs/sha256" / index["manifests"][1]["digest"][7:]).read_text())
    assert manifest["annotations"] == {"kind": "arm"}
    assert manifest["config"]["digest"] == result.parts[1].image
    with tarfile.open(f"{out}.tar") as archive:
        names = archive.getnames()
        assert len(names) == len(set(names)), "shared layers are there once"
        files = {name.removeprefix("blobs/sha256/") for name in names if name.startswith("blobs/sha256/")}
    assert files == set(os.listdir(out / "blobs" / "sha256"))


def test_several_platforms_are_folders(store: Store, image_id: Digest, tmp_path: Path) -> None:
    result = _several(store, image_id)
    export(store, result, [spec.parse(str(tmp_path / "out")), spec.parse(f"type=tar,dest={tmp_path}/a.tar")])
    assert sorted(os.listdir(tmp_path / "out")) == ["linux_amd64", "linux_arm_v7"]
    arm = tmp_path / "out" / "linux_arm_v7"
    assert (arm / "bin" / "su").samefile(arm / "bin" / "other")
    assert not (arm / "bin" / "su").samefile(tmp_path / "out" / "linux_amd64" / "bin" / "su")
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = {member.name: member for member in archive}
    assert members["linux_arm_v7"].isdir()
    assert members["linux_arm_v7/bin/su"].linkname == "linux_arm_v7/bin/other"
    assert members["linux_arm_v7/etc/link"].linkname == "/etc/passwd"


def test_several_platforms_fit_in_no_docker_archive(store: Store, image_id: Digest, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="one platform"):
        export(store, _several(store, image_id), [spec.parse(f"type=docker,dest={tmp_path}/a.tar")])
    assert os.listdir(tmp_path) == ["store"]


def test_one_failure_leaves_all_as_it_was(store: Store, image_id: Digest, tmp_path: Path) -> None:
    """Whatever the order: each other output has its old content, and nothing beside it."""
    old = {
        "a.tar": "old",
        "oci.tar": "old",
        "out/etc/changed": "old",
        "layout/index.json": "{}",
        "x": "in the way",
    }
    for name, text in old.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "layout" / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    before = _content(tmp_path)
    outputs = [
        f"type=tar,dest={tmp_path}/a.tar",
        f"type=oci,dest={tmp_path}/oci.tar",
        f"type=oci,tar=false,dest={tmp_path}/layout",
        f"type=local,dest={tmp_path}/out",
        "type=image,name=app:new",
    ]
    for bad in (
        f"type=local,dest={tmp_path}/x",
        f"type=tar,dest={tmp_path}/no/a.tar",
        "type=docker,dest=/dev/full",
    ):
        for rotated in (0, 2, 4):
            chosen = [*outputs[rotated:], *outputs[:rotated]]
            with pytest.raises(WherryError):
                written(store, image_id, *chosen[:3], bad, *chosen[3:])
            assert _content(tmp_path) == before, bad
    assert store.images.id_of(references.parse("app:new")) is None
    written(store, image_id, *outputs)
    assert store.images.id_of(references.parse("app:new")) == image_id
    assert (tmp_path / "out" / "etc" / "changed").read_text() == "new"
    assert _content(tmp_path)["x"] == b"in the way"


def _content(folder: Path) -> dict[str, bytes]:
    """All files but the store's."""
    found = sorted(path for path in folder.rglob("*") if "store" not in path.parts)
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in found
        if path.is_file() or path.is_dir()
    }


def test_two_outputs_of_one_place(store: Store, image_id: Digest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two outputs"):
        written(store, image_id, f"type=tar,dest={tmp_path}/a", f"type=oci,dest={tmp_path}/a")
    with pytest.raises(UsageError, match="standard output"):
        written(store, image_id, "-", "type=oci,dest=-")


def test_names_move_in_a_layout(store: Store, image_id: Digest, tmp_path: Path) -> None:
    out = f"type=oci,dest={tmp_path}/layout,tar=false"
    written(store, image_id, out, names="app:v1 app:v2")
    other = _other(store, image_id).image
    written(store, other, out, names="app:v2")
    written(store, other, out)
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    named = [
        entry.get("annotations", {}).get("org.opencontainers.image.ref.name") for entry in index["manifests"]
    ]
    assert named == ["v1", "v2", None]
    assert len({entry["digest"] for entry in index["manifests"]}) == 2


def test_annotations_of_every_level(store: Store, image_id: Digest, tmp_path: Path) -> None:
    result = _several(store, image_id)
    words = {
        "annotation.all": "manifests",
        "annotation-manifest.also": "all",
        "annotation-manifest[linux/arm/v7].arm": "alone",
        "annotation-manifest-descriptor[linux/amd64].entry": "amd64",
        "annotation-index.index": "itself",
        "annotation-index-descriptor.top": "entry",
    }
    keys = ",".join(f"{key}={value}" for key, value in words.items())
    export(store, result, [spec.parse(f"type=oci,dest={tmp_path}/layout,tar=false,{keys}")])

    def read(entry: dict[str, str]) -> dict[str, Any]:
        blob = tmp_path / "layout" / "blobs" / "sha256" / entry["digest"][7:]
        found: dict[str, Any] = json.loads(blob.read_text())
        return found

    (top,) = json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
    assert top["annotations"]["top"] == "entry"
    assert top["annotations"]["io.containerd.image.name"] == "docker.io/library/app:v1"
    index = read(top)
    assert index["annotations"] == {"of": "the index", "index": "itself"}
    amd64, arm = index["manifests"]
    assert amd64["annotations"] == {"entry": "amd64"}
    assert "annotations" not in arm
    assert read(amd64)["annotations"] == {"all": "manifests", "also": "all"}
    assert read(arm)["annotations"] == {"all": "manifests", "also": "all", "arm": "alone", "kind": "arm"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("annotation-index.a=b", "an image of one platform has none"),
        ("annotation-index-descriptor.a=b", "an image of one platform has none"),
        ("annotation-manifest[linux/s390x].a=b", "which is not built"),
    ],
)
def test_annotations_without_a_place(
    store: Store, image_id: Digest, tmp_path: Path, words: str, message: str
) -> None:
    with pytest.raises(WherryError, match=message):
        written(store, image_id, f"type=oci,dest={tmp_path}/a.tar,{words}")
    assert not (tmp_path / "a.tar").exists()
