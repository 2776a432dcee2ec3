"""What RUN calls: shells, sudo, downloads that are executed, owners that are changed again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from wherry.dockerfile.instructions import Add, Copy, Run
from wherry.lint.advice.example import example
from wherry.lint.rule import ADVICE, Mark, Rule
from wherry.lint.shell import Command, of_run
from wherry.lint.subject import Stage, Step, Subject

_DOWNLOADS = ("curl", "wget")
_INTERPRETERS = ("sh", "bash", "ash", "dash", "zsh", "python", "python3", "perl", "ruby", "node")


def runs(subject: Subject) -> Iterator[tuple[Step, Run, tuple[Command, ...]]]:
    """Every RUN with the commands that it calls."""
    for step in subject.steps():
        if isinstance(step.instruction, Run):
            yield step, step.instruction, of_run(step.instruction, step.shell)


def _sudo(subject: Subject) -> Iterator[Mark]:
    for step, _, commands in runs(subject):
        if any(command.program == "sudo" for command in commands):
            yield Mark(
                step.where, "sudo in RUN: it needs a terminal's habits, and hides which user runs what"
            )


def _folder(subject: Subject) -> Iterator[Mark]:
    for step, _, commands in runs(subject):
        if commands and commands[0].program == "cd" and len(commands[0].words) == 2:
            folder = commands[0].words[1]
            yield Mark(step.where, f"cd {folder} holds for this RUN alone")


def _pipe_into_shell(subject: Subject) -> Iterator[Mark]:
    for step, run, commands in runs(subject):
        if run.shell and any("pipefail" in word for word in step.shell or ()):
            continue
        for source, target in pairwise(commands):
            if source.program == "set" and "pipefail" in source.words:
                break
            is_piped = target.before in ("|", "|&") and target.program in _INTERPRETERS
            if is_piped and source.program in _DOWNLOADS:
                what = f"{source.program} | {target.program}"
                yield Mark(step.where, f"{what} without pipefail: a download that fails goes unnoticed")
                break


def _owner_after_copy(subject: Subject) -> Iterator[Mark]:
    for stage in subject.stages:
        yield from _owner_changes(stage)


def _owner_changes(stage: Stage) -> Iterator[Mark]:
    has_copied = False
    for step in stage.steps:
        if isinstance(step.instruction, Copy | Add):
            has_copied = True
        elif isinstance(step.instruction, Run) and has_copied:
            for command in of_run(step.instruction, step.shell):
                if command.program in ("chown", "chmod") and _is_recursive(command):
                    message = f"{command.program} -R after COPY stores the copied files a second time"
                    yield Mark(step.where, message)
                    break


def _is_recursive(command: Command) -> bool:
    return any(flag == "--recursive" or "R" in flag.lstrip("-") for flag in command.flags())


def _several_runs(subject: Subject) -> Iterator[Mark]:
    """Told once for a row of RUNs, at its second."""
    for stage in subject.stages:
        row = 0
        for step in stage.steps:
            run = step.instruction
            row = row + 1 if isinstance(run, Run) and _can_be_joined(run) else 0
            if row == 2:
                yield Mark(step.where, "two RUNs in a row could be one: each makes a layer")


def _can_be_joined(run: Run) -> bool:
    is_plain = not run.mounts and not run.devices and run.network == "default" and run.security == "sandbox"
    return run.shell and is_plain and not run.heredocs


RULES = (
    Rule(
        "SudoInRun",
        ADVICE,
        "RUN is executed by the user that USER names: sudo is not needed",
        "put USER root before the instruction, and the other user behind it",
        _sudo,
        example("RUN sudo make install"),
        example("USER root\nRUN make install"),
    ),
    Rule(
        "CdInRun",
        ADVICE,
        "The folder that cd goes to is forgotten when the RUN ends",
        "write WORKDIR before the RUN",
        _folder,
        example("RUN cd /app && make"),
        example("WORKDIR /app\nRUN make"),
    ),
    Rule(
        "PipeWithoutPipefail",
        ADVICE,
        "A pipe succeeds when its last command does, whatever happened to the first",
        'write SHELL ["/bin/bash", "-o", "pipefail", "-c"], or download to a file, check it, then run it',
        _pipe_into_shell,
        example("RUN curl -fsSL https://example.org/install.sh | sh"),
        example("RUN curl -fsSL -o /tmp/install.sh https://example.org/install.sh && sh /tmp/install.sh"),
    ),
    Rule(
        "ChownAfterCopy",
        ADVICE,
        "Changing owner or mode of a file stores the whole file again, in one more layer",
        "give COPY --chown=user:group or --chmod=mode",
        _owner_after_copy,
        example("COPY app /app\nRUN chown -R app:app /app"),
        example("COPY --chown=app:app app /app"),
    ),
    Rule(
        "ConsecutiveRuns",
        ADVICE,
        "Every RUN makes a layer, and what a later one deletes stays in the earlier",
        "join them with && or a heredoc, unless they change at different times",
        _several_runs,
        example("RUN make\nRUN make install"),
        example("RUN make && make install"),
    ),
)
