"""The graph of a build's steps, as planning makes it."""

from __future__ import annotations

from wherry.base.errors import Location
from wherry.build.step import Operation, Scene, Step


class Graph:
    """Steps as they are added; a step that is there already, on the same parent, is not added again."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._numbers: dict[tuple[Operation, int | None, tuple[int, ...], str], int] = {}

    def add(
        self,
        operation: Operation,
        parent: int | None,
        inputs: tuple[int, ...],
        name: str,
        where: Location | None,
        stage: str,
        platform: str,
        scene: Scene = Scene(),  # noqa: B008 - a value that never changes
    ) -> int:
        key = (operation, parent, inputs, platform)
        if key not in self._numbers:
            number = len(self.steps)
            self._numbers[key] = number
            self.steps.append(Step(number, operation, parent, inputs, name, where, stage, platform, scene))
        return self._numbers[key]
