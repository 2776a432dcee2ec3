"""From a spec to a process that can be started: root filesystem, volumes, user, environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wherry.base.errors import WherryError
from wherry.container import volumes
from wherry.container.options import environment
from wherry.container.options.mounting import Volume
from wherry.container.state import Folder, Spec
from wherry.layer.entry import FILE
from wherry.layer.layers import Layers
from wherry.oci.digest import Digest
from wherry.runtime import etcfiles, reaper, users
from wherry.runtime import spec as runtime
from wherry.runtime.hostca import HostCA, host_ca
from wherry.snapshot.remembered import RememberedView
from wherry.snapshot.snapshotter import kept
from wherry.snapshot.view import View
from wherry.store.store import Store


@contextmanager
def prepared(
    store: Store, folder: Folder, spec: Spec, network: str = "none", etc: Folder | None = None
) -> Iterator[runtime.Container]:
    """What the runtime is to start, with everything mounted until the block ends.

    `network` is the runtime's word for it; `etc` has the files for /etc where these are another container's,
    as the network is. The process must be in a mount name space of its own (runtime/modes.py).
    """
    layers = Layers(store)
    diff_ids = store.images.get(Digest(spec.image)).config.diff_ids
    view = RememberedView(store, layers, diff_ids)
    mounts = [_mount(store.root, volume) for volume in spec.volumes]
    scratch = folder.file("root")
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    with kept(
        store,
        layers,
        spec.snapshotter,
        diff_ids,
        scratch,
        view=view,
        mountpoints=mountpoints(store.root, spec),
        durable=not spec.remove,
    ) as mounted:
        for volume in spec.volumes:
            _fill(store, volume, mounted.path, view)
        _make_working_dir(mounted.path, view, spec)
        if etc in (None, folder):
            _write_etc(folder, spec)
        ca = _host_ca(spec, view)
        process = _process(spec, view, ca.env)
        view.keep()
        yield runtime.Container(
            id=spec.id,
            rootfs=mounted.path,
            upper=mounted.upper,
            journal=folder.file("owners"),
            process=process,
            mounts=(*_init_mounts(spec), *_with_etc(_etc_mounts(etc or folder, spec), mounts), *ca.mounts),
            hostname="" if network == "host" else spec.hostname,
            network=network,
            read_only=spec.read_only,
            shm_size=spec.conditions.shm_size,
            masked_paths=spec.rights.masked_paths(),
            read_only_paths=spec.rights.read_only_paths(),
            seccomp=spec.rights.is_filtered(),
            profile=spec.rights.profile,
            devices=spec.rights.device_nodes(),
            sysctls=spec.rights.sysctls,
            privileged=spec.rights.privileged,
            annotations=spec.annotations,
        )


def _process(spec: Spec, view: View, extra: tuple[str, ...]) -> runtime.Process:
    passwd, group = view.read_if_there("etc/passwd"), view.read_if_there("etc/group")
    user = users.find(spec.user, passwd, group, spec.rights.groups)
    return runtime.Process(
        args=(*reaper.COMMAND, *spec.args) if spec.rights.init else spec.args,
        env=environment.complete(
            spec.env, hostname=spec.hostname, home=user.home, terminal=spec.terminal, extra=extra
        ),
        cwd=spec.working_dir,
        user=user,
        terminal=spec.terminal,
        no_new_privileges=spec.rights.no_new_privileges,
        capabilities=spec.rights.capabilities(),
        limits=spec.conditions.limits,
        oom_score_adj=spec.rights.oom_score_adj,
    )


def mountpoints(root: str, spec: Spec) -> list[str]:
    """Where the container's own mounts are: overlay's stub makes a folder for a name that ends with a slash,
    else a file."""
    return [
        f"{volume.target}/" if volumes.is_folder(root, volume) else volume.target for volume in spec.volumes
    ]


def _mount(root: str, volume: Volume) -> runtime.Mount:
    """What is behind a mount is made where it is missing, but for a path inside a volume."""
    access = "ro" if volume.read_only else "rw"
    if volume.kind == "tmpfs":
        return runtime.Mount("tmpfs", "", volume.target, (access, *volume.options))
    path = volumes.provide(root, volume)
    options = ("rbind" if volume.recursive else "bind", access)
    if not volume.subpath:
        return runtime.Mount("bind", path, volume.target, options)
    return runtime.Mount("bind", volume.subpath, volume.target, options, root=path)


def _init_mounts(spec: Spec) -> list[runtime.Mount]:
    """Before the user's own: one that covers it hides it, and nothing is made on the host for it."""
    return [reaper.mount()] if spec.rights.init else []


