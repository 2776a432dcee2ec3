"""`build -o`: the result of a build goes where its user wants it, to several places at once.

Each output is first written aside. When all of them are whole they come to their places, and the store's
names move last: where one fails, the others leave what was there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from wherry.base.errors import Unsupported, UsageError
from wherry.base.events import Emit, ignore
from wherry.output import spec as specs
from wherry.output.result import Result
from wherry.output.spec import Spec
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.output.target import Sink

Finish = Callable[[], None]


def export(store: Store, result: Result, outputs: Sequence[Spec], emit: Emit = ignore) -> None:
    """Write the result to all `outputs`. WherryError where one cannot be; then all files are as they were."""
    check(result, outputs)
    with store.lease(), ExitStack() as stack:
        ready = [
            stack.enter_context(_written(store, _named(result, spec), spec, emit))
            for spec in sorted(outputs, key=_turn)
        ]
        for finish in ready:
            finish()


def check(result: Result, outputs: Sequence[Spec]) -> None:
    """What can be told before anything is written."""
    destinations = [spec.dest for spec in outputs if spec.dest]
    for dest in destinations:
        if destinations.count(dest) > 1:
            shown = "standard output" if dest == "-" else dest
            raise UsageError(f"two outputs are to be written to {shown}", hint="give each its own dest=")
    for spec in outputs:
        if spec.kind == specs.DOCKER and result.is_index:
            raise Unsupported(
                "a docker archive has one platform, and this image has several",
                hint="-o type=oci has room for all of them",
            )


def _turn(spec: Spec) -> int:
    """Files that can be taken back come first, and what cannot behind them; names in the store last."""
    if spec.kind == specs.IMAGE or not spec.dest:
        return 2
    return 1 if spec.dest == "-" else 0


def _named(result: Result, spec: Spec) -> Result:
    names = (*(name.with_default_tag() for name in result.names), *spec.names)
    return result._replace(names=tuple(dict.fromkeys(names)))


@contextmanager
def _written(store: Store, result: Result, spec: Spec, emit: Emit) -> Iterator[Finish]:
    """The output, written aside; what is yielded brings it to its place."""
    if spec.kind == specs.LOCAL:
        from wherry.output import folder, rootfs

        with folder.folder(rootfs.placed(store, result), spec.dest, emit) as files:
            yield files.finish
    elif not spec.tar:
        from wherry.output import layout

        with layout.folder(store, result, spec.dest) as layout_files:
            yield layout_files.finish
    elif spec.dest:
        from wherry.output.target import target

        with target(spec.dest) as sink:
            _write_tar(store, result, spec, sink)
            sink.flush()
            yield sink.finish
    else:
        yield lambda: _name(store, result, spec)


def _write_tar(store: Store, result: Result, spec: Spec, sink: Sink) -> None:
    from wherry.output import archive, layout, rootfs

    if spec.kind == specs.DOCKER:
        image = store.images.get(result.parts[0].image)
        archive.save(store, [archive.Chosen(image, result.names)], sink)
    elif spec.kind == specs.OCI:
        layout.write_tar(store, result, sink)
    else:
        rootfs.write_tar(rootfs.placed(store, result), sink)


def _name(store: Store, result: Result, spec: Spec) -> None:
    for name in spec.names:
        store.images.tag(name, result.parts[0].image)
