"""Finding a build that is kept, and a step in it, by the words of a user."""

from __future__ import annotations

import re

from wherry.base import values
from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.build import account, document
from wherry.build.account import BASE, EXACT, EXECUTED, OBSERVED
from wherry.build.kept import CACHED, DONE, FAILED, Build, Place
from wherry.oci import reference as references
from wherry.oci.reference import Reference
from wherry.store.builds import Builds, Kept

_STATES = {EXECUTED: DONE, EXACT: CACHED, OBSERVED: CACHED, BASE: CACHED, account.FAILED: FAILED}
_LABEL = re.compile(r"\[((?:(.+) )?([0-9]+)/[0-9]+)\] ")
_VERTEX = re.compile(r"#([0-9]{1,6})")


def build_of(kept: Kept) -> Build:
    build = values.decode(Build, document.whole(kept.document))
    results = [step.get("result") for step in kept.account.get("steps", ())]
    if len(results) != len(build.places):
        return build
    places = zip(build.places, map(_STATES.get, results), strict=True)
    return build._replace(places=tuple(place._replace(state=state or "") for place, state in places))


def label(place: Place) -> str:
    """`builder 2/5` of `[builder 2/5] RUN make`; empty for what is no step of the user's."""
    found = _LABEL.match(place.name)
    return found[1] if found else ""


def instruction(place: Place) -> str:
    """`RUN make` of `[builder 2/5] RUN make`."""
    found = _LABEL.match(place.name)
    return place.name[found.end() :] if found else place.name


def pick(builds: Builds, text: str, *, failed: bool) -> Kept:
    """The build with the ID or beginning of one, or the last one of the image `text`. "" is the last one, of
    those that `failed` where that is asked for. Raises NotFound."""
    found = builds.all()
    if not text:
        found = [kept for kept in found if kept.failed or not failed]
    elif any(kept.id.startswith(text) for kept in found):
        return builds.find(text)
    else:
        found = [kept for kept in found if _is_of(build_of(kept), text)]
    if found:
        return found[0]
    if text:
        raise NotFound(f"no such build: {text}", hint="`wherry debug --ls -a` lists those that are kept")
    what = "failed step" if failed else "build"
    raise NotFound(f"no {what} is kept", hint="the last ones are kept until `wherry prune`")


def step(build: Build, text: str) -> int:
    """The number of the step that progress shows as `[builder 2/5]`, by `builder 2/5`, `builder 2`, or `2`
    where one stage alone has it; or by `#7`, its number in plain progress. "" is the failed one."""
    if not text:
        if build.failure is None:
            raise UsageError("no step of this build failed", hint="choose one: --step N")
        return build.failure.number
    if vertex := _VERTEX.fullmatch(text):
        numbers = [number for number in range(len(build.places)) if number + 1 == int(vertex[1])]
    else:
        numbers = [number for number, place in enumerate(build.places) if _is_named(place, text)]
    if len(numbers) == 1:
        return numbers[0]
    labels = [label(build.places[number]) for number in numbers or range(len(build.places))]
    known = ", ".join(filter(None, labels))
    if numbers:
        raise UsageError(f"several stages have a step {text}", hint=f"write one of: {known}")
    raise NotFound(f"there is no step {text}", hint=f"the steps are {known}")


def _is_named(place: Place, text: str) -> bool:
    found = _LABEL.match(place.name)
    if found is None:
        return False
    whole, stage, number = found.groups()
    return " ".join(text.replace(":", " ").split()) in (whole, number, f"{stage} {number}")


def _is_of(build: Build, text: str) -> bool:
    if build.image and (build.image == text or build.image.partition(":")[2].startswith(text)):
        return True
    try:
        wanted: Reference = references.parse(text).with_default_tag()
    except WherryError:
        return False
    return str(wanted) in build.names
