"""`load` of archives in which something is wrong: one clear error, or images that are whole."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import remote
from wherry.base.errors import WherryError
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.output.load import load
from wherry.store.store import Store

IMAGE = remote.make({"etc/a": b"1"}, {"etc/b": b"2" * 5000})
OTHER = remote.make({"etc/a": b"1"}, {"etc/c": b"3"}, architecture="arm64")


def _of_several() -> dict[str, bytes]:
    files = remote.layout((IMAGE, {}), (OTHER, {}))
    entries = [
        remote.described(image.manifest, media.MANIFEST) | {"platform": {"os": "linux", "architecture": name}}
        for image, name in ((IMAGE, "amd64"), (OTHER, "arm64"))
    ]
    raw = json.dumps({"schemaVersion": 2, "mediaType": media.INDEX, "manifests": entries}).encode()
    entry = remote.described(raw, media.INDEX) | {"annotations": {"io.containerd.image.name": "m:1"}}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    return files | {f"blobs/sha256/{remote.sha256(raw)[7:]}": raw, "index.json": index}


def _legacy() -> dict[str, bytes]:
    low, high = "a" * 64, "b" * 64
    return {
        f"{low}/json": json.dumps({"id": low, "os": "linux", "container_config": {"Cmd": ["x"]}}).encode(),
        f"{low}/layer.tar": IMAGE.tars[0],
        f"{high}/json": json.dumps({"id": high, "parent": low, "config": {"Cmd": ["sh"]}}).encode(),
        f"{high}/layer.tar": IMAGE.tars[1],
        "repositories": json.dumps({"app": {"v1": high, "v0": low}}).encode(),
    }


ARCHIVES = {
    "docker": remote.docker_archive(IMAGE, "app:v1"),
    "layout": remote.layout((IMAGE, {"io.containerd.image.name": "app:v1"})),
    "several": _of_several(),
    "legacy": _legacy(),
}
VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**70, "", "x", "a" * 64, "sha256:" + "0" * 64, "../../etc/passwd", "\0"),
    *("UPPER:x", [], {}, [None], [[]], {"a": None}, {"v1": 5}, [{"digest": "sha256:" + "f" * 64, "size": 1}]),
    *(media.INDEX, media.MANIFEST, media.DOCKER_SCHEMA1),
]  # fmt: skip


def _places(document: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    is_list = isinstance(document, list)
    for key, value in enumerate(document) if is_list else getattr(document, "items", tuple)():
        yield from _places(value, (*way, key))


def _changed(document: Any, way: tuple[Any, ...], value: Any) -> Any:
    if not way:
        return value
    document = copy.deepcopy(document)
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    return document


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, bytes]:
    """An archive of some kind with one to three things changed. Digests follow, so that what is wrong is
    read."""
    files = dict(ARCHIVES[draw(st.sampled_from(sorted(ARCHIVES)))])
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(files)))
        document = _json(files[name])
        how = draw(st.sampled_from(["value", "value", "value", "bytes", "gone", "other"]))
        if how == "gone" and len(files) > 1:
            del files[name]
        elif how == "other":
            files[name] = files[draw(st.sampled_from(sorted(files)))]
        elif how == "bytes" or document is None:
            at = draw(st.integers(0, len(files[name])))
            files[name] = files[name][:at] + draw(st.binary(max_size=3)) + files[name][at + 1 :]
        else:
            way = draw(st.sampled_from(list(_places(document))))
            made = json.dumps(_changed(document, way, draw(st.sampled_from(VALUES)))).encode()
            files = _renamed(files, name, made)
    return _Files(files)


class _Files(dict[str, bytes]):
    """Short, where it is printed."""

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {data[:300]!r}" for name, data in self.items())


def _json(data: bytes) -> Any:
    """None where it is none."""
    try:
        return json.loads(data)
    except ValueError:
        return None


def _renamed(files: dict[str, bytes], name: str, content: bytes) -> dict[str, bytes]:
    """`content` in the place of a file. Where its name is a digest it gets its own, as does what names it."""
    files = dict(files)
    pending = [(name, content)]
    for name, content in pending:
        old, new = remote.sha256(files[name])[7:], remote.sha256(content)[7:]
        del files[name]
        moved = name.replace(old, new)
        files[moved] = content
        if moved == name:
            continue
        speaking = [path for path, data in files.items() if path != moved and old.encode() in data]
        for path in speaking[:1]:  # in these archives it is one, or those that speak of it speak of no other
            if (document := _json(files[path])) is not None:
                changed = _pointed(document, old, new, len(content))
                pending.append((path, json.dumps(changed).encode()))
    return files


def _pointed(document: Any, old: str, new: str, size: int) -> Any:
    if isinstance(document, str):
        return document.replace(old, new)
    if isinstance(document, list):
        return [_pointed(item, old, new, size) for item in document]
    if not isinstance(document, dict):
        return document
    found = {key: _pointed(value, old, new, size) for key, value in document.items()}
    return found | ({"size": size} if document.get("digest") == f"sha256:{old}" else {})


def test_what_is_wrong_is_told_and_names_nothing(store: Store) -> None:
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(damaged())
    def check(files: dict[str, bytes]) -> None:
        for image in store.images.all():
            store.images.delete(image.id)
        try:
            loaded = load(store, io.BytesIO(remote.tar(files)))
        except WherryError as error:
            assert error.message
            assert store.images.all_names() == []
            return
        layers = Layers(store)
        for found in loaded:
            for diff_id in store.images.get(found.image_id).config.diff_ids:
                with layers.open_tar(diff_id) as tar:  # verified at its end
                    while tar.read(1 << 20):
                        pass

    check()
