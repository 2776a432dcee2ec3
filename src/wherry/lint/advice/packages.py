"""Package managers: what they install beyond what is needed, and what they leave behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from wherry.dockerfile.instructions import Add, Copy, Env, Run
from wherry.lint.advice.example import example
from wherry.lint.advice.running import runs
from wherry.lint.rule import ADVICE, Mark, Rule
from wherry.lint.rules.instructions import takes_whole_context
from wherry.lint.shell import Command, of_run
from wherry.lint.subject import Stage, Subject

_APT = ("apt", "apt-get")
_LISTS = "/var/lib/apt/lists"
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
_COMPILERS = frozenset(
    (
        *("build-essential", "gcc", "g++", "clang", "make", "cmake"),
        *("build-base", "alpine-sdk", "rustc", "cargo", "golang", "golang-go", "ghc"),
    )
)
_RPM = ("dnf", "yum", "microdnf")
_USES = ("install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep", "satisfy")
_REMOVALS = ("remove", "purge", "autoremove", "del")


def _install(command: Command, programs: Iterable[str], *verbs: str) -> tuple[str, ...] | None:
    """The packages that `command` installs with one of `programs`, None where it is another command."""
    words = command.words[command.program == "sudo" :]
    if len(words) < 2 or words[0].rpartition("/")[2] not in programs:
        return None
    plain = [word for word in words[1:] if not word.startswith("-")]
    return tuple(plain[1:]) if plain and plain[0] in verbs else None


def _apt_installs(commands: Iterable[Command]) -> list[Command]:
    return [command for command in commands if _install(command, _APT, "install") is not None]


def _recommends(subject: Subject) -> Iterator[Mark]:
    for step, _, commands in runs(subject):
        for command in _apt_installs(commands):
            if not _has_no_recommends(command):
                message = f"{command.words[0]} install without --no-install-recommends"
                yield Mark(step.where, f"{message} installs packages that nobody asked for")
                break


def _has_no_recommends(command: Command) -> bool:
    return any("no-install-recommends" in w or "Install-Recommends=" in w for w in command.words)


def _lists(subject: Subject) -> Iterator[Mark]:
    for step, run, commands in runs(subject):
        is_mounted = any(mount.target.startswith("/var/lib/apt") for mount in run.mounts)
        if _apt_installs(commands) and not is_mounted and not _cleans(commands):
            yield Mark(step.where, f"the package lists stay in the layer, below {_LISTS}")


def _cleans(commands: Iterable[Command]) -> bool:
    return any(
        (command.program in ("rm", "find") and any(_LISTS in word for word in command.words))
        or _install(command, _APT, "dist-clean", "distclean") is not None
        for command in commands
    )


def _is_update(command: Command) -> bool:
    return _install(command, _APT, "update") is not None


def _update_alone(subject: Subject) -> Iterator[Mark]:
    for step, run, commands in runs(subject):
        is_used = any(_install(command, _APT, *_USES) is not None for command in commands)
        if any(map(_is_update, commands)) and not is_used and not run.mounts:
            message = "apt-get update in a RUN of its own is reused for ever, while the archive moves on"
            yield Mark(step.where, message)


def _pip_cache(subject: Subject) -> Iterator[Mark]:
    without = _lines_without_cache(subject)
    for step, run, commands in runs(subject):
        is_mounted = any(mount.kind == "cache" for mount in run.mounts)
        if is_mounted or step.where.line in without:
            continue
        for command in commands:
            if _is_pip(command) and "--no-cache-dir" not in command.words and not _sets_no_cache(command):
                yield Mark(step.where, "pip install without --no-cache-dir leaves its downloads in the layer")
                break


def _lines_without_cache(subject: Subject) -> set[int]:
    """Of the instructions for which the environment turns pip's cache off."""
    lines: set[int] = set()
    for stage in subject.stages:
        value = stage.environment.get("PIP_NO_CACHE_DIR", "")
        for step in stage.steps:
            if isinstance(step.instruction, Env):
                value = dict(step.instruction.pairs).get("PIP_NO_CACHE_DIR", value)
            elif value not in ("", "0"):
                lines.add(step.where.line)
    return lines


def _is_pip(command: Command) -> bool:
    words = command.words
    if len(words) > 3 and command.program.startswith("python") and words[1:3] == ("-m", "pip"):
        return words[3] == "install"
    return command.program in ("pip", "pip3") and "install" in command.arguments()[:1]


def _sets_no_cache(command: Command) -> bool:
    return any(item.startswith("PIP_NO_CACHE_DIR=") for item in command.variables)


