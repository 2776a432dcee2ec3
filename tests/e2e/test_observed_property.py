"""Whatever is edited: what is built on from before is what is built from nothing.

Random instructions copy and mount random files of a context and of another stage, and random commands look
at, move, link and change them. The context is edited at random between builds, and at times put back to what
it was; now and then what it was is built at the same time. Every layer and the image's config have to be the
same as in a store that has never seen the project, and as in one that only has the cache of a build before.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support import busybox, folders, foreign
from support.cli import Wherry
from wherry.oci.platform import Platform

Edit = tuple[str, str, str]
Instruction = tuple[Any, ...]

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
    "mkdir -p new && cd new && cat ../{0}",
    "mkdir -p /out/m && cd /out/m && cat ../../app/{0}",
    "cd {0} && find .. -name b | sort",
    "ln -s /app/{0} /out/n && mv /out/n /out/o && cat /out/o/a /out/o",
    "mv {0} /app/m; cat /app/m/a /app/m",
    "mkdir -p m && mv m {0}; ls m {0}",
    "rm -rf {0}; mkdir {0}; ls {0}; cat {0}/../{1}",
    "cp -rl {0} /out/links; cat {1}",
    "ln {0} {1}; echo more >> {1}; cat {0}",
    "truncate -s 1 {0}; chmod 600 {1}",
    "chown 7:7 {0}; chown -h 7:7 {1}",
    "touch {0}; touch -h {1}",
    "readlink /proc/self/cwd; ls /proc/self/cwd/{0}",
    "cd {0} && rmdir /app/{0} && cat ../{1}",
    "exec < {0}; cat; cat /dev/stdin",
    "ls /src/{0}; cat /src/{1}",
    "cp -r /src/{0} /out/src; cat /src/d/a",
    "mv /src/{0} /src/m; cat /src/m/a; ls /src",
    "find / -xdev -path /proc -prune -o -name {1} -print 2> /dev/null | sort",
)
commands = st.tuples(st.sampled_from(COMMANDS), paths, paths).map(lambda item: item[0].format(*item[1:]))
MOUNTS = (
    "",
    "",
    "--mount=type=bind,target=/src ",
    "--mount=type=bind,target=/src,rw ",
    "--mount=type=bind,source=d,target=/src ",
    "--mount=type=bind,from=first,source=/app,target=/src ",
    "--mount=type=bind,from=first,source=/app,target=/src,rw ",
    "--mount=type=tmpfs,target=/app/d ",
    "--mount=type=bind,from=first,source=/app,target=/app/d ",
)
COPIES = (
    "COPY . /app/copied",
    "COPY --chown=7:7 . .",
    "COPY --chmod=640 . /app/d/",
    "COPY --link . /out/linked",
    "COPY --exclude=d . /out/",
    "COPY [a-c]* d* f* /app/d/e/",
    "COPY --from=first /app /app",
    "COPY --from=first /app/d* /app/l* Dockerfil[e] /out/",
    "COPY --from=first --parents /app/./d* /out/",
    "ADD . /app/added",
)
SETTINGS = (
    "WORKDIR {0}",
    "WORKDIR /app",
    "ENV NAME={0}",
    "USER 1000",
    "USER root",
    'SHELL ["/bin/sh", "-ec"]',
    "LABEL a={0}",
)
runs = st.tuples(st.just("RUN"), st.sampled_from(MOUNTS), st.lists(commands, min_size=1, max_size=3))
copies = st.tuples(st.just("COPY"), st.sampled_from(COPIES))
settings_ = st.tuples(st.sampled_from(SETTINGS), paths).map(lambda item: ("SET", item[0].format(item[1])))
instructions = st.lists(st.one_of(runs, runs, runs, copies, settings_), min_size=1, max_size=4)
KINDS = ("write", "quiet", "remove", "link", "hard", "mode", "script", "folder", "move", "same")
edits = st.tuples(st.sampled_from(KINDS), paths, paths)
few = st.lists(edits, min_size=1, max_size=2)
rounds: st.SearchStrategy[list[Edit]] = st.one_of(few, few, st.just([]))
"""An empty one puts the context back to what it was at first."""


def dockerfile(first: Sequence[Instruction], second: Sequence[Instruction], user: str) -> str:
    lines = ["FROM busybox AS first", "RUN mkdir -m 777 /out", "WORKDIR /app", "COPY . ."]
    lines += (line for line in told(first) if "from=first" not in line)
    lines += ["FROM busybox", "RUN mkdir -m 777 /out", "WORKDIR /app", "COPY . .", f"USER {user}"]
    return "\n".join([*lines, *told(second), "COPY --from=first /out /first"]) + "\n"


def told(instructions: Sequence[Instruction]) -> Iterator[str]:
    """Commands write down what they say, and succeed."""
    for number, (kind, text, *more) in enumerate(instructions):
        if kind != "RUN":
            yield text
            continue
        words = (f"( {command} ) >> /out/{number}-{at} 2>&1" for at, command in enumerate(more[0]))
        yield f"RUN {text}{'; '.join(words)}; true"


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
        elif kind == "move":
            path.rename(context / other)
        elif kind == "hard":
            path.hardlink_to(context / other)
        elif kind == "quiet":
            before = path.stat()
            path.write_text(path.read_text().swapcase().replace("1", "3"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif kind == "same":
            os.utime(path, follow_symlinks=False)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"echo 1; cat /app/{other}\n" if kind == "script" else f"1{other}\n")
    except OSError:
        pass


def built(wherry: Wherry, context: Path, *more: str) -> Any:
    """Layers and config; what was said instead where the build failed, without what is this build's own."""
    result = wherry("build", "-q", *more, context)
    if result.code:
        return [line for line in result.err.splitlines() if line.startswith("error")]
    image = result.out.strip()
    return [
        json.loads(wherry.ok("inspect", "--format", f"{{{{json .{key}}}}}", image))
        for key in ("RootFS", "Config")
    ]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wherry, Wherry]:
    """Where builds go on, and where they begin anew."""
    return store(tmp_path_factory.mktemp("used")), store(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wherry, Wherry]:
    """As `stores`, with an image for another machine."""
    used, fresh = (store(tmp_path_factory.mktemp(name), foreign.ARM64) for name in ("used", "fresh"))
    return used, fresh


