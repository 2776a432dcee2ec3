"""A root filesystem to write to: layers' trees stacked by overlay, with a folder that takes the changes.

The trees are given to mount(2) by descriptors (`/proc/self/fd/N`): 127 of them fit into its one page of
options wherever the store lies, no name needs escaping, and no working directory is involved, so that
threads can mount at once. The new mount calls (fsopen, fsconfig "lowerdir+") would need Linux 6.8 and a
second way for older kernels, and give nothing more.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from wherry.base.errors import Denied, WherryError
from wherry.base.tuples import NamedTuple
from wherry.layer.forms import TRUSTED, current_form
from wherry.layer.layers import Layers
from wherry.layer.near import held
from wherry.oci.digest import Digest
from wherry.snapshot.stub import make_like, make_stub, stub_of
from wherry.snapshot.told import Told
from wherry.snapshot.view import View
from wherry.store.store import Store, remove_tree

_OPTIONS = "metacopy=off,redirect_dir=nofollow,index=off,xino=off"
"""The upper folder becomes a layer: no file in it may be a pointer to one below, as some kernels' defaults
have it. Of the words for redirect_dir, only this one goes with userxattr too."""

_MNT_DETACH = 2


class Mounted(NamedTuple):
    path: str
    """The root filesystem."""
    upper: str
    """What was changed in it, in overlay's form; complete once the mount is gone."""
    work: str
    told: Told | None = None
    """What was removed, where `upper` is no overlay's and cannot say it; complete when `upper` is."""


@contextmanager
def overlay(
    store: Store,
    layers: Layers,
    diff_ids: Sequence[Digest],
    scratch: str,
    *,
    view: View | None = None,
    mountpoints: Sequence[str] = (),
    bare: bool = False,
    durable: bool = False,
    top: str = "",
) -> Iterator[Mounted]:
    """The tree of `diff_ids` (lowest first) mounted in `scratch`, a folder of the store's file system.

    The process must be in a mount namespace of its own (`runtime.modes.enter`); any number of threads may
    call at once. An `upper` that an earlier mount left in `scratch` is used again. `view` saves reading the
    layers' indexes where the caller has it. `mountpoints` are absolute names, in the image, of further
    mounts; folders end with a slash. `bare` leaves out those that every container has: nothing is to be run
    in this one. `top` is what an earlier mount of the same layers left as its `upper`: it lies on them, and
    stays as it is.

    Without `durable` the kernel writes nothing back for fsync and at the end: what a power failure can spoil
    is a folder below the store's `tmp/`, which is thrown away then, and a layer made of it is written anew
    from what the kernel has in memory. With `durable`, for what outlives the command, it does.
    """
    view = view or View(layers, diff_ids)
    mounted = Mounted(f"{scratch}/root", f"{scratch}/upper", f"{scratch}/work")
    stub = f"{scratch}/stub"
    _make_upper(mounted.upper, view, top)
    remove_tree(stub)
    make_stub(stub_of(view, mountpoints, bare=bare), stub)
    trees = [layers.tree(diff_id) for diff_id in _highest_of_each(diff_ids)]
    lowers = [*([top] if top else []), stub, *trees]
    # A work folder from before is marked by `volatile`, and would be refused.
    remove_tree(mounted.work)
    os.mkdir(mounted.work, 0o700)
    os.makedirs(mounted.path, 0o700, exist_ok=True)
    try:
        with ExitStack() as holding:
            for tree in trees:
                holding.enter_context(held(tree))
            _mount(store, mounted, lowers, durable)
            try:
                yield mounted
            finally:
                _unmount(mounted.path)
    finally:
        remove_tree(mounted.work)
        remove_tree(stub)


def _highest_of_each(diff_ids: Sequence[Digest]) -> list[Digest]:
    """Without repetitions, the highest first: the order of lowerdir.

    Overlay refuses the same folder twice. The lower of two equal layers can be left out: whatever it has or
    removes, the higher one has or removes again.
    """
    return list(dict.fromkeys(reversed(diff_ids)))


def _make_upper(path: str, view: View, top: str) -> None:
    """The upper folder is the root's own face: its mode and owner are what `/` shows."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    root = view.lookup("")
    assert root is not None
    make_like(path, root.entry)
    if top:
        status = os.stat(top)
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, stat.S_IMODE(status.st_mode))


def _mount(store: Store, mounted: Mounted, lowers: Sequence[str], durable: bool) -> None:
    with ExitStack() as stack:

        def name(path: str) -> str:
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            return f"/proc/self/fd/{descriptor}"

        options = f"lowerdir={':'.join(map(name, lowers))}"
        options += f",upperdir={name(mounted.upper)},workdir={name(mounted.work)},{_OPTIONS}"
        options += "" if durable else ",volatile"
        options += "" if current_form() is TRUSTED else ",userxattr"
        if len(options) >= os.sysconf("SC_PAGE_SIZE"):
            raise WherryError(f"cannot mount an image of {len(lowers) - 1} layers: about 200 is the most")
        try:
            _call("mount", b"overlay", os.fsencode(mounted.path), b"overlay", 0, options.encode())
        except OSError as error:
            raise _refused(error, store) from None


def _unmount(path: str) -> None:
    """Detached at once, whoever still has a file open in it: the mount goes with its last user."""
    try:
        _call("umount2", os.fsencode(path), _MNT_DETACH)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not mounted any more
            raise WherryError(f"cannot unmount {path}: {error.strerror}") from None


def _call(function: str, *arguments: bytes | int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _refused(error: OSError, store: Store) -> WherryError:
    message = f"cannot mount a root filesystem below {store.root}: {error.strerror}"
    if error.errno == errno.EPERM:
        return Denied(message, hint="mounts need root, or a kernel that lets users make user namespaces")
    if error.errno == errno.ENODEV:
        return WherryError(message, hint="this kernel has no overlay file system: try `modprobe overlay`")
    if error.errno == errno.EINVAL:
        return WherryError(
            message,
            hint="overlay needs Linux 5.11, and a store that is not on overlay or on a network file system: "
            "set WHERRY_ROOT to a folder on ext4, xfs, btrfs or tmpfs",
        )
    return WherryError(message)
