"""Steps, and every input to a recipe digest: a result may be reused only if all that is here is the same.

A step is an operation on the root filesystem that its parent left. Its recipe digest covers the operation
and the platform, not the parent's content; `exact_key` adds that. Whoever adds a field to an operation
changes recipes on purpose: `RECIPE_VERSION` and the golden digests in the tests say so.
"""

from __future__ import annotations

import hashlib
import json

from wherry.base.errors import Location
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.digest import Digest

RECIPE_VERSION = 1


class Base(NamedTuple):
    """The layers of an image that is in the store, or nothing at all (`FROM scratch`)."""

    diff_ids: tuple[Digest, ...]


class Mount(NamedTuple):
    """One mount of a RUN (`build/mounts.py`); `target` is absolute, "" for a secret that is a variable only.

    `input` is an index into the step's inputs, for what comes from another step, and `source` a path there;
    `label` says what it comes from, for messages. `size` is in bytes, 0 is no limit; `env` is the variable
    that holds a secret, or that names an agent's socket. Values of secrets, and whether there are any, are
    no inputs.
    """

    kind: str
    target: str
    input: int | None = None
    source: str = ""
    read_only: bool = True
    id: str = ""
    sharing: str = ""
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int = 0
    env: str = ""
    label: str = ""


class Run(NamedTuple):
    """A process. `environment` is all that it sees of ENV and ARG; proxies and host CAs are not inputs."""

    args: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    user: str
    folder: str
    network: str = "default"
    scripts: tuple[tuple[str, str], ...] = ()
    """Here-documents that are programs of their own: (name, text), seen as /dev/pipes/<name>."""
    mounts: tuple[Mount, ...] = ()


def has_filled_cache(operation: Run) -> bool:
    """Whether a cache of it begins with files of another step: its results hold for its own parent alone."""
    return any(mount.kind == "cache" and mount.input is not None for mount in operation.mounts)


class Remote(NamedTuple):
    """A source of ADD that has to be fetched: `text` as the instruction has it.

    `checksum` is `sha256:...` of a file's content, or the beginning of a commit's hash; `unpack` is about
    files, `keep_git_dir` about repositories.
    """

    text: str
    is_git: bool = False
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool = False


class Copy(NamedTuple):
    """Files from the build context, or from the step `source` of another stage, to `target`.

    `patterns` are as written, expanded; `target` is absolute and keeps its trailing slash; `inline` are
    here-documents as (name, content); `owner` is as written (`user:group`), looked up in the parent; `mode`
    is `--chmod`, octal or symbolic; `unpack` opens local archives (ADD); `source_label` is for messages.
    `context` names one of `--build-context`; `remotes` are those of the patterns that have to be fetched.
    """

    patterns: tuple[str, ...]
    target: str
    source: int | None = None
    owner: str = ""
    mode: str = ""
    unpack: bool = False
    source_label: str = ""
    inline: tuple[tuple[str, str], ...] = ()
    excludes: tuple[str, ...] = ()
    parents: bool = False
    context: str = ""
    remotes: tuple[Remote, ...] = ()


class Folder(NamedTuple):
    """WORKDIR: the folder `path` with its parents, for `owner` (USER at that point)."""

    path: str
    owner: str


Operation = Base | Run | Copy | Folder


class Scene(NamedTuple):
    """What one who enters a step finds: its process, or one without words in the same surroundings; `shell`
    is that of SHELL, empty where there is none; `arguments` are the variables that are build arguments."""

    run: Run = Run((), (), "", "/")
    shell: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


class Step(NamedTuple):
    """One node of the graph. Numbers are indices into the graph: `parent` and `inputs` lie before it."""

    number: int
    operation: Operation
    parent: int | None
    inputs: tuple[int, ...]
    name: str
    """As progress shows it: `[builder 2/5] RUN make`."""
    where: Location | None
    stage: str
    """Name or number of the stage; for `--no-cache-filter` and logs."""
    platform: str = ""
    scene: Scene = Scene()


def recipe(operation: Operation, platform: str, epoch: int, timestamps: str = "") -> Digest:
    """The digest of what a step does, without what it stands on.

    A COPY's `source` is a number of this graph and says nothing in another one, nor does the name of a
    context: the files' content takes their place (`content` of `exact_key`). What messages call a source says
    nothing either. `epoch` is the time that files get, where the user has set one; `timestamps` says so where
    they keep their own (`Times.word`).
    """
    if isinstance(operation, Copy):
        source = None if operation.source is None else 0
        operation = operation._replace(source=source, source_label="", context="")
    elif isinstance(operation, Run):
        operation = operation._replace(mounts=tuple(mount._replace(label="") for mount in operation.mounts))
    document = [RECIPE_VERSION, type(operation).__name__, platform, epoch, _document(operation)]
    if timestamps:
        document.append(timestamps)
    return digests.of(json.dumps(document, separators=(",", ":")).encode("utf-8", "surrogateescape"))


_FIRST_FIELDS = {"Base": 1, "Run": 6, "Copy": 8, "Folder": 2}
"""How many fields each operation had when RECIPE_VERSION began."""


def _document(operation: Operation) -> list[object]:
    """All fields. Those that came later stand there by name, and only where they say something, so that they
    change no recipe that does not use them."""
    first = _FIRST_FIELDS[type(operation).__name__]
    document: list[object] = list(operation[:first])
    for name in operation._fields[first:]:
        value = getattr(operation, name)
        if value != operation._field_defaults[name]:
            document.append([name, value])
    return document


def exact_key(recipe_digest: Digest, parent: Digest, content: str = "") -> Digest:
    """What a record is found by: recipe, the parent's chain ID, and what came in from elsewhere."""
    digest = hashlib.sha256(f"{recipe_digest}\n{parent}\n{content}\n".encode())
    return digests.from_hex(digest.hexdigest())
