"""From a parsed Dockerfile to what rules look at: stages, and for each instruction the variables it sees.

The scopes are those of the build (wherry.build.scope), told apart further: a name that no ARG and no ENV
declares is kept, where a build would take it for empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.base.errors import WherryError
from wherry.dockerfile import instructions as ins
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.expansion import expanded
from wherry.dockerfile.parser import Dockerfile, Node
from wherry.dockerfile.stages import StageNames, needed
from wherry.dockerfile.typed import Program, program, trigger
from wherry.dockerfile.words import expand
from wherry.lint.subject import MANY_NAMES, Global, Stage, Step, Subject, Surroundings, Words
from wherry.oci.config import ImageConfig

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def walk(dockerfile: Dockerfile, surroundings: Surroundings) -> Subject:
    """Raises nothing: what cannot be read is `error`, and the instructions before it are looked at."""
    try:
        return _Walk(dockerfile, program(dockerfile), surroundings, None).run()
    except DockerfileError as error:
        line = error.where.line if error.where else 0
        before = tuple(node for node in dockerfile.instructions if node.start_line < line)
        sound = dockerfile._replace(instructions=before)
        return _Walk(sound, _program(sound), surroundings, error).run()


def _program(dockerfile: Dockerfile) -> Program:
    """The stages, none where there is no FROM."""
    try:
        return program(dockerfile)
    except DockerfileError:
        return Program((), ())


class _Recorder:
    """A lookup that remembers what it was asked for. What has no value, but a declaration, is not missing."""

    def __init__(self, *scopes: Mapping[str, str | None]) -> None:
        self._scopes = scopes
        self.found: set[str] = set()
        self.missing: dict[str, None] = {}

    def __call__(self, name: str) -> str | None:
        for scope in self._scopes:
            value = scope.get(name)
            if value is not None:
                self.found.add(name)
                return value
        if not any(name in scope for scope in self._scopes):
            self.missing[name] = None
        return None


class _State:
    """What a stage has at one point."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {"PATH": _PATH}
        self.declared: dict[str, str | None] = {}
        self.shell: tuple[str, ...] | None = None
        self.user = ""
        self.exposes = False
        self.has_healthcheck = False
        self.workdir_is_set = False
        self.is_known = True
        self.triggers: list[ins.Instruction] = []

    def child(self) -> _State:
        state = _State()
        state.__dict__ |= self.__dict__
        state.environment = dict(self.environment)
        state.declared = dict(self.declared)
        state.triggers = list(self.triggers)
        return state


