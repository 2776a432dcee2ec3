"""The container's mounts and devices, and the change of root.

Targets are looked up inside the root by the kernel (RESOLVE_IN_ROOT) and mounted on by descriptor, so a
symbolic link in an image cannot send a mount elsewhere. All of it happens in the container's own mount
namespace; only folders and files made to mount on are seen outside, and those are reported.
"""

from __future__ import annotations

import errno
import os
import stat

from . import linux
from .process import Failed, use_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .channel import Created

_FLAGS = {
    "ro": linux.MOUNT_ATTR_RDONLY,
    "nosuid": linux.MOUNT_ATTR_NOSUID,
    "nodev": linux.MOUNT_ATTR_NODEV,
    "noexec": linux.MOUNT_ATTR_NOEXEC,
    "noatime": linux.MOUNT_ATTR_NOATIME,
    "strictatime": linux.MOUNT_ATTR_STRICTATIME,
}
_DEFAULTS = {"rw", "suid", "dev", "exec", "relatime", "bind", "rbind", "private", "rprivate", "newinstance"}

_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_MOST_LINKS = 40  # as the kernel has it
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
)


def build(document: dict[str, Any], registrations: int = -1) -> tuple[int, Created, int | None]:
    """Mount everything. The new root, the mount points made in it, and the terminal's master side.

    `registrations` is a mount that has to be there, and that nobody needs to find.
    """
    os.umask(0)
    linux.make_private()
    guard = 0 if document["linux"].get("wherry.devices") else linux.MOUNT_ATTR_NODEV
    root = _mount_root(document["root"]["path"], guard)
    created: Created = []
    if registrations >= 0:
        place = make_place(root, "/proc", True, created)  # /proc itself comes on top of it
        linux.attach(registrations, place)
    for entry in document["mounts"]:
        _mount(root, entry, created, guard)
    _make_devices(root)
    console = (
        _make_terminal(root, document["process"]["user"]["uid"]) if document["process"]["terminal"] else None
    )
    _write_sysctls(root, document["linux"].get("sysctl", {}))
    _begin_numbers(root, document["linux"].get("wherry.first_pid", 0))
    _make_read_only(root, document["linux"]["readonlyPaths"])
    _mask(root, document["linux"]["maskedPaths"])
    if document["root"]["readonly"]:
        linux.set_attributes(root, linux.MOUNT_ATTR_RDONLY, recursive=False)
    return root, created, console


def enter(root: int) -> None:
    try:
        linux.change_root(root)
    except OSError as error:
        raise Failed(f"cannot change the root: {error.strerror}") from None


def _mount_root(path: str, guard: int) -> int:
    """pivot_root(2) wants a mount of its own, so the root filesystem is bound onto itself."""
    try:
        tree = linux.open_tree(path, recursive=True)
        if guard:
            linux.set_attributes(tree, guard, recursive=True)
        place = os.open(path, os.O_PATH | os.O_DIRECTORY)
        linux.attach(tree, place)
    except OSError as error:
        raise Failed(f"cannot mount the root filesystem {path}: {error.strerror}") from None
    os.close(place)
    return tree


def _mount(root: int, entry: dict[str, Any], created: Created, guard: int) -> None:
    tree = detached(entry, guard)
    if tree is None:
        return
    try:
        place = make_place(root, entry["destination"], stat.S_ISDIR(os.fstat(tree).st_mode), created)
        linux.attach(tree, place)
    except OSError as error:
        raise refused(entry, error) from None
    os.close(place)
    os.close(tree)


def detached(entry: dict[str, Any], guard: int = 0) -> int | None:
    """The mount that `entry` describes, not attached anywhere yet; None for one to do without.

    `guard` are attributes of /dev: see `_make_devices`; other runtimes make the nodes in it.
    """
    target, kind = entry["destination"], entry["type"]
    attributes, options = _parse(entry["options"])
    if target == "/dev" and kind == "tmpfs":
        attributes |= guard
    try:
        return _bind(entry, attributes, options) if kind == "bind" else _filesystem(kind, attributes, options)
    except OSError as error:
        raise refused(entry, error) from None


