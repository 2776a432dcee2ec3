"""`build -o`: the result of a build goes where its user wants it, to several places at once.

Each output is first written aside, and what is pushed comes last of that. When all is well they come to their
places, and the store's names move last: where one fails, the others leave what was there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.base.events import Emit, Output, ignore
from wherry.base.tuples import NamedTuple
from wherry.layer.packing import AS_IT_IS, Form, Packing, Pairs, index_over
from wherry.oci.descriptor import Descriptor, Manifest, describe
from wherry.oci.digest import Digest
from wherry.output import annotations as annotating
from wherry.output import spec as specs
from wherry.output.result import Result, built
from wherry.output.spec import Spec
from wherry.store.images import Image
from wherry.store.indexes import Member
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.output.target import Sink
    from wherry.registry.access import Access


class Exported(NamedTuple):
    """`result`: as the last output has it; with `rewrite-timestamp` its images are other ones.

    `top`: the manifest or the index that was written or pushed; None where only files or names were.
    `stored`: the images that the store was asked to have.
    """

    result: Result
    top: Descriptor | None = None
    stored: frozenset[Digest] = frozenset()

    def stores(self, image: Digest) -> bool:
        return image in self.stored


class _Ready(NamedTuple):
    """An output that is written aside; `finish` brings it to its place."""

    finish: Callable[[], object]
    top: Descriptor | None = None


class _Pushing(NamedTuple):
    """What a push is told: by whom, as what, and whether registries must prove who they are."""

    emit: Emit
    vertex: int
    tls_verify: bool | None

    def access(self, spec: Spec) -> Access:
        from wherry.registry import access

        return access.load(False if spec.insecure else self.tls_verify)


def export(
    store: Store,
    result: Result,
    outputs: Sequence[Spec],
    emit: Emit = ignore,
    vertex: int = 0,
    *,
    tls_verify: bool | None = None,
) -> Exported:
    """Write the result to all `outputs`. WherryError where one cannot be; then all files are as they were.

    What is pushed is told as `Transfer`s of `vertex`, and each output that is done as its `Output`.
    """
    check(result, outputs)
    exported = Exported(result)
    pushing = _Pushing(emit, vertex, tls_verify)
    with store.lease(), ExitStack() as stack:
        ready = []
        for spec in sorted(outputs, key=_turn):
            own = stack.enter_context(_as_wished(store, result, spec))
            written = stack.enter_context(_written(store, own, spec, pushing))
            ready.append((spec, own, written))
        for spec, own, written in ready:
            written.finish()
            for line in _told(spec, own, written.top):
                emit(Output(vertex, 1, f"{line}\n".encode(), time.monotonic()))
            stored = {part.image for part in own.parts} if spec.names_in_store else set()
            exported = Exported(own, written.top or exported.top, exported.stored | stored)
    return exported


def check(result: Result, outputs: Sequence[Spec]) -> None:
    """What can be told before anything is made; the parts need no images yet."""
    destinations = [spec.dest for spec in outputs if spec.dest]
    for dest in destinations:
        if destinations.count(dest) > 1:
            shown = "standard output" if dest == "-" else dest
            raise UsageError(f"two outputs are to be written to {shown}", hint="give each its own dest=")
    for spec in outputs:
        _check_place(spec)
        _check_wishes(result, spec)
        _check_annotations(result, spec)


def _check_place(spec: Spec) -> None:
    if spec.kind == specs.LOCAL or not spec.tar:
        if os.path.exists(spec.dest) and not os.path.isdir(spec.dest):
            raise WherryError(f"cannot write {spec.dest}: it is not a folder")
    elif spec.dest:
        from wherry.output import target

        target.check(spec.dest)


def _check_wishes(result: Result, spec: Spec) -> None:
    if spec.kind == specs.DOCKER and result.is_index and spec.dest:
        raise Unsupported(
            "a docker archive has one platform, and this image has several",
            hint="-o type=oci has room for all of them",
        )
    if spec.push and not (result.names or spec.names):
        raise UsageError("a push needs a name", hint="give it one: -t HOST/NAME:TAG, or name=HOST/NAME:TAG")
    if spec.rewrites and result.epoch is None:
        raise UsageError(
            "rewrite-timestamp=true: there is no time to limit others to", hint="set SOURCE_DATE_EPOCH"
        )


def _check_annotations(result: Result, spec: Spec) -> None:
    annotated = annotating.applied(result, spec.annotations)
    has_described = annotated.described or (
        not result.is_index and any(part.described for part in annotated.parts)
    )
    if spec.kind == specs.IMAGE and has_described:
        raise Unsupported(
            "a descriptor's annotations have a place in a layout, and in an index for its manifests",
            hint="-o type=oci takes them",
        )


def _turn(spec: Spec) -> int:
    """Files that can be taken back come first, then what cannot; names in the store last."""
    if not spec.dest:
        return 2
    return 1 if spec.dest == "-" else 0


@contextmanager
def _as_wished(store: Store, result: Result, spec: Spec) -> Iterator[Result]:
    """The result with the names, annotations and times that an output has of its own."""
    names = (*(name.with_default_tag() for name in result.names), *spec.names)
    result = annotating.applied(result._replace(names=tuple(dict.fromkeys(names))), spec.annotations)
    if not spec.rewrites:
        yield result
        return
    from wherry.output.retimed import retimed

    known = {image.id for image in store.images.all()}
    changed = retimed(store, result)
    try:
        yield changed
    finally:
        for part in changed.parts:
            if part.image not in known and not store.images.names(part.image) and not spec.names_in_store:
                store.images.delete(part.image)


@contextmanager
def _written(store: Store, result: Result, spec: Spec, pushing: _Pushing) -> Iterator[_Ready]:
    if spec.kind == specs.LOCAL:
        from wherry.output import folder, rootfs

        with folder.folder(rootfs.placed(store, result, spec.split), spec.dest, pushing.emit) as files:
            yield _Ready(files.finish)
    elif not spec.tar:
        from wherry.output import layout

        with layout.folder(store, result, spec.dest, spec.form) as layout_files:
            yield _Ready(layout_files.finish, layout_files.top)
    elif spec.dest:
        from wherry.output.target import target

        with target(spec.dest) as sink:
            top = _write_tar(store, result, spec, sink)
            sink.flush()
            yield _Ready(sink.finish, top)
    else:
        yield _stored(store, result, spec, pushing)


def _write_tar(store: Store, result: Result, spec: Spec, sink: Sink) -> Descriptor | None:
    from wherry.output import archive, layout, rootfs

    if spec.kind == specs.OCI:
        return layout.write_tar(store, result, sink, spec.form)
    if spec.kind == specs.DOCKER:
        image = store.images.get(result.parts[0].image)
        archive.save(store, [archive.Chosen(image, result.names)], sink, spec.form)
    else:
        rootfs.write_tar(rootfs.placed(store, result, spec.split), sink)
    return None


def _stored(store: Store, result: Result, spec: Spec, pushing: _Pushing) -> _Ready:
    """Push the image; what is left to do is to name it."""
    if spec.kind == specs.CACHE_ONLY:
        return _Ready(lambda: None)
    top = None
    if spec.form != AS_IT_IS and spec.store:
        for part in result.parts:
            # What a push sends from now on; its annotations belong to the name.
            image = built(store, part)
            store.images.put(store.blobs.read(image.id), _manifest(store, image, spec.form).raw)
    if result.is_index:
        return _stored_index(store, result, spec, pushing)
    (part,) = result.parts
    image = built(store, part)
    if spec.push:
        from wherry.registry.push import push

        for name in result.names:
            push(
                store,
                image,
                name,
                pushing.emit,
                pushing.vertex,
                form=spec.form,
                annotations=part.annotations,
                by_digest=spec.by_digest,
                access=pushing.access(spec),
            )
    if spec.push or spec.form != AS_IT_IS:
        manifest = _manifest(store, image, spec.form, part.annotations)
        top = describe(manifest)
    return _Ready(lambda: _name(store, result, spec, None, part.annotations), top)


def _stored_index(store: Store, result: Result, spec: Spec, pushing: _Pushing) -> _Ready:
    """As `_stored`. Manifests are made where a push or a form needs them, and belong to the index."""
    members, entries = [], []
    for part in result.parts:
        made = None
        if spec.push or spec.form != AS_IT_IS:
            manifest = _manifest(store, built(store, part), spec.form, part.annotations)
            made = store.blobs.put(manifest.raw)
            entries.append(describe(manifest, part.described, part.platform))
        members.append(Member(part.platform, part.image, made, part.annotations, part.described))
    index_id = store.indexes.put(members, result.annotations)
    top = None
    if entries:
        index = index_over(entries, result.annotations)
        top = describe(index)
    if spec.push:
        _push_index(store, index_id, result, spec, pushing)
    return _Ready(lambda: _name(store, result, spec, index_id), top)


def _push_index(store: Store, index_id: Digest, result: Result, spec: Spec, pushing: _Pushing) -> None:
    from wherry.registry.pushall import push_all

    index = store.indexes.get(index_id)
    assert index is not None
    for name in result.names:
        push_all(
            store,
            index,
            name,
            pushing.emit,
            pushing.vertex,
            by_digest=spec.by_digest,
            access=pushing.access(spec),
        )


def _name(store: Store, result: Result, spec: Spec, index_id: Digest | None, annotations: Pairs = ()) -> None:
    """Point the names at the image, or at the index and its image for this machine."""
    for name in result.names if spec.names_in_store else ():
        if not store.images.means(name, result.primary, index_id, annotations):
            store.images.tag(name, result.primary, index_id, annotations)


def _manifest(store: Store, image: Image, form: Form, annotations: Pairs = ()) -> Manifest:
    """The manifest in this form, its blobs made."""
    from wherry.layer.layers import Layers

    return Packing(store, Layers(store), image, form, annotations).whole()


def _told(spec: Spec, result: Result, top: Descriptor | None) -> Iterator[str]:
    if spec.dest:
        what = {specs.OCI: "OCI layout", specs.DOCKER: "docker archive"}.get(spec.kind, "files")
        yield f"writing {what} to {'standard output' if spec.dest == '-' else spec.dest}"
    for name in result.names:
        if spec.push and top:
            yield f"pushed {name.name if spec.by_digest else name}@{top.digest}"
        if spec.names_in_store:
            yield f"naming to {name}"
