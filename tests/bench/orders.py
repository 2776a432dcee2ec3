"""What the order of a Dockerfile's instructions costs: the lesson that every guide teaches, measured.

The good order copies the list of dependencies, installs them, and copies the rest; the bad one copies all
first. Each is built from nothing, and then again after edits of three kinds. Python and Node install packages
from their registries; C compiles a library that its program uses, and needs no network for that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from bench.builders import Builder
from bench.measure import Failure, Sample, run
from bench.table import Case, print_head, print_row
from support.cli import COMMAND, behind_proxy

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

_NUMBERS = count(1)
"""No edit is one that was there before: a result from then would hold again."""


class Project(NamedTuple):
    """`base` is a name in the registry, and `tools` an instruction that adds to it what the project needs.

    `edits` are files by what they are called, with their text for a number.
    """

    name: str
    base: str
    tools: str
    good: str
    bad: str
    files: dict[str, str]
    edits: dict[str, tuple[str, Callable[[int], str]]]


def _readme(number: int) -> str:
    return f"# Project\n\nEdited {number} times.\n"


PYTHON = Project(
    name="Python (pip install flask)",
    base="python:3.11-slim",
    tools="",
    good="COPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\nCOPY . .\n",
    bad="COPY . .\nRUN pip install --no-cache-dir -r requirements.txt\n",
    files={"lib/helper.py": "def help() -> None: ...\n", ".dockerignore": ".git\n"},
    edits={
        "app code": ("app.py", lambda number: f"import flask\n\nprint({number}, flask)\n"),
        "dependencies": (
            "requirements.txt",
            lambda number: f"flask==3.0.3\nclick!=1.{number}\n",
        ),
        "README": ("README.md", _readme),
    },
)
NODE = Project(
    name="Node (npm install express)",
    base="node:18-slim",
    tools="",
    good="COPY package.json .\nRUN npm install --no-audit --no-fund\nCOPY . .\n",
    bad="COPY . .\nRUN npm install --no-audit --no-fund\n",
    files={"lib/helper.js": "module.exports = () => 1\n"},
    edits={
        "app code": ("app.js", lambda number: f"console.log({number}, require('express'))\n"),
        "dependencies": (
            "package.json",
            lambda number: f'{{"dependencies": {{"express": "4.19.2", "ms": ">=2.0.0 <9.0.{number}"}}}}\n',
        ),
        "README": ("README.md", _readme),
    },
)
C = Project(
    name="C (make)",
    base="debian:bookworm-slim",
    tools="RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make",
    good="COPY lib lib\nRUN make -C lib\nCOPY . .\nRUN make\n",
    bad="COPY . .\nRUN make -C lib\nRUN make\n",
    files={
        "Makefile": "app: app.c lib/all.a\n\tcc -O2 -o app app.c lib/all.a\n",
        "lib/Makefile": "all.a: $(patsubst %.c,%.o,$(wildcard *.c))\n\tar rcs $@ $^\n%.o: %.c\n\tcc -c $<\n",
        **{f"lib/part{n}.c": f"int part{n}(int x) {{ return x * {n}; }}\n" for n in range(40)},
    },
    edits={
        "app code": ("app.c", lambda n: f"int part7(int);\nint main(void) {{ return part7({n}) == 1; }}\n"),
        "dependencies": ("lib/version.c", lambda number: f"int version = {number};\n"),
        "README": ("README.md", _readme),
    },
)


def print_tables(builders: Sequence[Builder], registry: str, scratch: Path, repeats: int) -> None:
    for project in (PYTHON, NODE, C):
        try:
            base = _prepared(project, registry, scratch / f"orders-{project.base.partition(':')[0]}")
        except Failure as failure:
            print(f"{project.name}: left out, its base cannot be made: {failure}\n")
            continue
        print_head(project.name.upper(), builders)
        for order, instructions in (("good", project.good), ("bad", project.bad)):
            folder = scratch / f"orders-{project.base.partition(':')[0]}-{order}"
            _write(folder, project, f"FROM {base}\nWORKDIR /app\n{instructions}")
            print_row(Case(f"{order} order, from nothing", _cold(folder, base, repeats)), builders)
            for what, (path, text) in project.edits.items():
                case = Case(f"{order} order, {what} edited", _edited(folder / path, text, folder, repeats))
                print_row(case, builders)
        print()


def _prepared(project: Project, registry: str, folder: Path) -> str:
    """The project's base with its tools, and with this machine's certificates where it has its own."""
    name = f"{registry}/bench/{project.base}"
    folder.mkdir()
    lines = [f"FROM {registry}/{project.base}"]
    if proxy := behind_proxy():
        (folder / "ca.crt").write_bytes(Path(os.environ.get("SSL_CERT_FILE", _CERTIFICATES)).read_bytes())
        lines += [
            f"COPY ca.crt {_CERTIFICATES}",
            f"ENV PIP_CERT={_CERTIFICATES} NODE_EXTRA_CA_CERTS={_CERTIFICATES}",
        ]
    (folder / "Dockerfile").write_text("\n".join([*lines, project.tools, "WORKDIR /app\n"]))
    environment = {"WHERRY_ROOT": str(folder / "store")} | proxy
    run([*COMMAND, "build", "-q", "-t", name, str(folder)], environment)
    run([*COMMAND, "push", "-q", name], environment)
    return name


def _write(folder: Path, project: Project, dockerfile: str) -> None:
    edited = {path: text(0) for path, text in project.edits.values()}
    for path, text in (project.files | edited | {"Dockerfile": dockerfile}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _cold(folder: Path, base: str, repeats: int) -> Callable[[Builder], Iterator[Sample]]:
    def samples(builder: Builder) -> Iterator[Sample]:
        for _ in range(repeats):
            builder.reset(base)
            yield builder.build(folder)

    return samples


def _edited(
    path: Path, text: Callable[[int], str], folder: Path, repeats: int
) -> Callable[[Builder], Iterator[Sample]]:
    def samples(builder: Builder) -> Iterator[Sample]:
        builder.build(folder)
        for _ in range(repeats):
            path.write_text(text(next(_NUMBERS)))
            yield builder.build(folder)

    return samples
