"""`--no-cache-filter`: the steps of some stages are executed, all others use the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import cli
from support.cli import Wherry
from support.progress import words

DOCKERFILE = """\
FROM busybox AS Base
RUN echo base {0}
FROM base AS one
RUN echo shared {0}
RUN echo one {0}
FROM base AS two
RUN echo shared {0}
RUN echo two {0}
FROM one
COPY --from=two /etc/passwd /
RUN echo last {0}
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return cli.write_files(tmp_path / "context", {"Dockerfile": DOCKERFILE.format(tmp_path)})


@pytest.mark.parametrize(
    ("options", "executed"),
    [
        ((), set()),
        (("base",), {"base"}),
        (("BASE",), {"base"}),
        (("one",), {"shared", "one"}),
        (("two",), {"shared", "two"}),
        (("one,two",), {"shared", "one", "two"}),
        (("one", "two,Base"), {"base", "shared", "one", "two"}),
        (("0",), {"base"}),
        (("3",), {"COPY", "last"}),
    ],
)
def test_the_steps_of_these_stages_are_executed(
    shared: Wherry, context: Path, options: tuple[str, ...], executed: set[str]
) -> None:
    shared.ok("build", context)
    found = words(shared, context, *(f"--no-cache-filter={option}" for option in options))
    assert {
        text.removeprefix("RUN echo ").partition(" ")[0] for text, word in found.items() if word == "DONE"
    } == executed


def test_a_stage_that_is_not_built_may_be_named(shared: Wherry, context: Path) -> None:
    assert words(shared, context, "--target=one", "--no-cache-filter=two")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tow", "did you mean two?"), ("4", "stages: base, one, two"), ("", "stages: base, one, two")],
)
def test_an_unknown_stage_is_refused(shared: Wherry, context: Path, name: str, hint: str) -> None:
    result = shared("build", f"--no-cache-filter=one,{name}", context)
    assert result.code == 1
    assert f"error: --no-cache-filter: there is no stage {name!r}\nhint: {hint}\n" in result.err
