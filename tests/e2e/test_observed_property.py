"""Whatever is edited: what is built on from before is what is built from nothing.

Random commands look at, move, link and change random files of a context, which is edited at random between
builds. Every layer has to be the same as in a store that has never seen the project.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support import busybox, folders
from support.cli import Wherry
from wherry.store.store import Store

NAMES = ("a", "b", "d/a", "d/b", "d/e/a", "f", "l", "d/l")
paths = st.sampled_from((*NAMES, "d", "d/e", "l/a", "d/l/a", "."))
COMMANDS = (
    "cat {0}",
    "cat /app/{0} /app/{1}",
    "ls -1 {0}",
    "ls -1R /app/{0}",
    "find {0} -type f | sort",
    "find . -name a | sort",
    "test -e {0} && echo there",
    "test -d {0} && echo folder",
    "test -x {0} && echo program",
    "stat -c %a {0}",
    "readlink {0}",
    "readlink -f {0}",
    "sh {0}",
    "./{0}",
    "grep -r 1 {0} | sort",
    "cd {0} && cat ../{1}",
    "cd {0} && ls",
    "cp -r {0} /out/{1}",
    "cp -a {0} /out/copy",
    "mv {0} /out/moved",
    "mv {0} {1}",
    "ln -s {0} /out/link && cat /out/link/a",
    "ln -s /app/{0} /out/link && cat /out/link",
    "ln {0} /out/hard && cat /out/hard",
    "rm -rf {0}",
    "rmdir {0}",
    "mkdir -p {0} && touch {0}/new",
    "echo more >> {0}",
    "echo new > {0}",
    "chmod 700 {0}",
    "tar cf - {0} | tar xf - -C /out",
    "mkdir /r && cp /bin/busybox /r/sh && cp {0} /r/x && chroot /r /sh cat x",
    "cat /proc/self/cwd/{0}",
    "exec 3< {0} && cat /dev/fd/3",
    "test -f {0} && sed -i s/1/2/ {0}",
    "for x in *; do echo $x; done",
    "for x in {0}/*; do cat $x; done",
    "cat < {0} > /out/x; mv /out/x {1}",
)
commands = st.tuples(st.sampled_from(COMMANDS), paths, paths).map(lambda item: item[0].format(*item[1:]))
runs = st.lists(commands, min_size=1, max_size=3)
edits = st.tuples(st.sampled_from(("write", "remove", "link", "mode", "script", "folder")), paths, paths)


def dockerfile(steps: Sequence[Sequence[str]], user: str) -> str:
    lines = ["FROM busybox", "RUN mkdir -m 777 /out", "WORKDIR /app", "COPY . .", f"USER {user}"]
    for number, step in enumerate(steps):
        told = "; ".join(f"( {command} ) >> /out/{number}-{at} 2>&1" for at, command in enumerate(step))
        lines.append(f"RUN {told}; true")
    return "\n".join(lines) + "\n"


def edit(context: Path, kind: str, name: str, other: str) -> None:
    """Whatever of it can be done."""
    path = context / name
    try:
        if kind == "remove" and path.is_dir() and not path.is_symlink() and path != context:
            shutil.rmtree(path)
        elif kind == "remove":
            path.unlink()
        elif kind == "link":
            path.symlink_to(other)
        elif kind == "mode":
            path.chmod(0o600 if path.stat().st_mode & 0o100 else 0o755)
        elif kind == "folder":
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"echo 1; cat /app/{other}\n" if kind == "script" else f"1{other}\n")
    except OSError:
        pass


def layers(wherry: Wherry, context: Path, *more: str) -> list[str]:
    name = wherry.ok("build", "-q", *more, context).strip()
    found: list[str] = json.loads(wherry.ok("inspect", "--format", "{{json .RootFS.Layers}}", name))
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wherry, Wherry]:
    """Where builds go on, and where they begin anew."""
    made = []
    for name in ("used", "fresh"):
        scratch = tmp_path_factory.mktemp(name)
        with Store.open(str(scratch / "wherry")) as store:
            busybox.put(str(store.root), "busybox")
        made.append(Wherry(scratch / "wherry", scratch / "docker"))
    return made[0], made[1]


@pytest.mark.needs("root")
@settings(
    max_examples=int(os.environ.get("WHERRY_TEST_EXAMPLES", "12")),
    deadline=None,
    # A smaller example takes minutes to find; the log of a build tells enough.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(edits, min_size=3, max_size=10),
    st.lists(st.lists(edits, min_size=1, max_size=2), min_size=1, max_size=3),
    st.lists(runs, min_size=1, max_size=3),
    st.sampled_from(("0", "1000:1000")),
)
def test_a_build_that_goes_on_gives_what_a_build_from_nothing_gives(
    stores: tuple[Wherry, Wherry],
    first: list[tuple[str, str, str]],
    later: list[list[tuple[str, str, str]]],
    steps: list[list[str]],
    user: str,
) -> None:
    used, fresh = stores
    context = Path(tempfile.mkdtemp(dir=folders.fast()))
    try:
        (context / "Dockerfile").write_text(dockerfile(steps, user))
        (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
        for changes in (first, *later):
            for change in changes:
                edit(context, *change)
            assert layers(used, context) == layers(fresh, context, "--no-cache")
    finally:
        shutil.rmtree(context)
