"""What rules look at: a Dockerfile's stages with their variables known, and what surrounds the build."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wherry.base.errors import Location, WherryError
from wherry.base.tuples import NamedTuple
from wherry.dockerfile.ignore import Patterns
from wherry.dockerfile.instructions import From, Instruction
from wherry.dockerfile.parser import Dockerfile, Node
from wherry.dockerfile.stages import StageNames
from wherry.oci.config import ImageConfig


def _nothing(_path: str) -> bool:
    return False


def _no_base(_name: str) -> ImageConfig | None:
    return None


class Context(NamedTuple):
    """A named context (`--build-context`). `config` is that of its image, None where it is not at hand; a
    context of files has an empty one."""

    name: str
    config: ImageConfig | None


def _no_context(_name: str, _platform: str) -> Context | None:
    return None


class Surroundings(NamedTuple):
    """What the Dockerfile does not say itself.

    `arguments` are the `--build-arg` values, `predefined` the platform arguments. `find_base` gives the
    config of an image that is at hand, None for others. `ignored` is None without an ignore file, and
    where there is no context folder; `exists` asks for a file in that folder. `target` is the stage to be
    built; with `every_stage` the others are looked at as well. `find_context` gives the named context that
    stands for a stage or an image of a name, on the platform that its FROM asks for.
    """

    arguments: Mapping[str, str] = {}
    predefined: Mapping[str, str] = {}
    find_base: Callable[[str], ImageConfig | None] = _no_base
    ignored: Patterns | None = None
    exists: Callable[[str], bool] = _nothing
    has_context: bool = False
    target: str = ""
    every_stage: bool = True
    find_context: Callable[[str, str], Context | None] = _no_context


MANY_NAMES = 100
"""Where there are more, none of them is suggested for an undefined one: it would take too long."""


class Words(NamedTuple):
    """A word of FROM: its text, its value, and the names in it that have a value or have none."""

    text: str
    value: str
    found: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


class Global(NamedTuple):
    """An ARG before the first FROM. `value` is None where it has none; `used` are names in its default."""

    name: str
    value: str | None
    comment: str
    where: Location
    used: frozenset[str] = frozenset()


class Step(NamedTuple):
    """An instruction of a stage. `instruction` is `written` with its variables expanded.

    `undefined` are the names it uses that nothing defines, `visible` those that it could have meant.
    `shell` (None: the default) is as the instruction finds it, `declared` are the values that an ARG gives
    to its names.
    """

    node: Node
    written: Instruction
    instruction: Instruction
    undefined: tuple[str, ...]
    visible: tuple[str, ...]
    shell: tuple[str, ...] | None
    declared: Mapping[str, str | None]

    @property
    def where(self) -> Location:
        return self.written.location


class Stage(NamedTuple):
    """A stage; `parent` is the number of the stage that it stands on, or -1.

    `is_known` tells that the environment it begins with is known. The last four fields are those of the
    image it leaves. Where `is_used` is False it has no steps: the target does not need it. `triggered` are
    those of its base's ONBUILD, placed at its FROM; `environment` is what the steps begin with. `context` is
    a named context that it stands on, or that it is (`is_replaced`): then it has no steps either.
    """

    number: int
    node: Node
    base: From
    image: Words
    platform: Words
    default_image: str
    parent: int
    is_known: bool
    is_used: bool = False
    triggered: tuple[Step, ...] = ()
    environment: Mapping[str, str] = {}
    steps: tuple[Step, ...] = ()
    user: str = ""
    exposes: bool = False
    has_healthcheck: bool = False
    workdir_is_set: bool = False
    context: Context | None = None
    is_replaced: bool = False

    @property
    def where(self) -> Location:
        return self.base.location

    @property
    def is_scratch(self) -> bool:
        return self.parent < 0 and self.image.value == "scratch" and not self.context


class Subject(NamedTuple):
    """`error` is why `stages` end early; `target` is the number of the stage to be built, -1: there is none.

    `names` are those of the stages. `global_names` are those that FROM may use: the names of
    `arguments`, and the platform's.
    """

    dockerfile: Dockerfile
    stages: tuple[Stage, ...]
    names: StageNames
    arguments: tuple[Global, ...]
    global_names: tuple[str, ...]
    surroundings: Surroundings
    target: int = -1
    unknown_bases: tuple[str, ...] = ()
    error: WherryError | None = None

    def steps(self) -> tuple[Step, ...]:
        return tuple(step for stage in self.stages for step in stage.steps)

    def is_image(self, origin: str, stage: Stage) -> bool:
        """Whether `from=` in a stage means an image: no stage and no named context."""
        names, number = self.names, stage.number
        if names.source(origin, number) >= 0 or names.too_late(origin, number) >= 0:
            return False
        return self.surroundings.find_context(origin, stage.platform.value) is None

    def location(self, node: Node) -> Location:
        return self.dockerfile.location(node)