def refused(entry: dict[str, Any], error: OSError) -> Failed:
    """Why a mount could not be made."""
    what = entry["source"] if entry["type"] == "bind" else entry["type"]
    owners = [option for option in entry["options"] if option.startswith(("uid=", "gid="))]
    why = error.strerror
    if owners and error.errno == errno.EINVAL and entry["type"] == "tmpfs":
        why = f"the container may have no such user or group ({', '.join(owners)}): {why}"
    return Failed(f"cannot mount {what} on {entry['destination']}: {why}")


def _parse(options: list[str]) -> tuple[int, list[tuple[str, str | None]]]:
    """Mount attributes, and the options that are left for the filesystem."""
    attributes = 0
    rest: list[tuple[str, str | None]] = []
    for option in options:
        name, equals, value = option.partition("=")
        if option in _FLAGS:
            attributes |= _FLAGS[option]
        elif option not in _DEFAULTS:
            rest.append((name, value if equals else None))
    return attributes, rest


def _bind(entry: dict[str, Any], attributes: int, options: list[tuple[str, str | None]]) -> int:
    if options:
        raise Failed(f"a bind mount has no option {options[0][0]!r} ({entry['destination']})")
    recursive = "bind" not in entry["options"]
    source, inside = entry["source"], entry.get("wherry.root")
    if not inside:
        tree = linux.open_tree(source, recursive=recursive)
    else:
        outer = os.open(inside, os.O_PATH | os.O_DIRECTORY)
        inner = linux.open_in_root(outer, source)
        tree = linux.open_tree("", recursive=recursive, directory=inner)
        os.close(outer)
        os.close(inner)
    if attributes:
        linux.set_attributes(tree, attributes, recursive=recursive)
    return tree


def _filesystem(kind: str, attributes: int, options: list[tuple[str, str | None]]) -> int | None:
    try:
        return linux.new_mount(kind, options, attributes)
    except OSError as error:
        if kind == "sysfs" and error.errno == errno.EPERM:
            # The network namespace belongs to another user namespace: show the host's /sys instead.
            tree = linux.open_tree("/sys", recursive=True)
            linux.set_attributes(tree, attributes, recursive=True)
            return tree
        if kind == "devpts" and error.errno == errno.EINVAL and any(name == "gid" for name, _ in options):
            # The group tty has no id in this user namespace.
            return _filesystem(kind, attributes, [item for item in options if item[0] != "gid"])
        if kind == "mqueue" and error.errno == errno.ENODEV:
            return None  # a kernel without message queues
        raise


def make_place(root: int, target: str, folder: bool, created: Created) -> int:
    """A descriptor of the place to mount on, made (and entered in `created`) if it does not exist."""
    try:
        place = linux.open_in_root(root, target)
    except FileNotFoundError:
        place = _dangling_link(root, target) if not folder else -1
        if place < 0:
            _make(root, target, folder, created)
            place = linux.open_in_root(root, target)
    if stat.S_ISDIR(os.fstat(place).st_mode) != folder:
        what = "a folder on a file" if folder else "a file on a folder"
        raise Failed(f"cannot mount {what}: {target}", 127)
    return place