def _npm_install(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        has_lock = False
        for step in stage.steps:
            instruction = step.instruction
            if isinstance(instruction, Copy | Add):
                has_lock |= _brings_lock(instruction, subject)
            elif isinstance(instruction, Run) and has_lock:
                for command in of_run(instruction, step.shell):
                    if _install(command, ("npm",), "install", "i") == () and "-g" not in command.words:
                        yield Mark(step.where, "npm install may change what package-lock.json has fixed")


def _brings_lock(instruction: Copy | Add, subject: Subject) -> bool:
    names = [source.rpartition("/")[2] for source in instruction.sources]
    if any(name in _LOCKS or name in ("package*.json", "package*") for name in names):
        return True
    return takes_whole_context(instruction) and any(map(subject.surroundings.exists, _LOCKS))


def _copied_too_early(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        for first, second in pairwise(stage.steps):
            if takes_whole_context(first.instruction) and isinstance(second.instruction, Run):
                for command in of_run(second.instruction, second.shell):
                    if _installs_dependencies(command):
                        yield Mark(first.where, _too_early(command))
                        break


def _installs_dependencies(command: Command) -> bool:
    if _is_pip(command):
        return any(word in ("-r", "--requirement") for word in command.words)
    if command.program in ("npm", "yarn", "pnpm", "bundle", "composer"):
        return command.arguments()[:1] in (("install",), ("ci",), ("i",)) and len(command.arguments()) == 1
    return False


def _too_early(command: Command) -> str:
    return f"all files are copied before {' '.join(command.words[:2])}, which needs only a few of them"


def _compilers(subject: Subject) -> Iterator[Mark]:
    if subject.target < 0:
        return
    stage = subject.stages[subject.target]
    chain: list[Stage] = [stage]
    while chain[-1].parent >= 0:
        chain.append(subject.stages[chain[-1].parent])
    for part in chain:
        yield from _compilers_left(part)


def _compilers_left(stage: Stage) -> Iterator[Mark]:
    for step in stage.steps:
        if isinstance(step.instruction, Run):
            commands = of_run(step.instruction, step.shell)
            found = [name for command in commands for name in _installed_compilers(command)]
            if found and not _removes(commands):
                yield Mark(
                    step.where, f"{', '.join(dict.fromkeys(found))} stays in the image that is shipped"
                )


def _installed_compilers(command: Command) -> list[str]:
    packages = _install(command, (*_APT, *_RPM), "install") or _install(command, ("apk",), "add") or ()
    return [name for name in packages if name.partition("=")[0] in _COMPILERS]


def _removes(commands: Iterable[Command]) -> bool:
    return any(_install(command, (*_APT, *_RPM, "apk"), *_REMOVALS) is not None for command in commands)


_CLEAN = "rm -rf /var/lib/apt/lists/*"

RULES = (
    Rule(
        "AptRecommends",
        ADVICE,
        "Debian's recommended packages are for desktops; images seldom need them",
        "write apt-get install --no-install-recommends, and name what is really used",
        _recommends,
        example(f"RUN apt-get update && apt-get install -y curl && {_CLEAN}"),
        example(f"RUN apt-get update && apt-get install -y --no-install-recommends curl && {_CLEAN}"),
    ),
    Rule(
        "AptListsLeft",
        ADVICE,
        "Package lists are of no use in an image, and what a later RUN deletes stays in the earlier layer",
        f"end the same RUN with {_CLEAN}, or mount a cache there",
        _lists,
        example("RUN apt-get update && apt-get install -y --no-install-recommends curl"),
        example(f"RUN apt-get update && apt-get install -y --no-install-recommends curl && {_CLEAN}"),
    ),
    Rule(
        "AptUpdateAlone",
        ADVICE,
        "Reused lists grow old: an install behind them asks for packages that are gone",
        "write apt-get update && apt-get install in one RUN",
        _update_alone,
        example("RUN apt-get update"),
        example(f"RUN apt-get update && apt-get install -y --no-install-recommends curl && {_CLEAN}"),
    ),
    Rule(
        "PipCache",
        ADVICE,
        "pip keeps what it downloads, for a next time that an image never sees",
        "write pip install --no-cache-dir, or RUN --mount=type=cache,target=/root/.cache/pip",
        _pip_cache,
        example("RUN pip install flask"),
        example("RUN pip install --no-cache-dir flask"),
    ),
    Rule(
        "NpmInstallWithLock",
        ADVICE,
        "npm ci installs exactly what the lock file says, and fails where it does not fit",
        "write npm ci",
        _npm_install,
        example("COPY package.json package-lock.json ./\nRUN npm install"),
        example("COPY package.json package-lock.json ./\nRUN npm ci"),
    ),
    Rule(
        "CopyBeforeInstall",
        ADVICE,
        "Dependencies are installed again when any file changes, unless the build sees that it was not read",
        "copy the lists of dependencies first, install, then copy the rest; a remark only",
        _copied_too_early,
        example("COPY . .\nRUN pip install --no-cache-dir -r requirements.txt"),
        example("COPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\nCOPY . ."),
        files=((".dockerignore", ".git\n"),),
    ),
    Rule(
        "CompilerLeft",
        ADVICE,
        "Compilers make an image large and give an intruder tools",
        "build in a stage of its own and COPY --from the result, or remove them in the same RUN",
        _compilers,
        example(f"RUN apt-get update && apt-get install -y --no-install-recommends gcc && {_CLEAN}"),
        example("RUN apk add --no-cache --virtual .build gcc && make && apk del .build"),
    ),
)