class _Walk:
    def __init__(
        self, dockerfile: Dockerfile, parsed: Program, surroundings: Surroundings, error: WherryError | None
    ) -> None:
        self._dockerfile = dockerfile
        self._program = parsed
        self._around = surroundings
        self._error = error
        self._escape = dockerfile.escape
        self._unknown: dict[str, None] = {}
        self._nodes: list[tuple[Node, ...]] = []  # by stage
        self._names = StageNames()

    def run(self) -> Subject:
        arguments, self._globals = self._declare_globals(self._around.arguments)
        _, self._defaults = self._declare_globals({})
        stages = self._stages()
        target = self._names.target(self._around.target)
        used = set(range(len(stages))) if self._around.every_stage else self._needed(stages, target)
        states: dict[int, _State] = {}
        for number in sorted(used):
            stages[number] = self._follow(stages[number], states)
        names = (argument.name for argument in arguments)
        return Subject(
            self._dockerfile,
            tuple(stages),
            self._names,
            arguments,
            tuple(dict.fromkeys((*self._globals, *names))),
            self._around,
            target,
            tuple(self._unknown),
            self._error,
        )

    def _declare_globals(self, given: Mapping[str, str]) -> tuple[tuple[Global, ...], dict[str, str | None]]:
        """The ARGs before the first FROM, and all that FROM may use."""
        scope: dict[str, str | None] = dict(self._around.predefined)
        arguments: list[Global] = []
        for instruction in self._program.arguments:
            for name, default, comment in instruction.arguments:
                recorder = _Recorder(scope)
                value = given.get(name)
                if value is None and default is not None:
                    value = self._expand(default, recorder, instruction)
                if value is not None:
                    scope[name] = value
                where, used = instruction.location, frozenset(recorder.found)
                arguments.append(Global(name, scope.get(name), comment, where, used))
        return tuple(arguments), scope

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = []
        position = len(self._program.arguments)
        for number, (base, following) in enumerate(self._program.stages):
            node = self._dockerfile.instructions[position]
            end = position + 1 + len(following)
            self._nodes.append(self._dockerfile.instructions[position + 1 : end])
            position = end
            image = self._words(base.image, base)
            default = self._expand(base.image, _Recorder(self._defaults), base, quiet=True)
            parent = self._names.named(image.value, number)
            self._names.add(base.name)
            platform = self._words(base.platform, base)
            stage = Stage(number, node, base, image, platform, default, parent, is_known=True)
            stages.append(self._with_context(stage))
        return stages

    def _with_context(self, stage: Stage) -> Stage:
        """A context that is called as the stage is goes before one that is called as its base is."""
        find = self._around.find_context
        if stage.base.name and (context := find(stage.base.name, stage.platform.value)):
            return stage._replace(context=context, is_replaced=True, parent=-1)
        if stage.parent >= 0 or not stage.image.value:
            return stage
        return stage._replace(context=find(stage.image.value, stage.platform.value))

    def _needed(self, stages: list[Stage], target: int) -> set[int]:
        return needed(
            target,
            lambda number: stages[number].parent,
            lambda number: (*self._triggers(stages, number), *self._instructions(stages[number])),
            self._names,
        )

    def _triggers(self, stages: list[Stage], number: int) -> list[ins.Instruction]:
        """ONBUILD of what a stage stands on: such instructions name stages of this file too."""
        stage = stages[number]
        if stage.is_replaced:
            return []
        if stage.parent < 0:
            return self._base(stage).triggers
        above = self._instructions(stages[stage.parent])
        return [item.trigger for item in above if isinstance(item, ins.Onbuild)]

    def _instructions(self, stage: Stage) -> tuple[ins.Instruction, ...]:
        return () if stage.is_replaced else self._program.stages[stage.number].instructions

    def _words(self, text: str, instruction: ins.Instruction) -> Words:
        recorder = _Recorder(self._globals)
        value = self._expand(text, recorder, instruction)
        return Words(text, value, frozenset(recorder.found), frozenset(recorder.missing))

    def _expand(
        self, text: str, recorder: _Recorder, instruction: ins.Instruction, *, quiet: bool = False
    ) -> str:
        try:
            return expand(text, recorder, self._escape)
        except DockerfileError as error:
            if not quiet:
                self._fail(error, instruction)
            return ""

    def _fail(self, error: DockerfileError, instruction: ins.Instruction) -> None:
        if self._error is None:
            self._error = self._dockerfile.located(error, instruction.location)

    def _follow(self, stage: Stage, states: dict[int, _State]) -> Stage:
        state = states[stage.parent].child() if stage.parent in states else self._base(stage)
        triggers, state.triggers = state.triggers, []
        if stage.is_replaced:
            triggers = []
        triggered = [self._step(stage.node, item._replace(location=stage.where), state) for item in triggers]
        environment = dict(state.environment)
        steps = [
            self._step(node, instruction, state)
            for node, instruction in zip(self._nodes[stage.number], self._instructions(stage), strict=False)
        ]
        states[stage.number] = state
        return stage._replace(
            triggered=tuple(triggered),
            steps=tuple(steps),
            is_used=True,
            environment=environment,
            is_known=state.is_known,
            user=state.user,
            exposes=state.exposes,
            has_healthcheck=state.has_healthcheck,
            workdir_is_set=state.workdir_is_set,
        )

    def _base(self, stage: Stage) -> _State:
        state = _State()
        image = stage.image.value
        if stage.is_scratch:
            return state
        config = stage.context.config if stage.context else self._config(image)
        if config is None:
            self._unknown[image] = None
            state.is_known = False
            return state
        execution = config.execution
        state.environment |= execution.environment()
        state.shell = execution.shell
        state.user = execution.user
        state.exposes = bool(execution.exposed_ports)
        state.has_healthcheck = execution.healthcheck is not None
        try:
            state.triggers = [trigger(text) for text in execution.onbuild]
        except DockerfileError:
            state.triggers = []  # the build will tell
        return state

    def _config(self, image: str) -> ImageConfig | None:
        return self._around.find_base(image) if image else None

    def _step(self, node: Node, written: ins.Instruction, state: _State) -> Step:
        recorder = _Recorder(state.environment, state.declared)
        shell = state.shell
        instruction = self._apply(written, state, recorder)
        undefined = tuple(recorder.missing)
        visible = _visible(state) if undefined else ()
        names = [item.name for item in written.arguments] if isinstance(written, ins.Arg) else ()
        values = {name: state.declared.get(name) for name in names}
        return Step(node, written, instruction, undefined, visible, shell, values)

    def _apply(self, written: ins.Instruction, state: _State, recorder: _Recorder) -> ins.Instruction:
        """The instruction expanded, and its effect on `state`."""
        try:
            instruction = expanded(written, recorder, self._escape)
        except DockerfileError as error:
            self._fail(error, written)
            return written
        match instruction:
            case ins.Env():
                state.environment |= dict(instruction.pairs)
            case ins.Arg():
                self._declare(instruction, state, recorder)
            case ins.Shell():
                state.shell = instruction.command
            case ins.User():
                state.user = instruction.user
            case ins.Expose():
                state.exposes = True
            case ins.Healthcheck():
                state.has_healthcheck = True
            case ins.Workdir():
                state.workdir_is_set = True
            case ins.Onbuild():
                state.triggers.append(instruction.trigger)
        return instruction

    def _declare(self, instruction: ins.Arg, state: _State, recorder: _Recorder) -> None:
        for argument in instruction.arguments:
            value = self._around.arguments.get(argument.name)
            if value is None and argument.default is None:
                value = self._globals.get(argument.name)
            elif value is None and argument.default is not None:
                value = self._expand(argument.default, recorder, instruction)
            state.declared[argument.name] = value


def _visible(state: _State) -> tuple[str, ...]:
    if len(state.environment) + len(state.declared) > MANY_NAMES:
        return ()
    return (*state.environment, *(name for name, value in state.declared.items() if value))
