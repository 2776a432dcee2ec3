"""What `wherry explain` prints, for every reason there is, and for names that mean harm."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from wherry.base.errors import Location
from wherry.build import account as accounts
from wherry.build.account import Account, Change, Difference, Went
from wherry.build.explain import Explained, Explanation, Why
from wherry.build.kept import Build, Place
from wherry.build.reads import Read, Reads, Unused
from wherry.build.step import Run
from wherry.ui import explained

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "explain.json").read_bytes())

CAUSES = (
    *(accounts.NEW, accounts.FILES, accounts.UNOBSERVED, accounts.REFUSED),
    *(accounts.REMOVED, accounts.LOST, accounts.FAILED_BEFORE, accounts.OTHER_MODE),
)
HARM = "a\x1b[31m\x07\nb\udcff\u202e"
PLACE = Place("[1/1] RUN x", Location("Dockerfile", 2, 2), "linux/amd64", Run((), (), "", "/"), kind="Run")


EXECUTED = Went(accounts.EXECUTED, 1.5)


def explanation(why: Why | None, place: Place = PLACE, went: Went = EXECUTED, **more: object) -> Explanation:
    build = Build(".", "", (), (place,), image="sha256:x")
    step = Explained(0, place, went, why)._replace(**more)  # type: ignore[arg-type]
    return Explanation("0" * 12, 0.0, build, Account(2, (went,)), (step,))


def valid(found: Explanation) -> str:
    """Its text; its document is what the schema says."""
    document = json.loads(json.dumps(explained.document(found), ensure_ascii=False).encode())
    jsonschema.validate(document, SCHEMA)
    return explained.text(found)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_told(cause: str) -> None:
    text = valid(explanation(Why(cause, "the reason" if cause == accounts.REFUSED else "")))
    line, reason = text.splitlines()[-2:]
    assert line == "EXECUTED                1.5 s  [1/1] RUN x"
    assert len(reason.split()) > 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change("ENV", "A", "1", "2"), "ENV A: 1 -> 2"),
        (Change("ENV", "A", None, "2"), "ENV A is new: 2"),
        (Change("ENV", "A", "1", None), "ENV A is gone; it was 1"),
        (Change("USER", "", "", "me"), 'USER: "" -> me'),
        (Change("here-document"), "here-document is other"),
        (Change("instruction", "", "RUN a", "RUN b"), "the instruction itself; it was RUN a"),
        (Change("ENV", "A", "x" * 300, "2"), f"ENV A: {'x' * 199}… -> 2"),
    ],
)
def test_what_of_a_step_is_other(change: Change, text: str) -> None:
    found = valid(explanation(Why(accounts.NEW, changes=(change,))))
    assert found.splitlines()[-1].strip() == text


def test_no_name_reaches_the_terminal_as_it_is() -> None:
    place = PLACE._replace(name=f"[1/1] RUN {HARM}")
    whys = (
        Why(accounts.DIFFERS, differences=(Difference(HARM, ("content",)),), more=1),
        Why(accounts.NEW, changes=(Change("ENV", HARM, HARM, HARM),)),
        Why(accounts.UNOBSERVED, HARM, below=(HARM,)),
        Why(accounts.REFUSED, HARM),
    )
    reads = (Reads(1, (Read(HARM, ("content",)),)), Reads(1, None, HARM))
    unused = (
        Unused(0, 1, (HARM,), folders=((HARM, 1),)),
        Unused(0, 1, needs_all=(0,)),
        Unused(0, unknown="gone"),
    )
    for why in whys:
        for looked in reads:
            went = Went(accounts.EXECUTED, 1, unobserved=HARM)
            found = explanation(why, place, went, reads=looked)
            build = found.build._replace(context=HARM)
            text = valid(found._replace(build=build, unused=unused))
            assert not any(mark in text for mark in "\x1b\x07\u202e\udcff")
            assert all(line == "" or line.isprintable() for line in text.split("\n"))


def test_lines_that_name_a_step_are_cut_and_coloured_on_a_terminal() -> None:
    found = explanation(Why(accounts.NEW), PLACE._replace(name="[1/1] RUN " + "x" * 100))
    text = explained.text(found, color=True, columns=60)
    (line,) = [line for line in text.splitlines() if "RUN" in line]
    assert line.startswith("\x1b[33mEXECUTED ")
    assert len(line) == 60 + len("\x1b[33m\x1b[0m")
