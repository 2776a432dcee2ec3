"""What it costs that wherry hears what a RUN looks at: `make bench`, or `PYTHONPATH=tests python -m
bench.observing [NAME ...]` for this alone.

Each step runs in turn with `--cache=exact`, where nothing is heard, and observed: by the compiled listener
and by the Python one. The shortest of its times counts. What it needs is fetched before, so that no network
is timed; where that fails the step is left out.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.measure import Failure
from support import bases, cli, folders
from support.cli import Wherry
from wherry.runtime.init import hearing
from wherry.store.store import Store

_TOOLS = "apt-get install -y --no-install-recommends gcc make libc6-dev"


class Step(NamedTuple):
    """`command` is timed, on what `prepare` leaves; `fill` writes its context."""

    title: str
    base: str
    prepare: str
    command: str
    fill: Callable[[Path], object] = lambda folder: (folder / "app").write_text("1")


def write_program(folder: Path) -> None:
    """A program of 40 files, each with what most include."""
    names = [f"part{number}" for number in range(40)]
    for name in names:
        text = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
        (folder / f"{name}.c").write_text(f'{text}int {name}(void) {{ return puts(getenv("HOME")); }}\n')
    (folder / "main.c").write_text("int main(void) { return 0; }\n")
    objects = " ".join(f"{name}.o" for name in (*names, "main"))
    (folder / "Makefile").write_text(f"app: {objects}\n\tcc -o $@ $^\n")


STEPS = {
    "pip": Step(
        "pip install flask",
        "python:3.11-slim",
        "pip download -q -d /wheels flask",
        "pip install --no-cache-dir --no-index --find-links /wheels flask",
    ),
    "npm": Step(
        "npm ci (express)",
        "node:18-slim",
        "mkdir /app && cd /app && npm install --cache /npm express && rm -r node_modules",
        "cd /app && npm ci --offline --cache /npm",
    ),
    "apt": Step(
        "apt-get install gcc make",
        "debian:bookworm-slim",
        f"apt-get update && {_TOOLS} --download-only",
        f"{_TOOLS} --no-download",
    ),
    "make": Step(
        "make -j2 of 40 C files",
        "debian:bookworm-slim",
        f"apt-get update && {_TOOLS}",
        "make -j2 -C /context",
        write_program,
    ),
    "compileall": Step(
        "compileall of Python's library",
        "python:3.11-slim",
        "",
        "cp -r /usr/lib/python3.11 /lib3 && python -m compileall -q -f /lib3",
    ),
    "shells": Step(
        "500 processes of a shell", "python:3.11-slim", "", "for i in $(seq 500); do /bin/true; done"
    ),
    "copy": Step("cp -r of 1,400 files", "python:3.11-slim", "", "cp -r /usr/lib/python3.11 /copy"),
    "stat": Step(
        "100,000 calls of stat, no work",
        "python:3.11-slim",
        "",
        "python -c 'import os; [os.stat(\"/etc/passwd\") for _ in range(100000)]'",
    ),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    unknown = set(arguments) - set(STEPS)
    if unknown:
        sys.exit(f"bench: no step {', '.join(sorted(unknown))}: there are {', '.join(STEPS)}")
    scratch = Path(tempfile.mkdtemp(prefix="wherry-observing-", dir=folders.fast()))
    try:
        print_table(scratch, 5, arguments or list(STEPS))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def print_table(scratch: Path, repeats: int, names: Sequence[str] = tuple(STEPS)) -> None:
    ways = {"exact": "exact", "observed": "observed"}
    if hearing.load() is not None:
        ways["by Python"] = "observed"
    print(f"{f'OBSERVING A RUN (best of {repeats})':<44}{''.join(f'{way:>20}' for way in ways)}")
    wherry = Wherry(scratch / "observing", scratch / "docker", cli.behind_proxy())
    for name in names:
        step = STEPS[name]
        print(f"{step.title:<44}", end="", flush=True)
        try:
            folder = _prepared(wherry, scratch / name, name, step)
            print(_row(_timed(wherry, folder, ways, repeats)), flush=True)
        except Failure as failure:
            print(f"{'left out':>20}: {failure}")
    print()


def _prepared(wherry: Wherry, folder: Path, name: str, step: Step) -> Path:
    """The context of the step, whose base is made first."""
    with Store.open(str(wherry.root)) as store:
        bases.seed(store, step.base)
    before, context = folder / "before", folder / "context"
    context.mkdir(parents=True)
    before.mkdir()
    image = step.base
    if step.prepare:
        image = f"bench-{name}"
        (before / "Dockerfile").write_text(f"FROM {step.base}\nRUN {step.prepare}\n")
        _build(wherry, before, "--no-cache", "-t", image)
    step.fill(context)
    (context / "Dockerfile").write_text(f"FROM {image}\nCOPY . /context\nRUN {step.command}\n")
    return context


def _timed(wherry: Wherry, folder: Path, ways: Mapping[str, str], repeats: int) -> dict[str, float]:
    """Seconds, in turn: what else the machine does meets all of them."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, cache in ways.items():
            listener = {"WHERRY_LISTENER": "python"} if way == "by Python" else {}
            found[way].append(_build(wherry, folder, "--no-cache", "--cache", cache, environment=listener))
    return {way: min(times) for way, times in found.items()}


def _build(wherry: Wherry, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> float:
    """The seconds of its RUN."""
    done = wherry("build", "--progress", "rawjson", *words, folder, env=environment)
    events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    if done.code:
        lines = [line for line in done.err.splitlines() if line and not line.startswith("{")]
        raise Failure(lines[0] if lines else f"exit code {done.code}")
    (step,) = (event["vertex"] for event in events if "] RUN " in event.get("name", ""))
    seconds: float = next(
        event["seconds"] for event in events if event["event"] == "done" and event["vertex"] == step
    )
    return seconds


def _row(times: Mapping[str, float]) -> str:
    exact = times["exact"]
    return "".join(
        f"{seconds:>13.2f} s{'' if way == 'exact' else f'{seconds / exact - 1:>+5.0%}':>5}"
        for way, seconds in times.items()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
