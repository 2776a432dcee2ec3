"""Every input of every instruction, changed one at a time: never the result of what it was before.

Each case is a stage of one Dockerfile, with files of its own in the context, that leaves something in /out.
All are built, then all changed, then built again in the same store and in one that has never seen any of it.
What each stage gives has to be the same in both, byte for byte. A case whose change makes no difference would
prove nothing, so each says whether it has to.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox
from support.cli import Wherry, write_files

pytestmark = pytest.mark.needs("root")

FILES: Mapping[str, str | bytes] = {"f": "1\n", "x": "#!/bin/sh\n", "d/g": "1\n", "e/": ""}
"""In each case's folder, with `l`, a link to f."""
LIST = "find /in -exec stat -c '%N %F %a %u %g' {} + | sort > /out/list; cat /in/f /in/d/* >> /out/list; true"


class Case(NamedTuple):
    """Lines of a Dockerfile before and after; in them `@` is the case's folder in the context, and `$n` (also
    in flags) its number. `stages` come before its own. `differs` is None where it depends on the machine."""

    lines: Sequence[str]
    after: Sequence[str] | None = None
    change: Callable[[Path], object] = lambda folder: None
    differs: bool | None = True
    stages: Sequence[str] = ()
    stages_after: Sequence[str] | None = None
    flags: Sequence[str] = ()
    flags_after: Sequence[str] | None = None


def write(name: str, text: str | bytes = "2\n") -> Callable[[Path], object]:
    return lambda folder: write_files(folder, {name: text})


def mode(name: str, bits: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).chmod(bits)


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        make(path)

    return change