def _dangling_link(root: int, target: str) -> int:
    """The symbolic link itself, where `target` is one that leads nowhere (resolv.conf often does).

    A file can be mounted over a link. Nothing then has to be made where the link points.
    """
    try:
        return linux.open_in_root(root, target, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return -1


def _make(root: int, target: str, folder: bool, created: Created, hops: int = 0) -> None:
    """Make `target` and the folders above it. A link that leads nowhere yet is followed by its text."""
    names = target.strip("/").split("/")
    for count in range(1, len(names) + 1):
        path = "/".join(names[:count])
        try:
            os.close(linux.open_in_root(root, path))
            continue
        except FileNotFoundError:
            pass
        parent = linux.open_in_root(root, "/".join(names[: count - 1]))
        try:
            link = os.readlink(names[count - 1], dir_fd=parent)
        except OSError:
            _make_in(root, parent, path, folder or count < len(names), created)
            continue
        finally:
            os.close(parent)
        if hops == _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        # join() drops what comes before an absolute link
        followed = os.path.normpath(os.path.join("/", *names[: count - 1], link, *names[count:]))
        _make(root, followed, folder, created, hops + 1)
        return


def _make_in(root: int, parent: int, path: str, folder: bool, created: Created) -> None:
    name = path.rpartition("/")[2]
    before = os.fstat(parent)
    if folder:
        os.mkdir(name, 0o755, dir_fd=parent)
    else:
        os.mknod(name, 0o644 | stat.S_IFREG, dir_fd=parent)
    if before.st_dev == os.fstat(root).st_dev:  # else it is in another mount
        created.append(("/" + path, folder, before.st_mtime_ns, os.fstat(parent).st_mtime_ns))


def _make_devices(root: int) -> None:
    """The standard nodes, mounted from the host's, and the standard links.

    A container's root may make device nodes. Docker's device cgroup keeps it from opening those; here it is
    `nodev`, which every mount of a container has (`_mount_root`, `_mount`, `bundle`) but these few files.
    """
    folder = linux.open_in_root(root, "dev", os.O_RDONLY | os.O_DIRECTORY)
    for name, numbers in _DEVICES.items():
        source = os.open(f"/dev/{name}", os.O_PATH | os.O_NOFOLLOW)
        state = os.fstat(source)
        if not stat.S_ISCHR(state.st_mode) or state.st_rdev != os.makedev(*numbers):
            raise Failed(f"/dev/{name} of this machine is not the device it should be")
        # Read-only is the file, not the device: the container's root may not chmod or chown the host's node.
        _cover_new_file(folder, name, source, linux.MOUNT_ATTR_RDONLY)
        os.close(source)
    for name, target in _LINKS:
        os.symlink(target, name, dir_fd=folder)
    os.close(folder)


def _cover_new_file(folder: int, name: str, source: int, attributes: int = 0) -> None:
    """Make the file `name` and mount on it what the descriptor `source` names."""
    os.mknod(name, 0o666 | stat.S_IFREG, dir_fd=folder)
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    tree = linux.open_tree("", recursive=False, directory=source)
    if attributes:
        linux.set_attributes(tree, attributes, recursive=False)
    linux.attach(tree, place)
    os.close(tree)
    os.close(place)


def _make_terminal(root: int, owner: int) -> int:
    """A terminal in the container's devpts: its far side becomes 0, 1, 2 and /dev/console."""
    master = linux.open_in_root(root, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    peer = use_terminal(master, owner)
    folder = linux.open_in_root(root, "dev", os.O_RDONLY | os.O_DIRECTORY)
    _cover_new_file(folder, "console", peer)
    return master


def _write_sysctls(root: int, sysctls: dict[str, str]) -> None:
    for name, value in sysctls.items():
        try:
            file = linux.open_in_root(root, "proc/sys/" + name.replace(".", "/"), os.O_WRONLY)
            os.write(file, value.encode())
        except OSError as error:
            raise Failed(f"cannot set {name}: {error.strerror}") from None
        os.close(file)


def _begin_numbers(root: int, first: int) -> None:
    """The numbers of further processes begin above `first`, where the kernel was built for that."""
    if first:
        try:
            file = linux.open_in_root(root, "proc/sys/kernel/ns_last_pid", os.O_WRONLY)
            os.write(file, b"%d" % first)
            os.close(file)
        except OSError:
            pass


def _make_read_only(root: int, paths: list[str]) -> None:
    for path in paths:
        place = _existing(root, path)
        if place >= 0:
            tree = linux.open_tree("", recursive=True, directory=place)
            linux.set_attributes(tree, linux.MOUNT_ATTR_RDONLY, recursive=True)
            linux.attach(tree, place)
            os.close(tree)
            os.close(place)


def _mask(root: int, paths: list[str]) -> None:
    """Cover files with /dev/null and folders with one empty read-only tmpfs."""
    empty = -1
    for path in paths:
        place = _existing(root, path)
        if place < 0:
            continue
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            cover = linux.open_tree("/dev/null", recursive=False)
            linux.set_attributes(cover, linux.MOUNT_ATTR_RDONLY, recursive=False)  # as in _make_devices
        elif empty < 0:
            cover = empty = linux.new_mount("tmpfs", [("nr_inodes", "1")], linux.MOUNT_ATTR_RDONLY)
        else:
            cover = linux.open_tree("", recursive=False, directory=empty)
        linux.attach(cover, place)
        if cover != empty:
            os.close(cover)
        os.close(place)


def _existing(root: int, path: str) -> int:
    try:
        return linux.open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return -1
