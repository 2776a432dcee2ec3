"""A seccomp profile as the filter that the kernel takes."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.errors import Unsupported
from wherry.runtime import syscalls
from wherry.runtime.bpf import (
    AND,
    ARCHITECTURE_AT,
    ARGUMENT_AT,
    DENY_EXISTENCE,
    IF_ABOVE,
    IF_AT_LEAST,
    IF_EQUAL,
    JUMP,
    LOAD,
    NUMBER_AT,
    RETURN,
    Step,
    pack,
)
from wherry.runtime.profiles import ACTIONS, ALLOW, LOG, WITH_ERROR, Check, Profile, Rule

_MOST = 4096  # instructions: BPF_MAXINSNS
_FARTHEST = 255
_X32 = 0x40000000
_WORD = 0xFFFFFFFF


def compiled(profile: Profile) -> bytes:
    """The filter of a profile. Unsupported where it has more to say than a filter can hold.

    Calls of architectures that it does not name do not exist (ENOSYS), nor do those of x32, nor, where it
    refuses what it does not name, those that are younger than `syscalls.py`.
    """
    steps = [Step(LOAD, ARCHITECTURE_AT)]
    for architecture in profile.architectures:
        block = _block(profile, architecture)
        # A block may be longer than a jump: it is passed by as often as it takes.
        steps += [Step(IF_EQUAL, architecture, 1, 0), Step(JUMP, len(block)), *block]
    steps.append(Step(RETURN, DENY_EXISTENCE))
    if len(steps) > _MOST:
        raise Unsupported(
            f"the seccomp profile has too many rules: {len(steps)} instructions, the kernel takes {_MOST}"
        )
    return pack(steps)


def _block(profile: Profile, architecture: int) -> list[Step]:
    """The decision for one architecture: for each number in turn its rules, then the default."""
    numbers = syscalls.numbers(architecture)
    rules: dict[int, list[Rule]] = {}
    for rule in profile.rules:
        for name in rule.names:
            if name in numbers:
                rules.setdefault(numbers[name], []).append(rule)
            if architecture == syscalls.I386 and rule.action not in (ALLOW, LOG):
                _refuse_within(rules, numbers, name, rule)
    steps = [Step(LOAD, NUMBER_AT)]
    if profile.action not in (ALLOW, LOG):
        steps += [Step(IF_AT_LEAST, syscalls.NEWEST + 1, 0, 1), Step(RETURN, DENY_EXISTENCE)]
    else:
        steps += [Step(IF_AT_LEAST, _X32, 0, 1), Step(RETURN, DENY_EXISTENCE)]
    for number, some in rules.items():
        body = _decide(some, profile)
        if len(body) > _FARTHEST:
            steps += [Step(IF_EQUAL, number, 1, 0), Step(JUMP, len(body)), *body]
        else:
            steps += [Step(IF_EQUAL, number, 0, len(body)), *body]
    return [*steps, Step(RETURN, _answer(profile.action, profile.error))]


def _refuse_within(rules: dict[int, list[Rule]], numbers: dict[str, int], name: str, rule: Rule) -> None:
    """A call that is refused is refused too as a part of socketcall or ipc.

    Its own arguments are in memory there, where a filter cannot look: it is refused whatever they are.
    """
    found = syscalls.within(name)
    if found:
        outer, part = found
        check = Check(0, "SCMP_CMP_MASKED_EQ", 0xFFFF, part)  # ipc has a version in the higher bits
        rules.setdefault(numbers[outer], []).insert(0, rule._replace(names=(outer,), checks=(check,)))


def _decide(rules: Sequence[Rule], profile: Profile) -> list[Step]:
    """What becomes of one call: the first rule whose checks all hold, those with checks asked first."""
    steps: list[Step] = []
    for rule in sorted(rules, key=lambda rule: not rule.checks):
        steps += _rule(rule)
        if not rule.checks:
            return steps
    return [*steps, Step(RETURN, _answer(profile.action, profile.error))]


def _rule(rule: Rule) -> list[Step]:
    """Made from its end, so that each check knows how far it is to there."""
    steps = [Step(RETURN, _answer(rule.action, rule.error))]
    for check in reversed(rule.checks):
        steps = [*_check(check, len(steps)), *steps]
    return steps


def _check(check: Check, rest: int) -> list[Step]:
    """Go on where the check holds, else pass by the `rest` that follows. Arguments have 64 bits."""
    low, high = check.value & _WORD, check.value >> 32
    low_at = ARGUMENT_AT + 8 * check.argument
    load_low, load_high = Step(LOAD, low_at), Step(LOAD, low_at + 4)
    if check.op == "SCMP_CMP_MASKED_EQ":
        low_2, high_2 = check.second & _WORD, check.second >> 32
        return [
            load_high,
            Step(AND, high),
            Step(IF_EQUAL, high_2, 0, 3 + rest),
            load_low,
            Step(AND, low),
            Step(IF_EQUAL, low_2, 0, rest),
        ]
    if check.op == "SCMP_CMP_EQ":
        return [load_high, Step(IF_EQUAL, high, 0, 2 + rest), load_low, Step(IF_EQUAL, low, 0, rest)]
    if check.op == "SCMP_CMP_NE":
        return [load_high, Step(IF_EQUAL, high, 0, 2), load_low, Step(IF_EQUAL, low, rest, 0)]
    compare = IF_ABOVE if check.op in ("SCMP_CMP_GT", "SCMP_CMP_LE") else IF_AT_LEAST
    if check.op in ("SCMP_CMP_GT", "SCMP_CMP_GE"):
        return [
            load_high,
            Step(IF_ABOVE, high, 3, 0),
            Step(IF_EQUAL, high, 0, 2 + rest),
            load_low,
            Step(compare, low, 0, rest),
        ]
    return [
        load_high,
        Step(IF_ABOVE, high, 3 + rest, 0),
        Step(IF_EQUAL, high, 0, 2),
        load_low,
        Step(compare, low, rest, 0),
    ]


def _answer(action: str, error: int) -> int:
    return ACTIONS[action] | (error if action in WITH_ERROR else 0)