def link_to(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def archive(text: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as file:
        info = tarfile.TarInfo("a")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


def hard_link(path: Path) -> None:
    (path.parent / "g").hardlink_to(path)


def ignore(folder: Path) -> None:
    text = f"Dockerfile\n*/ignored\n{folder.name}/late\n"
    (folder.parent / ".dockerignore").write_text(text)


EDITS: dict[str, tuple[Callable[[Path], object], bool]] = {
    "a byte": (write("f"), True),
    "a file's mode": (mode("f", 0o755), True),
    "a folder's mode": (mode("d", 0o700), True),
    "a link's target": (replaced("l", link_to("x")), True),
    "a new name": (write("d/h"), True),
    "a removed name": (lambda folder: (folder / "d" / "g").unlink(), True),
    "a file that is a folder": (replaced("f", os.mkdir), True),
    "a file that is a link": (replaced("f", link_to("x")), True),
    "a folder that is a file": (replaced("e", Path.touch), True),
    "a link that is a file": (replaced("l", Path.touch), True),
    "a time": (lambda folder: os.utime(folder / "f", (1, 1)), False),
    "an owner": (lambda folder: os.chown(folder / "f", 7, 7), False),
    "a hard link": (lambda folder: hard_link(folder / "f"), True),
}
"""Of a context, and whether an image shows it: owners and times of contexts never get into one."""
WAYS: dict[str, Sequence[str]] = {
    "COPY": ["COPY @ /out"],
    "COPY --link": ["COPY --link @ /out"],
    "COPY of wildcards": ["COPY @/* /out/all/", "COPY @/d /out/d"],
    "COPY --parents": ["COPY --parents @/./* @/./d /out/"],
    "ADD": ["ADD @ /out"],
    "COPY and RUN": ["COPY @ /in", f"RUN {LIST}"],
    "RUN --mount": [f"RUN --mount=type=bind,source=@,target=/in {LIST}"],
    "COPY --from": ["COPY --from=c$n /c /out"],
    "RUN --mount=from": [f"RUN --mount=type=bind,from=c$n,source=/c,target=/in {LIST}"],
    "a named context": ["COPY --from=n$n . /out"],
    "RUN --mount of a named context": [f"RUN --mount=type=bind,from=n$n,target=/in {LIST}"],
}
"""By which a folder of the context may come into an image."""


CONTENT_ONLY = "COPY of wildcards", "a folder's mode"
"""A folder that is a source means what is in it."""


def by_every_way() -> dict[str, Case]:
    return {
        f"{way}: {edit}": Case(
            lines,
            change=change,
            differs=None if edit == "a hard link" or (way, edit) == CONTENT_ONLY else differs,
            stages=["FROM busybox AS c$n", "COPY @ /c"] if "from=c$n" in lines[0] else (),
            flags=["--build-context", "n$n=@"] if "from=n$n" in lines[0] else (),
        )
        for way, lines in WAYS.items()
        for edit, (change, differs) in EDITS.items()
    }


def other(before: str, after: str, *lines: str, **more: object) -> Case:
    """One line that is another; `lines` come before it."""
    return Case([*lines, before], [*lines, after], **more)  # type: ignore[arg-type]


TO_OUT = "COPY @/f /out/"
STAGE = ["FROM busybox AS c$n", "RUN mkdir /c && cd /c && echo 1 > a && cp a b && chown 7 a b"]
WITH_LINK = [STAGE[0], STAGE[1].replace("cp a b", "ln a b")]
COPYING = {
    "--chown": other("COPY --chown=1:2 @/f /out/", "COPY --chown=1:3 @/f /out/"),
    "--chown: the name of a user": Case(
        ["COPY @/u /etc/passwd", "COPY --chown=me @/f /out/"], change=write("u", "me:x:8:8::/:/bin/sh\n")
    ),
    "--chown: the name of a group": Case(
        ["COPY @/u /etc/group", "COPY --chown=1:me @/f /out/"], change=write("u", "me:x:8:\n")
    ),
    "--chmod": other("COPY --chmod=600 @/f /out/", "COPY --chmod=640 @/f /out/"),
    "--chmod in letters": other("COPY --chmod=u+x @/f /out/", "COPY --chmod=g+x @/f /out/"),
    "--exclude": other("COPY --exclude=d @ /out", "COPY --exclude=f @ /out"),
    "--parents": other("COPY --parents @/d /out/", "COPY @/d /out/"),
    "--parents: the pivot": other("COPY --parents @/./d/g /out/", "COPY --parents @/d/./g /out/"),
    "--link": other("COPY --link @/f /out/", TO_OUT, differs=False),
    "the target": other("COPY @/f /out/a", "COPY @/f /out/b"),
    "a slash at the target's end": other("COPY @/f /out/a", "COPY @/f /out/a/"),
    "a link to the target": Case(
        ["RUN ln -s a /out/l; mkdir /out/a /out/b", "COPY @/f /out/l/"],
        ["RUN ln -s b /out/l; mkdir /out/a /out/b", "COPY @/f /out/l/"],
    ),
    "the mode of a folder on the way": Case(
        ["RUN mkdir -m 700 /out/a", "COPY @/f /out/a/b/"], ["RUN mkdir -m 750 /out/a", "COPY @/f /out/a/b/"]
    ),
    "a file where the target is": Case(["RUN mkdir /out/a", "COPY @/f /out/a"], ["COPY @/f /out/a"]),
    "the source": other("COPY @/f /out/a", "COPY @/x /out/a"),
    "a lone file for a folder with one": other("COPY @/d/g /out/a", "COPY @/d /out/a"),
    "an argument in the source": Case(
        ["ARG A$n=f", "COPY @/${A$n} /out/a"], flags_after=["--build-arg", "A$n=x"]
    ),
    "a here-document's text": other("COPY <<E /out/a\n1\nE", "COPY <<E /out/a\n2\nE"),
    "a here-document's name": other("COPY <<E /out/\n1\nE", "COPY <<F /out/\n1\nF"),
    "a here-document that is expanded": other("COPY <<E /out/a\n$0\nE", "COPY <<'E' /out/a\n$0\nE"),
    "a file of another stage": Case(
        ["COPY --from=c$n /c /out"], stages=STAGE, stages_after=[STAGE[0], STAGE[1].replace("1", "2")]
    ),
    "an owner in another stage": Case(
        ["COPY --from=c$n /c /out"], stages=STAGE, stages_after=[STAGE[0], STAGE[1].replace("7", "8")]
    ),
    "hard links in another stage": Case(["COPY --from=c$n /c /out"], stages=STAGE, stages_after=WITH_LINK),
    "hard links that are none": Case(["COPY --from=c$n /c /out"], stages=WITH_LINK, stages_after=STAGE),
    "another stage": Case(
        ["COPY --from=c$n /c /out"],
        ["COPY --from=d$n /c /out"],
        stages=[*STAGE, "FROM busybox AS d$n", "RUN mkdir /c"],
    ),
    "an archive": Case(["COPY @/f /out/f", "ADD @/t /out/"], change=write("t", archive("other"))),
    "an archive that is none": Case(["ADD @/t /out/"], change=write("t", "no archive")),
    "--unpack": other("ADD --unpack=false @/t /out/", "ADD @/t /out/"),
    "ADD for COPY": other("COPY @/t /out/", "ADD @/t /out/"),
    "what is ignored": Case(["COPY @ /out"], change=ignore),
}
OUT = "> /out/o"
RUNNING = {
    "the command": other("RUN echo 1 > /out/o", "RUN echo 2 > /out/o"),
    "a list for a shell": other('RUN ["sh", "-c", "echo 1 > /out/o"]', "RUN echo 1 > /out/o", differs=False),
    "SHELL": Case(
        ['SHELL ["/bin/sh", "-c"]', f"RUN echo $- {OUT}"], ['SHELL ["/bin/sh", "-ec"]', f"RUN echo $- {OUT}"]
    ),
    "ENV": Case(["ENV A=1", f"RUN echo $A {OUT}"], ["ENV A=2", f"RUN echo $A {OUT}"]),
    "ENV that nobody uses": Case(
        ["ENV A=1", f"RUN echo {OUT}"], ["ENV A=2", f"RUN echo {OUT}"], differs=False
    ),
    "the order of ENV": Case(
        ["ENV A=1 B=2", f"RUN env {OUT}"], ["ENV B=2 A=1", f"RUN env {OUT}"], differs=None
    ),
    "a default of ARG": Case(["ARG A=1", f"RUN echo $A {OUT}"], ["ARG A=2", f"RUN echo $A {OUT}"]),
    "a build argument": Case(
        ["ARG A$n", f"RUN env | grep A$n {OUT}"],
        flags=["--build-arg", "A$n=1"],
        flags_after=["--build-arg", "A$n=2"],
    ),
    "a build argument that is not given": Case(
        ["ARG A$n", f"RUN env {OUT}"], flags=["--build-arg", "A$n="], flags_after=[]
    ),
    "USER": Case(
        ["RUN chmod 777 /out", "USER 1", f"RUN id {OUT}"], ["RUN chmod 777 /out", "USER 2", f"RUN id {OUT}"]
    ),
    "USER: the groups of a name": Case(
        ["COPY @/u /etc/group", "RUN chmod 777 /out", "USER web", f"RUN id {OUT}"],
        change=write("u", "web:x:1000:\nextra:x:45:web\n"),
    ),
    "WORKDIR": Case(["WORKDIR /out/a", "RUN pwd > o"], ["WORKDIR /out/b", "RUN pwd > o"]),
    "WORKDIR: the owner": Case(
        ["RUN chmod 777 /out", "USER 1", "WORKDIR /out/a"],
        ["RUN chmod 777 /out", "USER 2", "WORKDIR /out/a"],
        differs=None,
    ),
    "WORKDIR: a link": Case(
        ["RUN ln -s a /out/l", "WORKDIR /out/l/b"], ["RUN ln -s c /out/l", "WORKDIR /out/l/b"]
    ),
    "a here-document": other("RUN <<E\necho 1 > /out/o\nE", "RUN <<E\necho 2 > /out/o\nE"),
    "a here-document that is a program": other(
        "RUN <<E\n#!/bin/sh\necho 1 > /out/o\nE", "RUN <<E\n#!/bin/sh -e\necho $- > /out/o\nE"
    ),
    "--network": other(
        f"RUN --network=host cat /proc/net/route {OUT}",
        f"RUN --network=none cat /proc/net/route {OUT}",
        differs=None,
    ),
    "a mount's target": other(
        "RUN --mount=type=bind,source=@,target=/a ls -d /a /b > /out/o 2>&1; true",
        "RUN --mount=type=bind,source=@,target=/b ls -d /a /b > /out/o 2>&1; true",
    ),
    "a mount's source": other(
        f"RUN --mount=type=bind,source=@/d,target=/a ls /a {OUT}",
        f"RUN --mount=type=bind,source=@,target=/a ls /a {OUT}",
    ),
    "a mount that can be written to": other(
        f"RUN --mount=type=bind,source=@,target=/a touch /a/n; echo $? {OUT}",
        f"RUN --mount=type=bind,source=@,target=/a,rw touch /a/n; echo $? {OUT}",
    ),
    "a mount of another stage": Case(
        [f"RUN --mount=type=bind,from=c$n,target=/a cat /a/c/a {OUT}"],
        stages=STAGE,
        stages_after=[STAGE[0], STAGE[1].replace("1", "2")],
    ),
    "a cache's mode": other(
        f"RUN --mount=type=cache,id=m$n,target=/a,mode=0700 stat -c %a /a {OUT}",
        f"RUN --mount=type=cache,id=l$n,target=/a,mode=0750 stat -c %a /a {OUT}",
    ),
    "a cache's owner": other(
        f"RUN --mount=type=cache,id=m$n,target=/a,uid=7 stat -c %u /a {OUT}",
        f"RUN --mount=type=cache,id=l$n,target=/a,uid=8 stat -c %u /a {OUT}",
        differs=None,
    ),
    "a cache's beginning": Case(
        [f"RUN --mount=type=cache,id=m$n,target=/a,from=c$n,source=/c cat /a/a {OUT}"],
        [f"RUN --mount=type=cache,id=l$n,target=/a,from=c$n,source=/c cat /a/a {OUT}"],
        stages=STAGE,
        stages_after=[STAGE[0], STAGE[1].replace("1", "2")],
    ),
    "a file system in memory": other(
        f"RUN --mount=type=tmpfs,target=/a,size=1m df -k /a {OUT}",
        f"RUN --mount=type=tmpfs,target=/a,size=2m df -k /a {OUT}",
    ),
    "a secret's mode": other(
        f"RUN --mount=type=secret,id=s,mode=0400 stat -c %a /run/secrets/s {OUT}",
        f"RUN --mount=type=secret,id=s,mode=0440 stat -c %a /run/secrets/s {OUT}",
    ),
    "a secret's target": other(
        f"RUN --mount=type=secret,id=s,target=/a ls /a /b {OUT}; true",
        f"RUN --mount=type=secret,id=s,target=/b ls /a /b {OUT}; true",
    ),
    "a secret's variable": other(
        f"RUN --mount=type=secret,id=s,env=A echo ${{#A}} {OUT}",
        f"RUN --mount=type=secret,id=s,env=B echo ${{#A}} {OUT}",
    ),
    "a secret that there is not": other(
        f"RUN --mount=type=secret,id=s ls /run/secrets {OUT}; true",
        f"RUN --mount=type=secret,id=t ls /run/secrets {OUT}; true",
    ),
    "a base": Case(
        [f"RUN cat /etc/base {OUT}"],
        stages=["FROM busybox AS b$n", "RUN echo 1 > /etc/base"],
        stages_after=["FROM busybox AS b$n", "RUN echo 2 > /etc/base"],
    ),
    "a trigger": Case(
        [f"RUN cat /etc/base {OUT}"],
        stages=["FROM busybox AS b$n", "ONBUILD RUN echo 1 > /etc/base"],
        stages_after=["FROM busybox AS b$n", "ONBUILD RUN echo 2 > /etc/base"],
    ),
}
CASES = {**by_every_way(), **COPYING, **RUNNING}


class Project:
    """All cases in one Dockerfile; the last stage copies what each leaves, in the cases' order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_files(folder, {".dockerignore": "Dockerfile\n*/ignored\n", "secret": "quiet"})
        more: dict[str, str | bytes] = {
            "u": "me:x:7:7::/:/bin/sh\n",
            "t": archive("text"),
            "ignored": "1",
            "late": "1",
        }
        for number in range(len(CASES)):
            write_files(folder / str(number), {**FILES, **more})
            (folder / str(number) / "l").symlink_to("f")

    def write(self, *, after: bool) -> list[str]:
        """The Dockerfile, and the flags to build it with."""
        lines, flags = [], ["--secret", f"id=s,src={self.folder}/secret"]
        for number, case in enumerate(CASES.values()):
            stages, own, words = case.stages, case.lines, case.flags
            if after:
                stages = stages if case.stages_after is None else case.stages_after
                own = own if case.after is None else case.after
                words = words if case.flags_after is None else case.flags_after
            base = f"b{number}" if any(f"AS b{number}" in _at(line, number) for line in stages) else "busybox"
            lines += [*stages, f"FROM {base} AS s{number}", "WORKDIR /out", *own]
            lines = [_at(line, number) for line in lines]
            flags += [_at(word.replace("=@", f"={self.folder}/@"), number) for word in words]
        lines += ["FROM scratch", *(f"COPY --from=s{number} /out /{number}" for number in range(len(CASES)))]
        (self.folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        return flags

    def edit(self) -> None:
        for number, case in enumerate(CASES.values()):
            case.change(self.folder / str(number))


def _at(text: str, number: int) -> str:
    return text.replace("$n", str(number)).replace("@", str(number))


def built(wherry: Wherry, project: Project, flags: Sequence[str]) -> dict[str, str]:
    """The layer of each case."""
    wherry.ok("build", "-q", "-t", "all", *flags, project.folder)
    layers = json.loads(wherry.ok("inspect", "--format", "{{json .RootFS.Layers}}", "all"))
    return dict(zip(CASES, layers, strict=True))


def test_a_changed_input_gives_what_it_gives_in_a_store_that_never_saw_it(tmp_path: Path) -> None:
    used, fresh = (Wherry(tmp_path / name, tmp_path / "docker") for name in ("used", "fresh"))
    for wherry in (used, fresh):
        busybox.put(wherry.root, "busybox")
    project = Project(tmp_path / "context")
    before = built(used, project, project.write(after=False))
    project.edit()
    flags = project.write(after=True)
    after = built(used, project, flags)
    expected = built(fresh, project, flags)
    assert {name for name in CASES if after[name] != expected[name]} == set()
    idle = {name for name, case in CASES.items() if case.differs and before[name] == after[name]}
    assert idle == set(), "the change of these makes no difference"
    noisy = {name for name, case in CASES.items() if case.differs is False and before[name] != after[name]}
    assert noisy == set(), "the change of these should make none"
