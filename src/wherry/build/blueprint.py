"""What an image was built from, kept so that it can be planned once more on another base: the Dockerfile with
its arguments, the configs of its bases, and of each step what the plan does not say: what came in and out.

Nothing that was only lent is in it: no secret, no agent, no proxy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wherry.base import values
from wherry.base.errors import Location, NotFound
from wherry.base.tuples import NamedTuple
from wherry.build import plan as planning
from wherry.build import scope
from wherry.build.definition import Definition
from wherry.build.options import Options
from wherry.build.origins import Wanted
from wherry.build.plan import Plan
from wherry.build.solve import Chain, Outcome
from wherry.build.step import Step, recipe
from wherry.build.times import Times
from wherry.dockerfile import parser
from wherry.oci import config as configs
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci.digest import ChainIds, Digest
from wherry.oci.platform import Platform
from wherry.store.images import Image


class Origin(NamedTuple):
    """An image that the Dockerfile names: what it meant for `platform`, as the text of its config."""

    name: str
    platform: str
    config: str


class Known(NamedTuple):
    """Of one step: the layer that it gave, if any, and what its keys say of what came in."""

    layer: Digest | None
    contents: tuple[str, ...] = ()


class Blueprint(NamedTuple):
    """`name` and `text` are the Dockerfile's; `labels` those of the command; `steps` stand by `identity`.
    `squash`: the layers are one in the image."""

    name: str
    text: str
    arguments: tuple[tuple[str, str], ...]
    target: str
    platform: str
    labels: tuple[tuple[str, str], ...]
    times: Times
    origins: tuple[Origin, ...]
    steps: tuple[tuple[str, Known], ...]
    squash: bool = False

    def planned(self, images: Mapping[tuple[str, Platform], Image]) -> Plan:
        """The plan, where the names of the Dockerfile mean these images. NotFound for one that is missing."""
        dockerfile = parser.parse(self.text.encode("utf-8", "surrogateescape"), self.name)
        platform = platforms.parse(self.platform)
        predefined = scope.of_platform(platform, platforms.host(), self.target)
        arguments = scope.Arguments(dict(self.arguments), predefined)

        def find(name: str, where: Location | None, platform: Platform) -> Image:
            if (name, platform) not in images:
                raise NotFound(
                    f"the image {name} is a new one for this Dockerfile: ONBUILD asks for it", where=where
                )
            return images[name, platform]

        return planning.plan(dockerfile, Wanted(self.target, platform, arguments, find))

    def images(self) -> dict[tuple[str, Platform], Image]:
        """What the names meant when the image was built; only their IDs and configs are of use."""
        return {
            (origin.name, platforms.parse(origin.platform)): _image(origin.config) for origin in self.origins
        }


def _image(config: str) -> Image:
    raw = config.encode("utf-8", "surrogateescape")
    return Image(digests.of(raw), configs.parse(raw), 0, None)


def drawn(
    definition: Definition, options: Options, platform: Platform, given: Mapping[str, str], times: Times
) -> Blueprint:
    """As far as it is known before anything is planned; `given` are the values of build arguments."""
    return Blueprint(
        name=definition.name,
        text=definition.text.decode("utf-8", "surrogateescape"),
        arguments=lasting(given),
        target=options.target,
        platform=str(platform),
        labels=options.labels,
        times=times,
        origins=(),
        steps=(),
        squash=options.squash,
    )


def origins(
    images: Mapping[tuple[str, Platform], Image], raw: Callable[[Digest], bytes]
) -> tuple[Origin, ...]:
    """`raw` gives the bytes of an image's config."""
    return tuple(
        Origin(name, str(platform), raw(image.id).decode("utf-8", "surrogateescape"))
        for (name, platform), image in images.items()
    )


def identity(step: Step, parent: Chain, inputs: Sequence[Chain], times: Times, chains: ChainIds) -> str:
    """What tells a step from the others, in every graph that has it."""
    done = recipe(step.operation, step.platform, times.epoch, times.word)
    stands_on = " ".join(map(chains.of, (parent, *inputs)))
    return hashlib.sha256(f"{done} {stands_on}".encode()).hexdigest()


def known(
    steps: Sequence[Step],
    outcomes: Sequence[Outcome],
    contents: Mapping[int, tuple[str, ...]],
    times: Times,
) -> tuple[tuple[str, Known], ...]:
    """All steps of a build by their identities; `contents` by their numbers."""
    found = []
    chains = ChainIds()
    for step in steps:
        name = identity(step, *below(step, outcomes), times, chains)
        found.append((name, Known(outcomes[step.number].layer, contents.get(step.number, ()))))
    return tuple(found)


def below(step: Step, outcomes: Sequence[Outcome]) -> tuple[Chain, list[Chain]]:
    """The chains that a step stands on: its parent's, and those of its inputs."""
    parent = () if step.parent is None else outcomes[step.parent].chain
    return parent, [outcomes[number].chain for number in step.inputs]


def read(document: Any) -> Blueprint:
    """Corrupt where it is of another form."""
    return values.decode(Blueprint, document)


def lasting(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The build arguments without proxies, whose addresses may have a password."""
    return tuple((name, value) for name, value in given.items() if name not in scope.PREDEFINED)
