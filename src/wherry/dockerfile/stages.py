"""What the stages of a file are called, and which of them a target needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from wherry.dockerfile.instructions import Copy, Instruction, Run
from wherry.dockerfile.values import stage_number


class StageNames:
    """Stages by name, in the order of the file; of two with one name the last one before its use counts."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names` are lower case, "" for a stage that has none."""
        self._numbers: dict[str, list[int]] = {}
        self._count = 0
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        if name:
            self._numbers.setdefault(name, []).append(self._count)
        self._count += 1

    def named(self, name: str, before: int) -> int:
        """What FROM may say in the stage `before`; -1 where no earlier stage is called `name`."""
        numbers = self._numbers.get(name.lower(), ())
        position = bisect_left(numbers, before)
        return numbers[position - 1] if position else -1

    def source(self, name: str, before: int) -> int:
        """What `--from` may say: the number of an earlier stage too."""
        number = stage_number(name, before)
        return number if number >= 0 else self.named(name, before)

    def too_late(self, name: str, before: int) -> int:
        """The stage that `--from` means in vain, because it does not come earlier: -1 where there is none.

        It may be the stage itself.
        """
        number = stage_number(name, self._count)
        numbers = (number,) if number >= 0 else self._numbers.get(name.lower(), ())
        return next((number for number in numbers if number >= before), -1)

    def called(self, name: str) -> tuple[int, ...]:
        """All stages that a word of the command line may mean: by their name, else by their number."""
        number = stage_number(name, self._count)
        return tuple(self._numbers.get(name.lower(), ())) or ((number,) if number >= 0 else ())

    def target(self, name: str) -> int:
        """What `--target` may say; "" is the last stage. -1 where there is none."""
        if not name:
            return self._count - 1
        found = self.named(name, self._count)
        return found if found >= 0 else stage_number(name, self._count)


def needed(
    target: int,
    parent: Callable[[int], int],
    instructions: Callable[[int], Sequence[Instruction]],
    names: StageNames,
) -> set[int]:
    """The numbers of the stages that `target` is made of, its own too.

    `parent` is the stage that a stage stands on, or -1.
    """
    found: set[int] = set()
    pending = [target]
    while pending:
        number = pending.pop()
        if number < 0 or number in found:
            continue
        found.add(number)
        pending.append(parent(number))
        for instruction in instructions(number):
            pending += [names.source(origin, number) for origin in origins(instruction)]
    return found


def origins(instruction: Instruction) -> list[str]:
    """What the `from` options of an instruction name: stages, and what is none."""
    if isinstance(instruction, Copy):
        return [instruction.origin] if instruction.origin else []
    if isinstance(instruction, Run):
        return [mount.origin for mount in instruction.mounts if mount.origin]
    return []
