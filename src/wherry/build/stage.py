"""One stage: its instructions in order, each changing the config, most of the rest adding a step."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wherry.base.errors import Location, Unsupported, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import copying, legible, origins
from wherry.build.copying import Tree
from wherry.build.draft import Draft
from wherry.build.graph import Graph
from wherry.build.origins import Named, Origin, Wanted
from wherry.build.scope import Scope
from wherry.build.step import Base, Folder, Operation, Scene
from wherry.build.step import Copy as CopyOperation
from wherry.build.step import Run as RunOperation
from wherry.dockerfile import instructions as ins
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.expansion import expanded
from wherry.dockerfile.ports import exposed
from wherry.dockerfile.typed import trigger
from wherry.dockerfile.values import number
from wherry.dockerfile.words import expand
from wherry.oci import platform as platforms
from wherry.oci.config import Execution, Healthcheck, ImageConfig

if TYPE_CHECKING:
    from wherry.build import mounts as mounting

DEFAULT_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
DEFAULT_SHELL = ("/bin/sh", "-c")


class Recorded(NamedTuple):
    """One line of history; `step` is the one whose layer it stands for, None for config alone."""

    text: str
    step: int | None = None


FindStage = Callable[[str], "Planner | None"]


class Planner:
    """Follows a stage's instructions. When it is done, `step` is its last one and `execution` its config;
    `steps` are the numbers of all that its own instructions make."""

    def __init__(self, graph: Graph, wanted: Wanted, escape: str, label: str) -> None:
        self.execution = Execution()
        self.base: ImageConfig | None = None
        self.author = ""
        self.step = -1
        self.steps: set[int] = set()
        self.label = label
        self.platform = wanted.platform
        self._graph = graph
        self._wanted = wanted
        self._escape = escape
        self._scope = Scope(wanted.arguments)
        self._cmd_is_set = False
        self._count = 0
        self._total = 0
        self._parent: Planner | None = None
        self._history: list[Recorded] = []
        self._triggers: tuple[ins.Instruction, ...] = ()
        self._is_triggered = False

    def begin(self, stage: ins.Stage, parent: Planner | None) -> None:
        """FROM: another stage, `scratch`, or an image. `parent` is the stage where it is one."""
        base = stage.base
        if base.platform:
            self.platform = platforms.parse(base.platform)
        origin = None
        if parent is not None:
            self._inherit(parent)
        else:
            origin = origins.find(base.image, base.location, self.platform, self._wanted)
            self._begin_with(origin, Execution(env=DEFAULT_ENVIRONMENT))
        self._take_triggers(base.location)
        self._config = Draft(self.execution)
        following = (*self._triggers, *stage.instructions)
        self._total = 1 + sum(isinstance(item, _MAKING_STEPS) for item in following)
        name = self._name(f"FROM {base.image}", arrow=False)
        if origin is not None:
            self._make_base(origin, name, base.location)

    def replace(self, base: ins.From, context: Named) -> None:
        """In place of `begin` and `follow`: the context is the stage, whatever its instructions say."""
        self._total = 1
        if base.platform:
            self.platform = platforms.parse(base.platform)
        origin = origins.of_context(context, base.location, self.platform)
        self._begin_with(origin, Execution())
        self.execution = self.execution._replace(onbuild=())
        self._config = Draft(self.execution)
        self._make_base(origin, self._name(f"FROM {origin.label}", arrow=False), base.location)

    def follow(self, instructions: Sequence[ins.Instruction], find_stage: FindStage) -> None:
        self._find_stage = find_stage
        for index, instruction in enumerate((*self._triggers, *instructions)):
            self._is_triggered = index < len(self._triggers)
            try:
                self._one(instruction)
            except WherryError as error:
                error.where = error.where or instruction.location
                raise
        self.execution = self._config.finished()

    def history(self) -> tuple[Recorded, ...]:
        """What was done since the base image, the stages below this one included."""
        lines: list[list[Recorded]] = []
        stage: Planner | None = self
        while stage is not None:
            lines.append(stage._history)
            stage = stage._parent
        return tuple(line for stage_lines in reversed(lines) for line in stage_lines)

    def _inherit(self, parent: Planner) -> None:
        self._parent = parent
        self.execution = parent.execution
        self.platform = parent.platform
        self.base = parent.base
        self.author = parent.author
        self.step = parent.step
        self._scope = parent._scope.child()

    def _begin_with(self, origin: Origin, execution: Execution) -> None:
        """`execution` is what there is without an image."""
        self.base = origin.image.config if origin.image else None
        self.execution = self.base.execution if self.base else execution

    def _make_base(self, origin: Origin, name: str, where: Location) -> None:
        self.step = self._base_step(origin, name, where)
        if origin.context:
            self._history.append(Recorded(f"FROM {origin.label}", self.step))

    def _take_triggers(self, where: Location) -> None:
        """ONBUILD of the base runs first, and is not handed on to grandchildren; it stands at FROM."""
        self._triggers = tuple(trigger(text)._replace(location=where) for text in self.execution.onbuild)
        self.execution = self.execution._replace(onbuild=())

    def _one(self, instruction: ins.Instruction) -> None:
        instruction = expanded(instruction, self._lookup, self._escape)
        handler = _HANDLERS[type(instruction)]
        handler(self, instruction)

    # what only changes the config

    def _arg(self, instruction: ins.Arg) -> None:
        for argument in instruction.arguments:
            default = argument.default
            if default is not None:
                default = expand(default, self._lookup, self._escape)
            self._scope.declare(argument.name, default)
        self._record(legible.arguments(instruction, self._scope.declared))

    def _env(self, instruction: ins.Env) -> None:
        for name, value in instruction.pairs:
            self._config.environment[name] = value
        self._record(legible.pairs("ENV", instruction.pairs))

    def _label(self, instruction: ins.Label) -> None:
        self._config.labels.update(instruction.pairs)
        self._record(legible.pairs("LABEL", instruction.pairs))

    def _cmd(self, instruction: ins.Cmd) -> None:
        self._config.cmd = self._command(instruction)
        self._cmd_is_set = True
        self._record(legible.words("CMD", self._config.cmd))

    def _entrypoint(self, instruction: ins.Entrypoint) -> None:
        self._config.entrypoint = self._command(instruction)
        if not self._cmd_is_set:
            # The base's CMD was meant for the base's ENTRYPOINT (Dockerfile reference, "ENTRYPOINT").
            self._config.cmd = None
        self._record(legible.words("ENTRYPOINT", self._config.entrypoint))

    def _shell(self, instruction: ins.Shell) -> None:
        self._config.shell = instruction.command
        self._record(f"SHELL [{' '.join(instruction.command)}]")

    def _user(self, instruction: ins.User) -> None:
        self._config.user = instruction.user
        self._record(f"USER {instruction.user}")

    def _expose(self, instruction: ins.Expose) -> None:
        ports = exposed(instruction.ports)
        self._config.ports.update(dict.fromkeys(ports))
        self._record(f"EXPOSE [{' '.join(ports)}]")

    def _volume(self, instruction: ins.Volume) -> None:
        self._config.volumes.update(dict.fromkeys(instruction.paths))
        self._record(f"VOLUME [{' '.join(instruction.paths)}]")

    def _stop_signal(self, instruction: ins.StopSignal) -> None:
        self._config.stop_signal = instruction.signal
        self._record(f"STOPSIGNAL {instruction.signal}")

    def _healthcheck(self, instruction: ins.Healthcheck) -> None:
        self._config.healthcheck = Healthcheck(*instruction[2:])
        self._record(legible.line(instruction.original))

    def _onbuild(self, instruction: ins.Onbuild) -> None:
        self._config.onbuild.append(instruction.expression)
        self._record(legible.line(instruction.original))

    def _maintainer(self, instruction: ins.Maintainer) -> None:
        self.author = instruction.name
        self._record(f"MAINTAINER {instruction.name}")

    # what makes a step

    def _workdir(self, instruction: ins.Workdir) -> None:
        if not instruction.path:
            raise DockerfileError("WORKDIR needs a path: it is empty after expansion")
        path = posixpath.join("/", self._config.working_dir, instruction.path)
        path = re.sub("^/+", "/", posixpath.normpath(path))
        self._config.working_dir = path
        self._make(instruction, Folder(path, self._config.user), (), f"WORKDIR {path}")

    def _run(self, instruction: ins.Run) -> None:
        _refuse_unsupported_run(instruction)
        script = instruction.script()
        shell = self._config.shell or DEFAULT_SHELL
        args = (*shell, script.command) if instruction.shell else instruction.command
        environment = self._config.environment
        arguments = self._scope.visible(environment)
        operation = RunOperation(
            args=args,
            environment=tuple((arguments | environment).items()),
            user=self._config.user,
            folder=self._config.working_dir or "/",
            network=instruction.network,
            scripts=((script.file, script.text),) if script.file else (),
        )
        inputs: tuple[int, ...] = ()
        if instruction.mounts:
            mounts, inputs = self._mounts(instruction)
            operation = operation._replace(mounts=mounts)
        self._make(instruction, operation, inputs, legible.run(args, arguments))

    def _mounts(self, instruction: ins.Run) -> mounting.Planned:
        from wherry.build import mounts as mounting

        location = instruction.location

        def find(origin: str) -> Tree:
            return self._tree(origin, location) if origin else Tree("the build context")

        def copied(operation: CopyOperation, what: str) -> int:
            nothing = self._add(Base(()), None, (), "", location)
            inputs = () if operation.source is None else (operation.source,)
            return self._add(operation, nothing, inputs, f"[internal] mount {what}", location)

        return mounting.plan(instruction.mounts, self._config.working_dir, find, copied)

    def _copy(self, instruction: ins.Copy) -> None:
        operation = copying.copy(instruction, self._config.working_dir)
        inputs: tuple[int, ...] = ()
        if instruction.origin:
            tree = self._tree(instruction.origin, instruction.location)
            operation = operation._replace(source=tree.step, source_label=tree.label, context=tree.context)
            inputs = () if tree.step is None else (tree.step,)
        self._make(instruction, operation, inputs, legible.copy("COPY", instruction))

    def _add_files(self, instruction: ins.Add) -> None:
        operation = copying.add(instruction, self._config.working_dir)
        self._make(instruction, operation, (), legible.copy("ADD", instruction))

    def _tree(self, name: str, where: Location) -> Tree:
        """What `from=` means: the last step of a stage, the step of an image, or a context."""
        stage = self._find_stage(name)
        if stage is not None:
            return Tree(f"stage {name!r}", stage.step)
        if number(name) is not None and self._wanted.find_context(name, self.platform) is None:
            raise DockerfileError(f"invalid stage index {name}", hint="a number means an earlier stage")
        origin = origins.find(name, where, self.platform, self._wanted)
        if origin.context:
            return Tree(origin.label, context=origin.context)
        return Tree(origin.label, self._base_step(origin, f"FROM {name}", where))

    def _base_step(self, origin: Origin, name: str, where: Location) -> int:
        """The root file system that is nothing but an image or the files of a context."""
        if not origin.context:
            diff_ids = origin.image.config.diff_ids if origin.image else ()
            return self._add(Base(diff_ids), None, (), name, where)
        nothing = self._add(Base(()), None, (), "", where)
        return self._add(CopyOperation(("/",), "/", context=origin.context), nothing, (), name, where)

    def _make(
        self, instruction: ins.Instruction, operation: Operation, inputs: tuple[int, ...], text: str
    ) -> None:
        text_of_name = f"{'ONBUILD ' * self._is_triggered}{legible.line(instruction.original)}"
        name = self._name(legible.redacted(text_of_name))
        self.step = self._add(operation, self.step, inputs, name, instruction.location)
        self._history.append(Recorded(text, self.step))

    def _add(
        self,
        operation: Operation,
        parent: int | None,
        inputs: tuple[int, ...],
        name: str,
        where: Location,
    ) -> int:
        scene = self._scene(operation)
        step = self._graph.add(operation, parent, inputs, name, where, self.label, str(self.platform), scene)
        self.steps.add(step)
        return step

    # small helpers

    def _lookup(self, name: str) -> str | None:
        environment = self._config.environment
        return environment[name] if name in environment else self._scope.declared.get(name)

    def _command(self, instruction: ins.Cmd | ins.Entrypoint) -> tuple[str, ...]:
        if not instruction.shell or not instruction.command:
            return instruction.command
        return (*(self._config.shell or DEFAULT_SHELL), *instruction.command)

    def _scene(self, operation: Operation) -> Scene:
        config = self._config
        shell = config.shell or ()
        if isinstance(operation, RunOperation):
            return Scene(operation, shell, tuple(self._scope.visible(config.environment)))
        folder = config.working_dir or "/"
        return Scene(RunOperation((), tuple(config.environment.items()), config.user, folder), shell)

    def _record(self, text: str) -> None:
        self._history.append(Recorded(text))

    def _name(self, text: str, *, arrow: bool = True) -> str:
        """As BuildKit names steps. Of several platforms it shows the step's, and with `arrow` the one that is
        built for, where that is another one which the step sees: `[linux/amd64->arm64 build 2/4]`."""
        self._count += 1
        label = f"{self.label} " if self.label else ""
        if self._wanted.is_one_of_several:
            target = legible.target(self.platform, self._lookup) if arrow else ""
            label = f"{self.platform}{target} {label}"
        return f"[{label}{self._count}/{self._total}] {text}"


_MAKING_STEPS = (ins.Run, ins.Copy, ins.Add, ins.Workdir)

_HANDLERS: dict[type, Callable[[Planner, Any], None]] = {
    ins.Add: Planner._add_files,
    ins.Arg: Planner._arg,
    ins.Cmd: Planner._cmd,
    ins.Copy: Planner._copy,
    ins.Entrypoint: Planner._entrypoint,
    ins.Env: Planner._env,
    ins.Expose: Planner._expose,
    ins.Healthcheck: Planner._healthcheck,
    ins.Label: Planner._label,
    ins.Maintainer: Planner._maintainer,
    ins.Onbuild: Planner._onbuild,
    ins.Run: Planner._run,
    ins.Shell: Planner._shell,
    ins.StopSignal: Planner._stop_signal,
    ins.User: Planner._user,
    ins.Volume: Planner._volume,
    ins.Workdir: Planner._workdir,
}


def _refuse_unsupported_run(instruction: ins.Run) -> None:
    if instruction.security != "sandbox":
        raise Unsupported(
            f"RUN --security={instruction.security} is not supported by this version: every RUN is sandboxed",
            where=instruction.location,
        )
    for device in instruction.devices:
        raise Unsupported(
            f"RUN --device={device.name} is not supported by this version", where=instruction.location
        )
