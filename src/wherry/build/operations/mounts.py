"""The mounts of a RUN, made: folders, sockets and secrets for the time of its process.

All of it is wherry's own mounts, which nobody else sees and which are gone with it, whatever ended it: a
secret lies in memory only, never in the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from wherry.base.errors import NotFound, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import files as trees
from wherry.build.contenthash import TreeHash
from wherry.build.lending import Agent, Secret
from wherry.build.mounts import CONTENT
from wherry.build.operations.agent import relay
from wherry.build.solve import Chain
from wherry.build.step import Mount, Run
from wherry.build.viewfiles import ViewFiles
from wherry.layer.apply import extract
from wherry.layer.entry import DIRECTORY, FILE, Entry
from wherry.layer.forms import current_form
from wherry.layer.layers import Layers
from wherry.oci import digest as digests
from wherry.runtime import spec
from wherry.runtime.init import linux
from wherry.snapshot.snapshotter import Snapshotter
from wherry.snapshot.view import View
from wherry.store.cachefolders import CacheFolders
from wherry.store.store import Store

_VAULT_SIZE = "64m"


class Lent(NamedTuple):
    """What a step's process gets. `places` are the mount points, folders with a slash at their end.

    `secrets` are values that its output must not show.
    """

    mounts: tuple[spec.Mount, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    sockets: tuple[tuple[str, str], ...] = ()
    """Variables that name sockets of agents: those that the image has go before."""
    places: tuple[str, ...] = ()
    secrets: tuple[bytes, ...] = ()


class Input(NamedTuple):
    """A root filesystem that mounts show something of."""

    chain: Chain
    view: View


class Lender:
    """Makes the mounts of all steps of a build; for several threads.

    `check` raises where the build is being ended; it is called now and then while a step waits.
    """

    def __init__(
        self,
        store: Store,
        layers: Layers,
        secrets: Sequence[Secret],
        agents: Sequence[Agent],
        check: Callable[[], None],
        may_mount: bool = True,
    ) -> None:
        self.store = store
        self.layers = layers
        self.caches = CacheFolders(store)
        self.may_mount = may_mount
        self._secrets = {item.id: item for item in secrets}
        self._agents = {item.id: item.path for item in agents}
        self._values: dict[str, bytes | None] = {}
        self._lock = threading.Lock()
        self._check = check

    @contextmanager
    def lend(
        self, operation: Run, inputs: Sequence[Input], scratch: str, snapshots: Snapshotter
    ) -> Iterator[Lent]:
        """The mounts of one step; `scratch` is a folder of its own on the store's file system."""
        if not operation.mounts:
            yield Lent()
            return
        with ExitStack() as stack:
            yield _Loan(self, inputs, scratch, snapshots, stack).of(operation.mounts)

    def wait(self, seconds: float) -> None:
        self._check()
        time.sleep(seconds)

    def secret(self, mount: Mount) -> bytes | None:
        """The value, read once: a pipe gives it only once. None where there is none and none is needed."""
        with self._lock:
            if mount.id not in self._values:
                source = self._secrets.get(mount.id)
                self._values[mount.id] = source.read() if source else None
            value = self._values[mount.id]
        if value is None and mount.required:
            source = self._secrets.get(mount.id)
            why = f"the variable {source.variable} is not set" if source else "no --secret gives it"
            raise NotFound(
                f"the secret {mount.id!r} is required and missing: {why}",
                hint=f"build with --secret id={mount.id},src=FILE or --secret id={mount.id},env=VARIABLE",
            )
        return value

    def values(self) -> tuple[bytes, ...]:
        """All secrets that were read so far."""
        with self._lock:
            return tuple(value for value in self._values.values() if value)

    def agent(self, mount: Mount) -> str:
        """The socket; empty where there is none and none is needed."""
        path = self._agents.get(mount.id, "")
        if not path and mount.required:
            raise NotFound(
                f"the ssh agent {mount.id!r} is required, and no --ssh gives it",
                hint=f"build with --ssh {mount.id}" + ("" if mount.id == "default" else "=SOCKET"),
            )
        return path


def content(operation: Run, inputs: Sequence[Input]) -> str:
    """The digest of all files that the mounts show of other steps: what a record's key holds of them.

    As for COPY, times of files are no part of it.
    """
    digest = hashlib.sha256()
    for mount in operation.mounts:
        if mount.input is not None:
            digest.update(_tree_hash(mount, inputs[mount.input]).encode())
    return f"mounts {digest.hexdigest()}"


