"""RUN --mount, planned: what each mount is, and which steps give what it shows.

What a mount shows of a build context is a step of its own, a COPY onto nothing: so it is what COPY would see,
it is copied when it has changed and at no other time, and its layer is part of the key of the RUN. A cache
that begins with files is filled from such a step too. What a bind shows of a stage or an image is that
stage's own step, and nothing is copied.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence

from wherry.base.errors import Unsupported
from wherry.base.tuples import NamedTuple
from wherry.build.copying import Tree
from wherry.build.step import Copy, Mount
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.mounts import Mount as Written

CONTENT = "/content"
"""Where a step that copies for a mount puts what it copies: this file, or the files in this folder."""

_AGENT = "/run/buildkit/ssh_agent.{}"
"""Where BuildKit puts the sockets of agents, for those who do not look at SSH_AUTH_SOCK."""

_FOREIGN_OPTIONS = {
    "bind": ("id",),
    "cache": (),
    "tmpfs": ("id", "source", "origin"),
    "secret": (),
    "ssh": ("source", "origin"),
}
"""Options that the frontend's parser takes and that mean nothing for a kind of mount."""

_SHOWN = {"origin": "from"}


class Planned(NamedTuple):
    """`inputs` are numbers of steps; `Mount.input` is an index into them."""

    mounts: tuple[Mount, ...]
    inputs: tuple[int, ...]


def plan(
    written: Sequence[Written], folder: str, find: Callable[[str], Tree], copied: Callable[[Copy, str], int]
) -> Planned:
    """The mounts of one RUN whose working folder is `folder`.

    `find` says what a `from=` means; `copied` adds a step that copies onto nothing and gives its number; its
    second argument is what is copied, for people. Mounts come out sorted by target, as BuildKit has them,
    so that one may lie in another; of two for the same target the later one is seen.
    """
    planner = _Planner(folder, find, copied)
    mounts = [planner.one(mount) for mount in written]
    return Planned(tuple(sorted(mounts, key=_target)), tuple(planner.inputs))


def literal(path: str) -> str:
    """As a pattern of COPY: a mount's source is one name, whatever characters it has."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def _clean(path: str) -> str:
    """Absolute, without `..`; POSIX lets normpath keep two slashes at the beginning."""
    return re.sub("^/+", "/", posixpath.normpath(f"/{path}"))


def _target(mount: Mount) -> str:
    return mount.target


class _Planner:
    def __init__(self, folder: str, find: Callable[[str], Tree], copied: Callable[[Copy, str], int]) -> None:
        self.inputs: list[int] = []
        self._folder = folder
        self._find = find
        self._copied = copied
        self._agents = 0

    def one(self, written: Written) -> Mount:
        for option in _FOREIGN_OPTIONS[written.kind]:
            if getattr(written, option):
                name = _SHOWN.get(option, option)
                raise DockerfileError(f"a {written.kind} mount has no option {name!r}")
        handler: Callable[[Written], Mount] = getattr(self, f"_{written.kind}")
        return handler(written)

    def _bind(self, written: Written) -> Mount:
        mount = Mount("bind", self._place(written.target), read_only=written.read_only)
        tree = self._find(written.origin)
        source = _clean(written.source)
        if tree.step is not None:
            return mount._replace(input=self._input(tree.step), source=source, label=tree.label)
        return mount._replace(input=self._copy(tree, source), source=CONTENT, label=tree.label)

    def _cache(self, written: Written) -> Mount:
        if written.source and not written.origin:
            raise DockerfileError(
                "the source of a cache mount is a folder of its 'from', which is missing",
                hint="without 'from' a cache begins empty",
            )
        mount = Mount(
            "cache",
            self._place(written.target),
            read_only=written.read_only,
            id=written.id or posixpath.normpath(written.target),
            sharing=written.sharing or "shared",
            mode=written.mode,
            uid=written.uid,
            gid=written.gid,
        )
        if not written.origin:
            return mount._replace(
                mode=0o755 if written.mode is None else written.mode,
                uid=written.uid or 0,
                gid=written.gid or 0,
            )
        tree = self._find(written.origin)
        source = _clean(written.source)
        return mount._replace(input=self._copy(tree, source), source=CONTENT, label=tree.label)

    def _tmpfs(self, written: Written) -> Mount:
        return Mount("tmpfs", self._place(written.target), read_only=written.read_only, size=written.size)

    def _secret(self, written: Written) -> Mount:
        _refuse_writable(written)
        name = written.lent
        target = written.target
        if not target and not written.env:
            target = f"/run/secrets/{posixpath.basename(name)}"
        return Mount(
            "secret",
            self._place(target) if target else "",
            id=name,
            required=written.required,
            mode=0o400 if written.mode is None else written.mode,
            uid=written.uid or 0,
            gid=written.gid or 0,
            env=written.env,
        )

    def _ssh(self, written: Written) -> Mount:
        _refuse_writable(written)
        target = written.target or _AGENT.format(self._agents)
        self._agents += 1
        return Mount(
            "ssh",
            self._place(target),
            id=written.lent,
            required=written.required,
            mode=0o600 if written.mode is None else written.mode,
            uid=written.uid or 0,
            gid=written.gid or 0,
            # Programs are told of the first agent alone.
            env="SSH_AUTH_SOCK" if self._agents == 1 else "",
        )

    def _copy(self, tree: Tree, source: str) -> int:
        operation = Copy(
            (literal(source),), CONTENT, source=tree.step, source_label=tree.label, context=tree.context
        )
        return self._input(self._copied(operation, f"{source} of {tree.label}"))

    def _input(self, step: int) -> int:
        if step not in self.inputs:
            self.inputs.append(step)
        return self.inputs.index(step)

    def _place(self, target: str) -> str:
        place = _clean(posixpath.join(self._folder, target))
        if place == "/":
            raise DockerfileError(f"invalid mount target {target!r}: it would cover the whole file system")
        if place in ("/dev", "/sys", "/proc") or place.startswith("/proc/"):
            raise Unsupported(f"a mount on {place} would cover what every container has there")
        return place


def _refuse_writable(written: Written) -> None:
    if not written.read_only:
        raise DockerfileError(f"a {written.kind} mount cannot be written to: leave out 'rw'")
