"""The manifest of an image as it leaves the machine: which blobs it names, in which media types."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence

import pytest

from support import remote
from wherry.base.errors import Unsupported, UsageError
from wherry.layer.compress import compressor
from wherry.layer.layers import Layers
from wherry.layer.packing import AS_IT_IS, Form, Packing, checked, packed
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.config import ImageConfig
from wherry.oci.descriptor import Descriptor, Manifest, encode
from wherry.oci.digest import Digest
from wherry.store.images import Image
from wherry.store.store import Store

ONE, TWO = (remote.tar({"file": data * 5000}) for data in (b"one", b"two"))


def _own(store: Store) -> Digest:
    return Layers(store).add_stream(io.BytesIO(ONE), extract=False).diff_id


def _foreign(store: Store, media_type: str = media.LAYER_GZIP) -> tuple[Digest, Descriptor]:
    """A layer that came compressed by somebody else."""
    data = gzip.compress(TWO, 1, mtime=0)
    blob = Descriptor(media_type, store.blobs.put(data), len(data))
    diff_id = Digest(remote.sha256(TWO))
    Layers(store).add_blob(diff_id, blob)
    return diff_id, blob


def _image(store: Store, diff_ids: Sequence[Digest], manifest: bytes | None = None) -> Image:
    raw = ImageConfig(platforms.host(), diff_ids=tuple(diff_ids)).encode()
    return store.images.get(store.images.put(raw, manifest))


def _manifest(
    store: Store, image: Image, form: Form = AS_IT_IS, annotations: tuple[tuple[str, str], ...] = ()
) -> Manifest:
    packing = Packing(store, Layers(store), image, form, annotations)
    return packing.manifest([packing.layer(diff_id) for diff_id in image.config.diff_ids])


def _pulled(store: Store, *, docker: bool = False) -> Image:
    kind = media.DOCKER_LAYER_GZIP if docker else media.LAYER_GZIP
    diff_id, blob = _foreign(store, kind)
    config = ImageConfig(platforms.host(), diff_ids=(diff_id,)).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": media.DOCKER_MANIFEST if docker else media.MANIFEST,
        "config": Descriptor(
            media.DOCKER_CONFIG if docker else media.CONFIG, store.blobs.put(config), len(config)
        ).to_json(),
        "layers": [blob.to_json()],
    }
    return _image(store, [diff_id], json.dumps(document, indent=3).encode())


def test_as_it_lies(store: Store) -> None:
    own, (foreign, blob) = _own(store), _foreign(store)
    manifest = _manifest(store, _image(store, [own, foreign]))
    assert manifest.media_type == media.MANIFEST
    assert [layer.media_type for layer in manifest.layers] == [media.LAYER_GZIP] * 2
    assert manifest.layers[1] == blob
    assert store.layers.makers(own) == {manifest.layers[0].digest: compressor("gzip")}
    assert store.layers.makers(foreign) == {blob.digest: ""}


def test_what_came_compressed_stays_unless_forced(store: Store) -> None:
    own, (foreign, blob) = _own(store), _foreign(store)
    image = _image(store, [own, foreign])
    _manifest(store, image)
    mixed = _manifest(store, image, Form("zstd"))
    assert [layer.media_type for layer in mixed.layers] == [media.LAYER_ZSTD, media.LAYER_GZIP]
    assert mixed.layers[1] == blob
    forced = _manifest(store, image, Form("zstd", force=True))
    assert [layer.media_type for layer in forced.layers] == [media.LAYER_ZSTD] * 2
    plain = _manifest(store, image, Form("uncompressed", force=True))
    assert [layer.digest for layer in plain.layers] == [own, foreign]
    assert {layer.media_type for layer in plain.layers} == {media.LAYER_TAR}


def test_a_level_is_the_one_that_was_asked_for(store: Store) -> None:
    own = _own(store)
    usual = packed(store, Layers(store), own)
    best = packed(store, Layers(store), own, Form("gzip", 9))
    assert best.digest != usual.digest
    assert packed(store, Layers(store), own, Form("gzip", 9)) == best
    assert packed(store, Layers(store), own, Form("gzip", 6)) == usual
    assert packed(store, Layers(store), own) == packed(store, Layers(store), own, Form("gzip")) == usual
    assert packed(store, Layers(store), own, Form("zstd")) != usual
    assert packed(store, Layers(store), own) == usual, "whatever else there is"
    assert store.layers.makers(own)[best.digest] == compressor("gzip", 9)


def test_an_older_compressor_s_blob_is_not_made_again(store: Store) -> None:
    own = _own(store)
    data = gzip.compress(ONE, 9, mtime=0)
    blob = Descriptor(media.LAYER_GZIP, store.blobs.put(data), len(data))
    name, _, *settings = compressor("gzip").split()
    store.layers.add_blob(own, blob, " ".join((name, "1.9.9", *settings)))
    assert packed(store, Layers(store), own) == blob
    store.layers.add_blob(own, blob, " ".join((name, "1.9.9", "level", "1", *settings[2:])))
    assert packed(store, Layers(store), own) != blob


@pytest.mark.parametrize("docker", [True, False])
def test_a_pulled_manifest_stays_byte_for_byte(store: Store, docker: bool) -> None:
    image = _pulled(store, docker=docker)
    assert image.manifest
    for form in (Form(), Form("gzip"), Form("zstd"), Form("gzip", force=True), Form(oci=not docker)):
        assert _manifest(store, image, form).digest == image.manifest, form
    assert _manifest(store, image, Form("zstd", force=True)).digest != image.manifest


def test_media_types_are_changed_without_touching_blobs(store: Store) -> None:
    for docker in (True, False):
        image = _pulled(store, docker=docker)
        other = _manifest(store, image, Form(oci=docker))
        if docker:
            kinds = media.MANIFEST, media.CONFIG, media.LAYER_GZIP
        else:
            kinds = media.DOCKER_MANIFEST, media.DOCKER_CONFIG, media.DOCKER_LAYER_GZIP
        assert (other.media_type, other.config.media_type, other.layers[0].media_type) == kinds
        assert json.loads(other.raw)["mediaType"] == kinds[0]
        assert store.layers.makers(image.config.diff_ids[0]).keys() == {other.layers[0].digest}


def test_annotations_make_an_oci_manifest(store: Store) -> None:
    image = _pulled(store, docker=True)
    manifest = _manifest(store, image, annotations=(("a", "b"),))
    assert manifest.media_type == media.MANIFEST
    assert json.loads(manifest.raw)["annotations"] == {"a": "b"}


def test_docker_has_no_zstd(store: Store) -> None:
    foreign, _ = _foreign(store, media.LAYER_GZIP)
    image = _image(store, [foreign])
    _manifest(store, image, Form("zstd", force=True))
    zstd = store.layers.blobs_of(foreign)[1]
    raw = encode(
        {
            "schemaVersion": 2,
            "mediaType": media.MANIFEST,
            "config": Descriptor(media.CONFIG, image.id, 1).to_json(),
            "layers": [zstd.to_json()],
        }
    )
    image = _image(store, [foreign], raw)
    with pytest.raises(Unsupported, match="zstd"):
        _manifest(store, image, Form(oci=False))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form("lz4"), "lz4"),
        (Form(level=3), "needs a compression"),
        (Form(force=True), "which compression to force"),
        (Form("gzip", 10), "level 10 of gzip"),
        (Form("zstd", 23), "level 23 of zstd"),
        (Form("gzip", -1), "level -1"),
        (Form("uncompressed", 1), "level 1 of uncompressed"),
        (Form("zstd", oci=False), "contradict"),
    ],
)
def test_wishes_that_cannot_be(form: Form, message: str) -> None:
    with pytest.raises((UsageError, Unsupported), match=message):
        checked(form)


@pytest.mark.parametrize("form", [Form(), Form("gzip", 0), Form("zstd", 22, True), Form("uncompressed")])
def test_wishes_that_can_be(form: Form) -> None:
    assert checked(form) == form
