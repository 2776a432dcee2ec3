"""Files of a size that nobody writes by hand take time in proportion to it, in parsing, lint and planning."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from fuzz.targets import TARGETS
from support.linear import assert_linear

NOISE = random.Random(1).randbytes(1_000_000)


def _repeated(text: str) -> Callable[[int], str]:
    return lambda n: "FROM base AS x\n" + text * n


def _each(make: Callable[[int], str]) -> Callable[[int], str]:
    return lambda n: "FROM base AS x\n" + "".join(map(make, range(n)))


MANY: dict[str, Callable[[int], str]] = {
    "steps": _repeated("RUN true\n"),
    "copies": _repeated("COPY --from=x a b\n"),
    "variables": _each(lambda i: f"ENV a{i}=1\nLABEL b=$a{i}\n"),
    "undefined variables": _each(lambda i: f"LABEL b=$a{i}\n"),
    "arguments": _each(lambda i: f"ARG password{i}=$a{i}\n"),
    "global arguments": lambda n: "".join(f"ARG a{i}=$a\n" for i in range(n)) + "FROM base\n",
    "triggers": _repeated("ONBUILD RUN x\n"),
    "ports": _each(lambda i: f"EXPOSE {i}\n"),
    "stages": _each(lambda i: f"FROM x AS x\nCOPY --from={i} a b\n"),
    "names": _each(lambda i: f"FROM base AS x{i}\n"),
    "users": _repeated("USER a\nCMD x\nENTRYPOINT y\n"),
    "casings": _repeated("run x\nRUN x\n"),
    "continuations": lambda n: "FROM base\nRUN a" + " \\\n b" * n,
    "blank continuations": _repeated("RUN x \\\n\n y\n"),
    "heredocs": lambda n: (
        "FROM base\nRUN cat"
        + "".join(f" <<E{i}" for i in range(n))
        + "".join(f"\nx\nE{i}" for i in range(n))
        + "\n"
    ),
    "unfinished heredocs": _repeated("RUN <<E\n"),
    "nested variables": _repeated("LABEL x=" + "${a:-" * 20 + "}" * 20 + "\n"),
    "commands": lambda n: "FROM base\nRUN " + "cd /x; curl x | sh;" * n,
    "substitutions": lambda n: "FROM base\nRUN " + "$(" * n + ")" * n,
    "words": lambda n: "FROM base\nRUN " + "a " * n + "\nENV " + "a=b " * n,
    "checks": lambda n: "# check=skip=" + "a," * n + "\nFROM base\n" + "# check=skip=a\nRUN x\n" * n,
}


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("target", ["lint", "planned"])
def test_time_is_linear(target: str, kind: str) -> None:
    assert_linear(lambda size: TARGETS[target](MANY[kind](size).encode()), 250)


HUGE: dict[str, bytes] = {
    "a line": b"FROM base\nRUN " + b"x" * 1_000_000,
    "instructions": b"FROM base\n" + b"RUN x\n" * 100_000,
    "continuations": b"FROM base\nRUN a" + b" \\\n b" * 100_000,
    "unfinished continuations": b"FROM base\nRUN a" + b" \\\n b" * 100_000 + b" \\",
    "a heredoc": b"FROM base\nCOPY <<E /a\n" + b"$a \\\n" * 100_000 + b"E\n",
    "an unfinished heredoc": b"FROM base\nCOPY <<E /a\n" + b"x\n" * 100_000,
    "nested words": b"FROM base\nLABEL a=" + b"${a:-" * 100_000 + b"}" * 100_000,
    "noise": NOISE,
    "noise behind a FROM": b"FROM base\nRUN " + NOISE,
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_megabyte_or_a_hundred_thousand_lines_take_seconds_at_most(kind: str) -> None:
    """What is not linear takes hours."""
    began = time.process_time()
    TARGETS["typed"](HUGE[kind])
    assert time.process_time() - began < 20
