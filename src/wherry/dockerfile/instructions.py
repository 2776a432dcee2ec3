"""The instructions, typed: one NamedTuple for each, with checked flags and arguments.

Words are as they are written; `expansion.expanded` replaces the variables of those fields that expand
(named in each docstring), for the environment at that place. `location` says where the instruction
stands and `original` is its line, continuations joined, without heredocs.
"""

from __future__ import annotations

from wherry.base.errors import Location
from wherry.base.tuples import NamedTuple
from wherry.dockerfile.heredocs import Heredoc, opener
from wherry.dockerfile.mounts import Device, Mount


class Script(NamedTuple):
    """What the shell is given. `file`: `text` is first put, executable, into /dev/pipes/`file`."""

    command: str
    file: str = ""
    text: str = ""


class InlineFile(NamedTuple):
    """A file that COPY or ADD makes out of a heredoc; mode 0644."""

    name: str
    content: str
    expand: bool


class Argument(NamedTuple):
    """One name of ARG; `default` is None where it has none. `comment` describes it."""

    name: str
    default: str | None = None
    comment: str = ""


class From(NamedTuple):
    """A stage begins. `image` and `platform` expand, with global ARGs only. `name` is lower case."""

    location: Location
    original: str
    image: str
    name: str = ""
    platform: str = ""
    comment: str = ""


class Arg(NamedTuple):
    """Expands: the defaults, one after the other, each only where no build argument is given."""

    location: Location
    original: str
    arguments: tuple[Argument, ...]


class Env(NamedTuple):
    """Expands: names and values, all with the environment before this instruction."""

    location: Location
    original: str
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False  # ENV NAME VALUE


class Label(NamedTuple):
    """Expands: names and values."""

    location: Location
    original: str
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Run(NamedTuple):
    """Expands: the values of `mounts`. The command does not: that is the shell's work.

    `command` is the exec form's array, or the one string of the shell form (`shell`); it may be empty.
    """

    location: Location
    original: str
    command: tuple[str, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: str = "default"  # default, none, host
    security: str = "sandbox"  # sandbox, insecure
    devices: tuple[Device, ...] = ()

    def script(self) -> Script:
        """What a shell form gives to the shell.

        One heredoc that is the whole command is the script itself, and with a `#!` line a file that
        is run; any other heredocs are the shell's own, put together again as they were written.
        """
        line = self.command[0] if self.command else ""
        if not self.heredocs:
            return Script(line)
        first = self.heredocs[0]
        if len(self.heredocs) == 1 and opener(line) is not None:
            text = first.text()
            if text.startswith("#!"):
                return Script(f"/dev/pipes/{first.name}", first.name, text)
            return Script(text)
        return Script(line + "".join(f"\n{doc.content}{doc.name}" for doc in self.heredocs))


class Copy(NamedTuple):
    """Expands: sources, target, chown, chmod, and the content of files. `origin` and excludes do not.

    `origin` is `--from`: a stage's name or index, an image or a named context; "" is the build context.
    """

    location: Location
    original: str
    sources: tuple[str, ...]
    target: str
    files: tuple[InlineFile, ...] = ()
    origin: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()


class Add(NamedTuple):
    """Expands: sources, target, chown, chmod, checksum, and the content of files.

    `unpack` is None where the file does not say: local archives are unpacked, remote ones are not.
    """

    location: Location
    original: str
    sources: tuple[str, ...]
    target: str
    files: tuple[InlineFile, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None


class Cmd(NamedTuple):
    """Nothing expands. `shell`: `command` is one string for the shell, or empty."""

    location: Location
    original: str
    command: tuple[str, ...]
    shell: bool


class Entrypoint(NamedTuple):
    """Nothing expands. As Cmd."""

    location: Location
    original: str
    command: tuple[str, ...]
    shell: bool


class Shell(NamedTuple):
    """Nothing expands."""

    location: Location
    original: str
    command: tuple[str, ...]


class Workdir(NamedTuple):
    """Expands: path."""

    location: Location
    original: str
    path: str


class User(NamedTuple):
    """Expands: user, which is `name`, `1000`, `name:group` or `1000:1000`."""

    location: Location
    original: str
    user: str


class Expose(NamedTuple):
    """Expands: ports, each into any number of words. `ports.exposed` reads the expanded ones."""

    location: Location
    original: str
    ports: tuple[str, ...]


class Volume(NamedTuple):
    """Expands: paths."""

    location: Location
    original: str
    paths: tuple[str, ...]


class StopSignal(NamedTuple):
    """Expands: signal."""

    location: Location
    original: str
    signal: str


class Healthcheck(NamedTuple):
    """Nothing expands. `test` is ("NONE",), ("CMD", ...) or ("CMD-SHELL", text).

    Times are nanoseconds; 0 stands for the default.
    """

    location: Location
    original: str
    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Onbuild(NamedTuple):
    """Nothing expands here: `trigger` does, in the stage that is built upon this one.

    `expression` is its text, heredocs included, as the image config keeps it (see `typed.trigger`).
    """

    location: Location
    original: str
    expression: str
    trigger: Instruction


class Maintainer(NamedTuple):
    """Nothing expands."""

    location: Location
    original: str
    name: str


Instruction = (
    From
    | Arg
    | Env
    | Label
    | Run
    | Copy
    | Add
    | Cmd
    | Entrypoint
    | Shell
    | Workdir
    | User
    | Expose
    | Volume
    | StopSignal
    | Healthcheck
    | Onbuild
    | Maintainer
)


class Stage(NamedTuple):
    """A FROM and what follows it, up to the next."""

    base: From
    instructions: tuple[Instruction, ...]