def _tree_hash(mount: Mount, source: Input) -> str:
    files = ViewFiles(source.view, mount.label)
    top = _shown(mount, files)
    digest = TreeHash()
    digest.add("", top, top.link)
    if top.kind == DIRECTORY:
        prefix = len(top.path) + 1 if top.path else 0
        for entry in files.walk(top.path):
            digest.add(entry.path[prefix:], entry, entry.link)
    return digest.hexdigest()


def _shown(mount: Mount, files: ViewFiles) -> Entry:
    """The file or folder that a mount shows, links followed inside its root filesystem."""
    found = trees.follow(files, mount.source)
    if found is None:
        if mount.source == CONTENT:
            raise NotFound(f"what is to be mounted on {mount.target} is not in {mount.label}")
        raise files.missing(mount.source)
    if found.kind not in (DIRECTORY, FILE):
        raise WherryError(
            f"{mount.source!r} of {mount.label} is neither a file nor a folder: it cannot be mounted"
        )
    return found


class _Loan:
    """The mounts of one step, undone by `stack`."""

    def __init__(
        self,
        lender: Lender,
        inputs: Sequence[Input],
        scratch: str,
        snapshots: Snapshotter,
        stack: ExitStack,
    ) -> None:
        self._lender = lender
        self._snapshots = snapshots
        self._inputs = inputs
        self._scratch = scratch
        self._stack = stack
        self._vault = ""
        self._caches: Mapping[int, str] = {}
        self._count = 0
        self._environment: list[tuple[str, str]] = []
        self._sockets: list[tuple[str, str]] = []
        self._places: list[str] = []
        self._secrets: list[bytes] = []

    def of(self, mounts: Sequence[Mount]) -> Lent:
        self._caches = self._locked_caches(mounts)
        made = []
        for number, mount in enumerate(mounts):
            self._count = number
            handler: Callable[[Mount], spec.Mount | None] = getattr(self, f"_{mount.kind}")
            if one := handler(mount):
                made.append(one)
        return Lent(
            tuple(made),
            tuple(self._environment),
            tuple(self._sockets),
            tuple(self._places),
            tuple(self._secrets),
        )

    def _bind(self, mount: Mount) -> spec.Mount:
        assert mount.input is not None
        source = self._inputs[mount.input]
        entry = _shown(mount, ViewFiles(source.view, mount.label))
        folder = f"{self._scratch}/bind-{self._count}"
        os.mkdir(folder, 0o700)
        # Also where it is read-only: one layer's tree is not what the image shows.
        root = self._stack.enter_context(self._snapshots.shown(source.view, folder, entry.path))
        self._place(mount, entry.kind == DIRECTORY)
        return spec.Mount("bind", f"/{entry.path}", mount.target, _read_only(mount), root, movable=True)

    def _cache(self, mount: Mount) -> spec.Mount:
        if mount.read_only and not self._lender.may_mount:
            raise Unsupported(f"the cache on {mount.target} cannot be read-only in the mode chroot")
        self._place(mount, True)
        return spec.Mount("bind", self._caches[self._count], mount.target, _read_only(mount), movable=True)

    def _tmpfs(self, mount: Mount) -> spec.Mount:
        self._place(mount, True)
        size = (f"size={mount.size}",) if mount.size else ()
        return spec.Mount("tmpfs", "tmpfs", mount.target, (*_read_only(mount), *size))

    def _secret(self, mount: Mount) -> spec.Mount | None:
        value = self._lender.secret(mount)
        if value is None:
            return None
        self._secrets.append(value)
        if mount.env:
            if b"\0" in value:
                raise WherryError(f"the secret {mount.id!r} has a zero byte, so it cannot be a variable")
            self._environment.append((mount.env, os.fsdecode(value)))
        if not mount.target:
            return None
        path = self._in_vault()
        with open(path, "xb") as file:
            file.write(value)
        _give(path, mount)
        self._place(mount, False)
        return spec.Mount("bind", path, mount.target, ("ro", "nosuid", "noexec"), movable=True)

    def _ssh(self, mount: Mount) -> spec.Mount | None:
        agent = self._lender.agent(mount)
        if not agent:
            return None
        path = self._in_vault()
        self._stack.enter_context(relay(agent, path))
        _give(path, mount)
        if mount.env:
            self._sockets.append((mount.env, mount.target))
        self._place(mount, False)
        return spec.Mount("bind", path, mount.target, ("nosuid", "noexec"), movable=True)

    def _place(self, mount: Mount, folder: bool) -> None:
        self._places.append(f"{mount.target}/" if folder else mount.target)

    def _in_vault(self) -> str:
        """A path for what must not reach a disk, in a file system in memory.

        Where nothing can be mounted it does, for the time of the step: `runtime/placing.py`.
        """
        vault = f"{self._scratch}/vault"
        if not self._vault:
            os.mkdir(vault, 0o700)
            self._vault = vault
            if self._lender.may_mount:
                self._mount_vault(vault)
        return f"{self._vault}/{self._count}"

    def _mount_vault(self, vault: str) -> None:
        options = [("mode", "0700"), ("size", _VAULT_SIZE)]
        tree = linux.new_mount("tmpfs", list(options), linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV)
        place = os.open(vault, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            linux.attach(tree, place)
        finally:
            os.close(place)
            os.close(tree)
        self._stack.callback(linux.detach, vault)

    def _locked_caches(self, mounts: Sequence[Mount]) -> dict[int, str]:
        """The folders of cache mounts, by the mounts' numbers.

        They are taken in the order of their names by all steps, so that no two wait for each other; and once,
        where a step has several mounts of one.
        """
        wanted: dict[str, list[int]] = {}
        for number, mount in enumerate(mounts):
            if mount.kind == "cache":
                wanted.setdefault(self._cache_name(mount), []).append(number)
        paths: dict[int, str] = {}
        for name in sorted(wanted):
            users = [mounts[number] for number in wanted[name]]
            sharing = self._sharing(users)
            make = partial(self._make_cache, users[0])
            use = self._lender.caches.use(name, sharing, make, self._lender.wait)
            path = self._stack.enter_context(use)
            paths |= dict.fromkeys(wanted[name], path)
        return paths

    def _sharing(self, users: Sequence[Mount]) -> str:
        if not self._lender.may_mount:
            # A folder that is moved into one step's root filesystem is in no other's.
            if len(users) > 1:
                places = " and ".join(user.target for user in users)
                raise Unsupported(f"one cache cannot be in two places, {places}, in the mode chroot")
            if users[0].sharing == "shared":
                return "locked"
        return max((user.sharing for user in users), key=("shared", "private", "locked").index)

    def _cache_name(self, mount: Mount) -> str:
        """Another content to begin with, another owner or mode: another cache (as BuildKit has it)."""
        base = "" if mount.input is None else str(digests.chain_id(self._inputs[mount.input].chain))
        identity = json.dumps([mount.id, base, mount.mode, mount.uid, mount.gid])
        digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", mount.id).strip("-.")[:40]
        return f"{readable}-{digest}" if readable else digest

    def _make_cache(self, mount: Mount, path: str) -> None:
        if mount.input is None:
            os.mkdir(path)
        else:
            self._fill_cache(path, mount, self._inputs[mount.input])
        if current_form().has_owners:  # else it is whoever's the step's process is
            os.chown(path, -1 if mount.uid is None else mount.uid, -1 if mount.gid is None else mount.gid)
        if mount.mode is not None:
            os.chmod(path, mount.mode)

    def _fill_cache(self, path: str, mount: Mount, source: Input) -> None:
        entry = _shown(mount, ViewFiles(source.view, mount.label))
        if entry.kind != DIRECTORY:
            raise WherryError(f"a cache is a folder, and its source in {mount.label} is a file")
        # The step copied onto nothing, so all there is is one layer.
        with self._lender.layers.open_tar(source.chain[0]) as stream:
            extract(stream, f"{path}.layer", current_form())
        os.rename(f"{path}.layer{CONTENT}", path)


def _read_only(mount: Mount) -> tuple[str, ...]:
    return ("ro",) if mount.read_only else ()


def _give(path: str, mount: Mount) -> None:
    """Make a file or socket the step's user's. Nobody else could reach it: its folder is closed."""
    assert mount.uid is not None and mount.gid is not None and mount.mode is not None
    try:
        if current_form().has_owners:
            os.chown(path, mount.uid, mount.gid)
    except OSError:
        raise WherryError(
            f"the {mount.kind} mount on {mount.target} cannot belong to {mount.uid}:{mount.gid}: "
            "this user has no such ids"
        ) from None
    os.chmod(path, mount.mode)
