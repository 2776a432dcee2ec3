"""`build -o`: the result of a build goes where its user wants it."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.events import Emit, ignore
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.output import spec as specs
from wherry.output.spec import Spec
from wherry.store.store import Store


def export(
    store: Store, image_id: Digest, names: Sequence[Reference], spec: Spec | str, emit: Emit = ignore
) -> None:
    """Write the image where `spec` says (a text is parsed: see spec.py); `names` are those that `-t` gave.

    `type=image`, and `type=docker` without a destination, are the store: the names of the spec are set.
    """
    if isinstance(spec, str):
        spec = specs.parse(spec)
    names = tuple(dict.fromkeys([*(name.with_default_tag() for name in names), *spec.names]))
    with store.lease():
        if spec.kind == specs.LOCAL or not spec.tar:
            _to_folder(store, image_id, names, spec, emit)
        elif spec.dest:
            _to_tar(store, image_id, names, spec)
        else:
            for name in spec.names:
                store.images.tag(name, image_id)


def _to_folder(store: Store, image_id: Digest, names: Sequence[Reference], spec: Spec, emit: Emit) -> None:
    from wherry.output import layout, rootfs

    image = store.images.get(image_id)
    if spec.kind == specs.LOCAL:
        rootfs.write_folder(store, image, spec.dest, emit)
    else:
        layout.write_folder(store, image, names, spec.dest)


def _to_tar(store: Store, image_id: Digest, names: Sequence[Reference], spec: Spec) -> None:
    from wherry.output import archive, layout, rootfs
    from wherry.output.target import target

    image = store.images.get(image_id)
    with target(spec.dest) as sink:
        if spec.kind == specs.DOCKER:
            archive.save(store, [archive.Chosen(image, tuple(names))], sink)
        elif spec.kind == specs.OCI:
            layout.write_tar(store, image, names, sink)
        else:
            rootfs.write_tar(store, image, sink)