def store(folder: Path, platform: Platform | None = None) -> Wherry:
    busybox.put(folder / "wherry", "busybox", platform=platform)
    return Wherry(folder / "wherry", folder / "docker")


class Story(NamedTuple):
    first: list[Edit]
    later: list[list[Edit]]
    stage: list[Instruction]
    last: list[Instruction]
    user: str
    at_once: bool
    carries: bool


stories = st.builds(
    Story,
    st.lists(edits, min_size=3, max_size=10),
    st.lists(rounds, min_size=1, max_size=3),
    instructions,
    instructions,
    st.sampled_from(("0", "1000:1000")),
    st.booleans(),
    st.booleans(),
)


def few_of(examples: int) -> settings:
    return settings(
        max_examples=int(os.environ.get("WHERRY_TEST_EXAMPLES", examples)),
        derandomize="WHERRY_TEST_EXAMPLES" not in os.environ,
        deadline=None,
        # A smaller example takes minutes to find; the log of a build tells enough.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@pytest.mark.needs("root")
@few_of(5)
@given(stories)
def test_a_build_that_goes_on_gives_what_a_build_from_nothing_gives(
    stores: tuple[Wherry, Wherry], story: Story
) -> None:
    check(stores, story)


@pytest.mark.needs("root", foreign.EMULATOR)
@few_of(2)
@given(stories)
def test_so_does_one_for_another_machine(emulated: tuple[Wherry, Wherry], story: Story) -> None:
    check(emulated, story, foreign.ARM64)


def check(stores: tuple[Wherry, Wherry], story: Story, platform: Platform | None = None) -> None:
    used, fresh = stores
    first, later, stage, last, user, at_once, carries = story
    wanted = () if platform is None else ("--platform", str(platform))
    with tempfile.TemporaryDirectory(dir=folders.fast()) as scratch, ThreadPoolExecutor(2) as pool:
        context, before = Path(scratch, "context"), Path(scratch, "before")
        cache = f"{scratch}/cache"
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile(stage, last, user))
        (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
        for changes in (first, *later):
            if not changes:
                shutil.rmtree(context)
                shutil.copytree(before, context, symlinks=True)
            for change in changes:
                edit(context, *change)
            if not before.exists():
                shutil.copytree(context, before, symlinks=True)
            places = [context, before] if at_once else [context]
            found = list(pool.map(lambda place: built(used, place, *wanted), places))
            for place, image in zip(places, found, strict=True):
                assert image == built(fresh, place, *wanted, "--no-cache")
            if carries:
                other = store(Path(scratch, str(len(os.listdir(scratch)))), platform)
                assert found[0] == built(other, context, *wanted, "--cache-from", f"type=local,src={cache}")
                built(used, context, *wanted, "--cache-to", f"type=local,dest={cache},mode=max")
