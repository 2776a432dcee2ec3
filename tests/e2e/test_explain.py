"""`wherry explain`: why steps ran, after real builds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from support import busybox, cli, ordinary
from support.cli import Wherry

pytestmark = pytest.mark.needs("root", "busybox", "newuidmap")

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "explain.json").read_bytes())

HEAD = "FROM busybox\nWORKDIR /app\nCOPY . .\n"
FILES = {".dockerignore": "Dockerfile\n.dockerignore\n", "a": "1", "b": "2", "d/c": "3"}


class Project:
    """A context, its Dockerfile, and what `explain` says of its last build."""

    def __init__(self, wherry: Wherry, folder: Path) -> None:
        self.wherry = wherry
        self.folder = cli.write_files(folder, FILES)

    def build(self, text: str, *flags: str, code: int = 0) -> None:
        (self.folder / "Dockerfile").write_text(text)
        built = self.wherry("build", "--progress", "quiet", *flags, self.folder)
        assert built.code == code, built.err

    def document(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.wherry.ok("explain", "--json", *words))
        jsonschema.validate(found, SCHEMA)
        return found

    def steps(self) -> dict[str, tuple[str, list[str]]]:
        """By instruction: the result, and the reasons below it."""
        found: dict[str, tuple[str, list[str]]] = {}
        self.document()
        for line in self.wherry.ok("explain").splitlines()[4:]:
            step = re.match(r"(.{17})  .{10}  \[\S+\] (.*)", line)
            if step:
                found[step[2]] = (step[1].strip(), [])
            else:
                found[list(found)[-1]][1].append(line.strip())
        return found


def prepared(kind: str, tmp_path: Path) -> Iterator[Project]:
    if kind not in ("userns", "single-id"):
        wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
        busybox.put(wherry.root, "busybox")
        if kind == "copy":
            wherry.environment["WHERRY_SNAPSHOTTER"] = "copy"
        yield Project(wherry, tmp_path / "context")
        return
    with ordinary.user(subordinate=kind == "userns") as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        ordinary.put_busybox(user, wherry.root, "busybox")
        folder = user.home.parent / "context"
        folder.mkdir()
        folder.chmod(0o755)
        yield Project(wherry, folder)


@pytest.fixture(params=["root", "copy", "userns", "single-id"])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    yield from prepared(request.param, tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from prepared("root", tmp_path)


def test_what_ran_and_why_and_what_did_not(everywhere: Project) -> None:
    project = everywhere
    dockerfile = f"{HEAD}RUN cat a\nRUN echo d/*; cat b\n"
    never = ("EXECUTED", ["never built before"])
    project.build(dockerfile)
    assert project.steps() == {
        "FROM busybox": ("", []),
        **dict.fromkeys(("WORKDIR /app", "COPY . .", "RUN cat a", "RUN echo d/*; cat b"), never),
    }
    project.build(dockerfile)
    assert {result for result, _ in project.steps().values()} == {"", "REUSED (exact)"}
    (project.folder / "b").write_text("other")
    (project.folder / "d" / "new").write_text("")
    (project.folder / "d" / "c").unlink()
    project.build(dockerfile)
    assert project.steps() == {
        "FROM busybox": ("", []),
        "WORKDIR /app": ("REUSED (exact)", []),
        "COPY . .": ("EXECUTED", ["b: content", "d/c: removed", "d/new: new"]),
        "RUN cat a": ("REUSED (observed)", ["read 1 of 3 files copied: app/a; unchanged"]),
        "RUN echo d/*; cat b": (
            "EXECUTED",
            [
                "app/b: content",
                "app/d/c: name gone from a listed folder",
                "app/d/new: new name in a listed folder",
            ],
        ),
    }
    (project.folder / "b").chmod(0o755)
    project.build(dockerfile)
    assert project.steps()["COPY . ."] == ("EXECUTED", ["b: mode"])
    assert project.steps()["RUN echo d/*; cat b"] == ("EXECUTED", ["app/b: mode"])


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("RUN echo 1", "RUN echo 2", "the instruction itself; it was RUN echo 1"),
        ("ENV A=1\nRUN echo", "ENV A=2\nRUN echo", "ENV A: 1 -> 2"),
        ("RUN echo", "ENV A=2\nRUN echo", "ENV A is new: 2"),
        ("ARG A=1\nRUN echo", "RUN echo", "ARG A is gone; it was 1"),
        ("RUN echo", "USER 7\nRUN echo", 'USER: "" -> 7'),
        ("RUN echo", 'SHELL ["/bin/sh", "-ec"]\nRUN echo', "SHELL: /bin/sh -c -> /bin/sh -ec"),
        ("RUN <<E\necho 1\nE", "RUN <<E\necho 2\nE", "here-document is other"),
        ("ARG X=a\nCOPY $X /x", "ARG X=b\nCOPY $X /x", "sources: a -> b"),
        ("COPY a /x", "COPY --chmod=700 a /x", "the instruction itself; it was COPY a /x"),
        (
            "ARG T=1\nRUN --mount=type=tmpfs,target=/t$T true",
            "ARG T=2\nRUN --mount=type=tmpfs,target=/t$T true",
            "",
        ),
    ],
)
def test_what_changed_in_a_step_itself(project: Project, before: str, after: str, reason: str) -> None:
    project.build(f"FROM busybox\n{before}\n")
    project.build(f"FROM busybox\n{after}\n")
    result, reasons = list(project.steps().values())[-1]
    assert result == "EXECUTED"
    assert reason in reasons or (not reason and any("--mount" in line for line in reasons)), reasons


def test_what_it_was_not_to_take(project: Project) -> None:
    dockerfile = "FROM busybox AS one\nRUN echo 1\n"
    project.build(dockerfile)
    project.build(dockerfile, "--no-cache")
    assert [step["why"]["text"] for step in project.document()["steps"] if "why" in step] == ["--no-cache"]
    project.build(dockerfile, "--no-cache-filter", "one")
    assert [step["why"]["text"] for step in project.document()["steps"] if "why" in step] == [
        "--no-cache-filter"
    ]


def test_a_result_of_the_network_that_is_too_old(project: Project) -> None:
    dockerfile = "FROM busybox\nRUN wget -q http://127.0.0.1:9/ || true\nRUN echo\n"
    project.build(dockerfile)
    project.build(dockerfile, "--refresh", "1ms")
    found = list(project.steps().values())
    assert found[1] == ("EXECUTED", ["it used the network, too long ago for --refresh"])
    assert found[2] == ("REUSED (exact)", [])


def test_a_time_that_was_set_and_a_result_that_was_removed(project: Project) -> None:
    dockerfile = "FROM busybox\nRUN echo > /x\n"
    project.build(dockerfile)
    project.build(dockerfile, "--build-arg", "SOURCE_DATE_EPOCH=5")
    ((_, reasons),) = list(project.steps().values())[1:]
    assert reasons == ["SOURCE_DATE_EPOCH is new: 5"]
    project.wherry.ok("prune", "-f")
    project.build(dockerfile, "--build-arg", "SOURCE_DATE_EPOCH=5")
    assert list(project.steps().values())[1] == ("EXECUTED", ["its result was removed from the store"])


def test_what_cannot_be_observed_says_why(project: Project) -> None:
    dockerfile = f"{HEAD}RUN cat /proc/self/root/app/a\n"
    project.build(dockerfile)
    result, reasons = list(project.steps().values())[-1]
    (held,) = [line for line in reasons if line.startswith("holds on its own layers alone: ")]
    assert "/proc" in held
    (project.folder / "b").write_text("other")
    project.build(dockerfile)
    result, reasons = list(project.steps().values())[-1]
    assert result == "EXECUTED"
    assert reasons[0].startswith("its last result holds on its own layers alone: a file was named")
    assert reasons[1] == "below it: [3/4] COPY . ."
    assert "is not known" in project.wherry.ok("explain", "--reads")


@pytest.mark.needs("crun")
def test_another_runtime_says_why(project: Project) -> None:
    project.build(f"{HEAD}RUN cat a\n", "--runtime", "crun")
    told = "holds on its own layers alone: crun lets no process be observed"
    assert project.steps()["RUN cat a"] == ("EXECUTED", ["never built before", told])


def test_exact_results_alone(project: Project) -> None:
    dockerfile = f"{HEAD}RUN cat a\n"
    for text in ("1", "2"):
        (project.folder / "b").write_text(text)
        project.build(dockerfile, "--cache=exact")
    found = project.steps()
    assert found["COPY . ."] == ("EXECUTED", ["b: content"])
    assert found["RUN cat a"] == (
        "EXECUTED",
        [
            "its last result holds on its own layers alone: --cache=exact observes nothing",
            "below it: [3/4] COPY . .",
        ],
    )


def test_a_mount_of_other_files_is_no_other_mode(project: Project) -> None:
    dockerfile = "FROM busybox\nRUN --mount=type=bind,target=/m cat /m/a\n"
    for text in ("1", "2"):
        (project.folder / "a").write_text(text)
        project.build(dockerfile, "--cache=exact")
    result, reasons = list(project.steps().values())[-1]
    assert result == "EXECUTED"
    assert reasons[0] == "its last result holds on its own layers alone: --cache=exact observes nothing"


def test_a_time_counts_where_times_are_kept(project: Project) -> None:
    for moment in (1_000_000_000, 1_100_000_000):
        os.utime(project.folder / "a", (moment, moment))
        project.build("FROM busybox\nCOPY a b /x/\n", "--timestamps=keep")
    assert project.steps()["COPY a b /x/"] == ("EXECUTED", ["a: time"])


def test_twenty_paths_are_told_and_the_rest_counted(project: Project) -> None:
    dockerfile = f"{HEAD}RUN cat n/*\n"
    for text in ("1", "2"):
        cli.write_files(project.folder, {f"n/{number:02}": text for number in range(32)})
        project.build(dockerfile)
    for step, prefix in (("COPY . .", ""), ("RUN cat n/*", "app/")):
        reasons = project.steps()[step][1]
        assert reasons == [*(f"{prefix}n/{number:02}: content" for number in range(20)), "... and 12 more"]


def test_a_step_that_failed(project: Project) -> None:
    project.build(f"{HEAD}RUN cat a; false\nRUN echo\n", code=1)
    found = project.steps()
    assert found["RUN cat a; false"] == ("FAILED", ["never built before"])
    assert found["RUN echo"] == ("not run", [])
    refused = project.wherry("explain", "--unused")
    assert (refused.code, "this build failed" in refused.err) == (125, True)
    project.build(f"{HEAD}RUN cat a; false\nRUN echo\n", code=1)
    assert project.steps()["RUN cat a; false"] == ("FAILED", ["it failed in the last build"])


def test_another_base(project: Project) -> None:
    dockerfile = "FROM base\nCOPY a /a\nRUN cat /etc/release\nRUN cat /a\n"
    for text in ("one", "two"):
        base = cli.write_files(
            project.folder.parent / "base", {"Dockerfile": f"FROM busybox\nRUN echo {text} > /etc/release\n"}
        )
        project.wherry.ok("build", "-q", "-t", "base", base)
        project.build(dockerfile)
    found = project.steps()
    assert found["FROM base"] == ("", ["another image than in the last build"])
    assert found["COPY a /a"][0] == "REUSED (observed)"
    assert found["RUN cat /etc/release"] == ("EXECUTED", ["etc/release: content"])
    assert found["RUN cat /a"][0] == "REUSED (observed)"


STAGES = """\
FROM busybox AS builder
WORKDIR /src
COPY . .
RUN cat a > /out; test -e missing; echo d/*
FROM busybox
COPY --from=builder /out /src/b /
RUN --mount=type=bind,target=/m cat /m/d/c
RUN --mount=type=bind,from=builder,source=/src/d,target=/n cat /n/c
"""


def test_what_steps_read_and_what_nothing_needs(project: Project) -> None:
    cli.write_files(project.folder, {"unused": "", "d/unused": ""})
    project.build(STAGES)
    document = project.document()
    reads = {
        step["name"].partition("] ")[2]: {(read["path"], *read["how"]) for read in step["reads"]["read"]}
        for step in document["steps"]
        if "reads" in step
    }
    runs = [line for line in STAGES.splitlines() if line.startswith("RUN")]
    assert reads == {
        runs[0]: {("src/a", "content"), ("src/d", "names"), ("src/missing", "absent")},
        runs[1]: {("m/d/c", "content")},
        runs[2]: {("n/c", "content")},
    }
    assert document["unused"] == [
        {
            "step": "[builder 3/4] COPY . .",
            "copied": 5,
            "files": ["src/d/unused", "src/unused"],
            "needsAll": [],
        }
    ]
    told = project.wherry.ok("explain", "--unused")
    assert "[builder 3/4] COPY . .: 2 of 5 files are needed by no step and no image\n  src/d/unused\n" in told
    assert "content" in project.wherry.ok("explain", "--reads", "--step", "builder:4")


def test_a_step_that_is_not_observed_counts_as_needing_all(project: Project) -> None:
    stage = "FROM busybox AS b\nCOPY . /src/\nRUN cat /proc/self/root/src/a > /out\n"
    project.build(f"{stage}FROM busybox\nCOPY --from=b /out /\n")
    told = project.wherry.ok("explain", "--unused")
    assert "nothing can be said of 3 files\n  it is not known what [b 3/3] RUN cat" in told
    (item,) = project.document()["unused"]
    assert item["files"] == []
    assert len(item["needsAll"]) == 1


def test_what_is_in_the_image_is_needed_whatever_was_read(project: Project) -> None:
    project.build(f"{HEAD}RUN cat /proc/self/root/app/a\n")
    assert "[3/4] COPY . .: 3 files, all needed" in project.wherry.ok("explain", "--unused")
    project.build("FROM busybox\nCOPY <<E /x\ntext\nE\n")
    assert project.wherry.ok("explain", "--unused").endswith("\nnothing was copied from the context\n")


def test_another_dockerfile_in_between_is_no_last_build(project: Project) -> None:
    project.build("FROM busybox\nENV A=1\nRUN echo\n")
    project.build("FROM busybox AS other\nRUN echo 2\n")
    project.build("FROM busybox\nENV A=2\nRUN echo\n")
    assert project.steps()["RUN echo"] == ("EXECUTED", ["ENV A: 1 -> 2"])


def test_layers_that_are_gone_leave_nothing_to_say_of_files(project: Project) -> None:
    dockerfile = f"{HEAD}RUN cat a\n"
    project.build(dockerfile)
    first = project.document()["id"]
    (project.folder / "a").write_text("2")
    project.build(dockerfile)
    second = project.document()["id"]
    project.wherry.ok("prune", "-f")
    document = project.document(second)
    (unused,) = document["unused"]
    assert "not in the store any more" in unused["unknown"]
    assert "nothing can be said: layers" in project.wherry.ok("explain", "--unused", first)
    assert "is not known: layers" in project.wherry.ok("explain", "--reads", first)
    (copied,) = [step for step in document["steps"] if "COPY" in step["name"]]
    assert copied["why"]["cause"] == "lost"


def test_secrets_are_in_none_of_it(project: Project, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct-horse")
    step = "RUN --mount=type=secret,id=s,env=S echo $S >&2; cat /run/secrets/s a; true\n"
    for text in ("1", "2"):
        (project.folder / "a").write_text(text)
        project.build(HEAD + step, "--secret", f"id=s,src={secret}")
        assert "correct-horse" not in project.wherry.ok("explain", "--json")
    for path in project.wherry.root.glob("builds/*/*.json"):
        assert b"correct-horse" not in path.read_bytes()


def test_words_that_mean_no_build(project: Project) -> None:
    empty = project.wherry("explain")
    assert (empty.code, "no build is kept" in empty.err) == (1, True)
    project.build(HEAD, "-t", "app:v1")
    document = project.document()
    for words in ("app:v1", document["id"][:4], document["image"]):
        assert project.document(words) == document
    assert "no such build: xyz" in project.wherry("explain", "xyz").err
    assert "there is no step 9" in project.wherry("explain", "--step", "9").err


def test_a_build_of_which_nothing_is_known_says_so(project: Project) -> None:
    project.build(HEAD)
    (account,) = project.wherry.root.glob("builds/*/account.json")
    account.unlink()
    refused = project.wherry("explain")
    assert (refused.code, "nothing is kept of how the build" in refused.err) == (1, True)