def _etc_mounts(folder: Folder, spec: Spec) -> list[runtime.Mount]:
    """Docker's three files, but not where the user mounts his own."""
    taken = {volume.target for volume in spec.volumes}
    names = [name for name in etcfiles.NAMES if f"/etc/{name}" not in taken]
    return [runtime.Mount("bind", folder.file(name), f"/etc/{name}", ("bind", "rw")) for name in names]


def _with_etc(own: list[runtime.Mount], users: list[runtime.Mount]) -> list[runtime.Mount]:
    """Docker's three files lie on what the user mounts at /etc, unless no files can be made there."""
    covers = any(mount.target == "/etc" and "ro" in mount.options for mount in users)
    return [*own, *users] if covers else sorted([*own, *users], key=lambda mount: mount.target.count("/"))


def _write_etc(folder: Folder, spec: Spec) -> None:
    """Whole for a container without a network of its own; for others the monitor writes them again."""
    write_etc(folder, spec, (), etcfiles.nameservers(etcfiles.read_own("resolv.conf")))


def write_etc(
    folder: Folder,
    spec: Spec,
    addresses: Sequence[str],
    nameservers: Sequence[str],
    *,
    is_asked_whole: bool = False,
) -> None:
    """The container's addresses and what it can ask for names, in the files that are mounted over its /etc.

    With `is_asked_whole` one of `nameservers` knows other containers, and asks those that the user wants. Its
    names have no dots: it is asked for a name as it stands before any domain is tried. Written in place: the
    container sees these very files.
    """
    hosts = etcfiles.hosts(spec.hostname, *addresses)
    if spec.network == "host":
        hosts = etcfiles.read_own("hosts") or hosts
    hosts += etcfiles.more_hosts(spec.conditions.hosts, spec.network)
    wanted = spec.networks
    servers, options = wanted.servers or nameservers, wanted.options
    if is_asked_whole:
        servers, options = nameservers, options or ("ndots:0",)
    contents = {
        "hostname": f"{spec.hostname}\n",
        "hosts": hosts,
        "resolv.conf": etcfiles.resolv_conf(
            etcfiles.read_own("resolv.conf"), servers, wanted.search, options
        ),
    }
    for name, text in contents.items():
        etcfiles.rewrite(folder.file(name), text)


def _host_ca(spec: Spec, view: View) -> HostCA:
    """The host's CA bundle, where it was asked for."""
    if not spec.host_ca:
        return HostCA((), ())

    def exists(path: str) -> bool:
        found = view.get(path)
        return found is not None and found.entry.kind == FILE

    return host_ca(exists)


def _fill(store: Store, volume: Volume, rootfs: str, view: View) -> None:
    if volume.kind != "volume" or not volume.copy:
        return
    try:
        folder = _open_folder(rootfs, view.resolve(volume.target))
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        volumes.fill(store.root, volume, folder)
    finally:
        os.close(folder)


def _make_working_dir(rootfs: str, view: View, spec: Spec) -> None:
    """Docker makes the working directory where the image has none. One in a mount is the mount's."""
    if any(f"{spec.working_dir}/".startswith(f"{volume.target}/") for volume in spec.volumes):
        return
    try:
        os.close(_open_folder(rootfs, view.resolve(spec.working_dir), create=True))
    except OSError as error:
        raise WherryError(
            f"cannot use {spec.working_dir} as the working directory: {error.strerror}"
        ) from None


def _open_folder(rootfs: str, path: str, create: bool = False) -> int:
    """A descriptor of the folder `path` below `rootfs`. Links are resolved already: none is followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    current = os.open(rootfs, flags)
    for part in path.split("/"):
        if not part:
            continue
        try:
            if create:
                _make_folder(current, part)
            inner = os.open(part, flags, dir_fd=current)
        finally:
            os.close(current)
        current = inner
    return current


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
        os.chown(name, os.geteuid(), os.getegid(), dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        pass
