"""One graph for several platforms: what is the same is there once, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import Location, NotFound, WherryError
from wherry.build import scope
from wherry.build.origins import Wanted
from wherry.build.plan import Aim, Plan, plan
from wherry.build.step import Base, Copy, Run, Step
from wherry.dockerfile.parser import parse
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.platform import Platform
from wherry.store.images import Image

AMD64, ARM64, ARM = (platforms.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm/v7"))

CROSS = """FROM --platform=$BUILDPLATFORM base AS tools
RUN install compilers
FROM tools AS build
ARG TARGETARCH
RUN compile for $TARGETARCH
FROM base
COPY --from=build /out /out
"""


def find(name: str, where: Location | None, platform: Platform) -> Image:
    """Every platform has an image of its own, but for `amd64-only`."""
    if name == "amd64-only" and platform != AMD64:
        raise NotFound(f"no {name}", where=where)
    layer = digests.of(f"{name} {platform}".encode())
    return Image(layer, ImageConfig(platform, Execution(env=(f"BASE={platform}",)), (layer,)), 0, None)


def planned(text: str, *wanted: Platform, **arguments: str) -> Plan:
    return plan(
        parse(text),
        *(
            Wanted(
                "",
                platform,
                scope.Arguments(arguments, scope.of_platform(platform, AMD64, "")),
                find,
                is_one_of_several=len(wanted) > 1,
            )
            for platform in wanted
        ),
    )


def test_steps_that_are_the_same_are_there_once() -> None:
    found = planned(CROSS, AMD64, ARM64, ARM)
    assert [step.name for step in found.steps] == [
        "[linux/amd64 tools 1/2] FROM base",
        "[linux/amd64 tools 2/2] RUN install compilers",
        "[linux/amd64 build 2/2] RUN compile for $TARGETARCH",
        "[linux/amd64 stage-2 2/2] COPY --from=build /out /out",
        "[linux/amd64->arm64 build 2/2] RUN compile for $TARGETARCH",
        "[linux/arm64 stage-2 1/2] FROM base",
        "[linux/arm64 stage-2 2/2] COPY --from=build /out /out",
        "[linux/amd64->arm/v7 build 2/2] RUN compile for $TARGETARCH",
        "[linux/arm/v7 stage-2 1/2] FROM base",
        "[linux/arm/v7 stage-2 2/2] COPY --from=build /out /out",
    ]
    assert [(aim.platform, aim.last) for aim in found.aims] == [(AMD64, 3), (ARM64, 6), (ARM, 9)]
    assert [aim.execution.env for aim in found.aims] == [
        (f"BASE={platform}",) for platform in (AMD64, ARM64, ARM)
    ]


def test_one_platform_is_not_shown() -> None:
    found = planned(CROSS, ARM64)
    assert [step.name for step in found.steps][-1] == "[stage-2 2/2] COPY --from=build /out /out"


def test_an_error_names_the_platform() -> None:
    with pytest.raises(WherryError, match=r"no amd64-only \(for linux/arm64\)") as caught:
        planned("FROM amd64-only\n", AMD64, ARM64)
    assert caught.value.where == Location("Dockerfile", 1, 1)
    with pytest.raises(WherryError, match=r"wanted \(for linux/amd64\)") as caught:
        planned("FROM base\nCOPY ${A:?wanted} /\n", AMD64, ARM64)
    assert caught.value.excerpt


def test_an_index_has_one_image_for_each_platform() -> None:
    text = "FROM base AS a\nFROM --platform=linux/amd64 base\nCOPY --from=a / /\n"
    with pytest.raises(WherryError, match="for linux/amd64 and linux/arm64 would both be for linux/amd64"):
        planned(text, AMD64, ARM64)


def test_an_argument_is_unused_where_no_platform_uses_it() -> None:
    text = "ARG ONLY=x\nFROM base AS amd64\nARG A\nFROM base AS arm64\nARG B\nFROM $TARGETARCH\nRUN x\n"
    assert planned(text, AMD64, ARM64, A="1", B="2", C="3").unused_arguments == ("C",)
    assert planned(text, AMD64, A="1", B="2", C="3").unused_arguments == ("B", "C")


STAGES = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "base",
                "other",
                "scratch",
                "s0",
                "s1",
                "--platform=$BUILDPLATFORM base",
                "--platform=$TARGETPLATFORM base",
            )
        ),
        st.lists(
            st.sampled_from(
                (
                    "RUN a",
                    "RUN b",
                    "ARG TARGETARCH",
                    "ARG BUILDARCH",
                    "ARG TARGETPLATFORM",
                    "ENV A=$TARGETARCH",
                    "COPY a b",
                    "COPY --from=s0 a b",
                    "COPY --from=other a b",
                    "WORKDIR /$TARGETARCH",
                    "RUN --mount=from=s1,target=/m c",
                    "USER u",
                )
            ),
            max_size=5,
        ),
    ),
    min_size=1,
    max_size=4,
)


def whole(steps: Sequence[Step], number: int) -> object:
    """What a step is, with all that it stands on: nothing that names its place in a graph."""
    step = steps[number]
    operation = step.operation
    if isinstance(operation, Copy):
        operation = operation._replace(source=None)
    parent = None if step.parent is None else whole(steps, step.parent)
    return operation, parent, tuple(whole(steps, other) for other in step.inputs), step.platform


def image(found: Plan, aim: Aim) -> object:
    history = [
        (line.text, None if line.step is None else whole(found.steps, line.step)) for line in aim.history
    ]
    return whole(found.steps, aim.last), history, aim._replace(last=0, history=())


@given(STAGES, st.permutations((AMD64, ARM64, ARM)), st.integers(1, 3))
def test_each_platform_gets_what_it_gets_alone(
    stages: list[tuple[str, list[str]]], order: list[Platform], count: int
) -> None:
    """And no two steps of the graph are equal."""
    lines = []
    for number, (base, instructions) in enumerate(stages):
        lines += [f"FROM {base} AS s{number}", *instructions]
    lines += ["FROM base", *(f"COPY --from=s{number} / /{number}" for number in range(len(stages)))]
    text = "\n".join(lines) + "\n"
    wanted = order[:count]
    try:
        alone = [planned(text, platform) for platform in wanted]
    except WherryError:
        return  # a stage that is none, or comes later
    together = planned(text, *wanted)
    assert [image(together, aim) for aim in together.aims] == [image(each, each.aims[0]) for each in alone]
    seen = [whole(together.steps, number) for number in range(len(together.steps))]
    assert len(seen) == len(set(seen))
    assert [step.number for step in together.steps] == list(range(len(together.steps)))
    for step in together.steps:
        assert all(
            other < step.number for other in (*step.inputs, *(() if step.parent is None else (step.parent,)))
        )
        if isinstance(step.operation, Run | Base):
            assert platforms.parse(step.platform) in (AMD64, *wanted)
