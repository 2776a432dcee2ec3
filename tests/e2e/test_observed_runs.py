"""RUN on a parent that has changed: reused where nothing that its processes looked at is different."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, cli, ordinary
from support.cli import Wherry
from support.progress import words

DONE = "DONE"
CHROOT = "cp /bin/busybox /app/sh; chroot /app /sh -c 'read x < /d/c'; true"


class Project:
    """A context, and its Dockerfile's instructions behind `COPY . .`; `built`: what became of the last."""

    def __init__(self, wherry: Wherry, folder: Path) -> None:
        self.wherry = wherry
        self.folder = folder
        self.head = "FROM busybox\nWORKDIR /app\nCOPY . .\n"
        cli.write_files(
            folder, {".dockerignore": "Dockerfile\n.dockerignore\n", "a": "1", "b": "2", "d/c": "3"}
        )

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def built(self, *instructions: str, more: tuple[str, ...] = ()) -> str:
        (self.folder / "Dockerfile").write_text(self.head + "\n".join(instructions) + "\n")
        return list(words(self.wherry, self.folder, *more).values())[-1]


@pytest.fixture(params=["root", "python", "userns", "single-id"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """In each mode by the compiled listener, where there is one, and as root by the Python one too."""
    if request.param in ("root", "python"):
        listener = {"WHERRY_LISTENER": "python"} if request.param == "python" else {}
        wherry = Wherry(tmp_path / "wherry", tmp_path / "docker", listener)
        busybox.put(wherry.root, "busybox")
        yield Project(wherry, tmp_path / "context")
        return
    with ordinary.user(subordinate=request.param == "userns") as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        ordinary.put_busybox(user, wherry.root, "busybox")
        folder = user.home.parent / "context"
        folder.mkdir()
        folder.chmod(0o755)
        yield Project(wherry, folder)


pytestmark = pytest.mark.needs("root", "newuidmap")


def test_an_edit_that_it_did_not_look_at_does_not_run_it_again(project: Project) -> None:
    assert project.built("RUN cat a > /out") == DONE
    project.write(b="other")
    assert project.built("RUN cat a > /out") == "CACHED, REUSED (read 1 of 3 files copied: app/a; unchanged)"
    assert project.built("RUN cat a > /out") == "CACHED"
    project.write(a="other")
    assert project.built("RUN cat a > /out") == DONE


def test_a_result_that_is_the_same_again_is_the_parent_of_what_follows(project: Project) -> None:
    steps = "RUN grep -c . a > /count", "RUN cat /count > /copy"
    project.built(*steps)
    project.write(a="another line")
    found = words(project.wherry, project.folder)
    assert found["RUN grep -c . a > /count"] == DONE
    assert found["RUN cat /count > /copy"].startswith("CACHED, REUSED")


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("ls d > /out", {"d__new": ""}),
        ("for x in d/*; do echo $x; done > /out", {"d__new": ""}),
        ("test -e missing && touch /there; true", {"missing": ""}),
        ("stat -c %s b > /out", {"b": "longer"}),
        ("cp -r d /out", {"d__c": "4"}),
        ("mv d /out", {"d__c": "4"}),
        ("chmod 700 b", {"b": "3"}),
        ("echo more >> b", {"b": "3"}),
        ("ln b /out", {"b": "3"}),
        ("ln -s /app/d /link && cat /link/c > /out", {"d__c": "4"}),
        ("cd d && cat ../b > /out", {"b": "3"}),
        ("mkdir /new new; cd new && cat ../b > /out", {"b": "3"}),
        ("sh b; true", {"b": "echo"}),
        (CHROOT, {"d__c": "4"}),
        ("rm -r d", {"d__new": ""}),
    ],
)
def test_what_it_looks_at_in_any_way_runs_it_again(
    tmp_path: Path, command: str, change: dict[str, str]
) -> None:
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
    busybox.put(wherry.root, "busybox")
    project = Project(wherry, tmp_path / "context")
    assert project.built(f"RUN {command}") == DONE
    project.write(unrelated="1")
    assert project.built(f"RUN {command}").startswith("CACHED, REUSED")
    project.write(**change)
    assert project.built(f"RUN {command}") == DONE


def test_what_wherry_looks_at_to_make_the_layer_counts_too(tmp_path: Path) -> None:
    """Bytecode whose source is not there gets another time than bytecode that has one."""
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
    busybox.put(wherry.root, "busybox")
    project = Project(wherry, tmp_path / "context")
    header = r"\247\015\015\012\000\000\000\000\377\377\377\177\000\000\000\000"
    step = f"RUN printf '{header}' > m.pyc"
    assert project.built(step) == DONE
    project.write(b="other")
    assert project.built(step).startswith("CACHED, REUSED")
    (project.folder / "m.py").touch()
    assert project.built(step) == DONE


@pytest.mark.parametrize("call", ["connect_ex", "bind"])
def test_the_name_of_a_socket_is_looked_at(shared: Wherry, tmp_path: Path, call: str) -> None:
    """A layer holds no socket, but a file in its place makes another error."""
    program = f"import socket; print(socket.socket(socket.AF_UNIX).{call}('s'))"
    step = f'RUN python3 -c "{program}" > /out 2>&1; true # {tmp_path.name}'
    project = Project(shared, tmp_path / "context")
    project.head = project.head.replace("busybox", "python:3.11-slim")
    assert project.built(step) == DONE
    project.write(b="other")
    assert project.built(step).startswith("CACHED, REUSED")
    project.write(s="a file")
    assert project.built(step) == DONE


def test_the_interpreter_of_a_script_is_looked_at(project: Project) -> None:
    """The kernel opens it by itself, in no system call."""
    project.write(script="#!/app/tool\n", tool="#!/bin/sh\necho one > /out\n")
    for name in ("script", "tool"):
        (project.folder / name).chmod(0o755)
    assert project.built("RUN ./script") == DONE
    project.write(b="other")
    assert project.built("RUN ./script").startswith("CACHED, REUSED")
    project.write(tool="#!/bin/sh\necho two > /out\n")
    assert project.built("RUN ./script") == DONE


def test_a_user_s_name_is_looked_at(project: Project) -> None:
    project.head = "FROM busybox\nCOPY passwd /etc/passwd\nCOPY a b /app/\n"
    project.write(passwd="me:x:7:7::/:/bin/sh\n")
    steps = "USER me", "RUN id > /tmp/id"
    project.built("RUN chmod 777 /tmp", *steps)
    project.write(b="other")
    assert project.built("RUN chmod 777 /tmp", *steps).startswith("CACHED, REUSED")
    project.write(passwd="me:x:8:8::/:/bin/sh\n")
    assert project.built("RUN chmod 777 /tmp", *steps) == DONE


def test_a_folder_of_the_context_that_is_mounted_is_looked_at_file_by_file(project: Project) -> None:
    project.head = "FROM busybox\n"
    step = "RUN --mount=type=bind,target=/src cat /src/a > /out"
    assert project.built(step) == DONE
    project.write(b="other")
    assert project.built(step).startswith("CACHED, REUSED")
    project.write(a="other")
    assert project.built(step) == DONE


def test_a_link_in_a_mounted_folder_leads_into_the_image(project: Project) -> None:
    project.head = "FROM busybox\nCOPY a b /app/\n"
    (project.folder / "way").symlink_to("/app")
    step = "RUN --mount=type=bind,target=/src cat /src/way/a > /out"
    assert project.built(step) == DONE
    project.write(b="other")
    assert project.built(step).startswith("CACHED, REUSED")
    project.write(a="other")
    assert project.built(step) == DONE


def test_a_mount_that_lies_beyond_a_link_of_another_one(project: Project) -> None:
    """Where it is to be seen then no index tells."""
    project.head = "FROM busybox\nCOPY a b /app/\n"
    project.write(outer__f="1", inner__a="1", inner__b="1")
    (project.folder / "outer" / "x").symlink_to("../app")
    step = (
        "RUN --mount=type=bind,source=outer,target=/src --mount=type=bind,source=inner,target=/src/x"
        " cat /app/a > /out"
    )
    assert project.built(step) == DONE
    project.write(inner__a="2")
    assert project.built(step) == DONE


def test_a_link_that_a_cache_has_leads_into_the_image(project: Project) -> None:
    mount = "--mount=type=cache,target=/cache"
    project.built(f"RUN {mount} ln -sf /app /cache/way")
    look = f"RUN {mount} cat /cache/way/a > /out; true"
    look_once = f"RUN {mount} cat /cache/way/a > /out; rm -f /cache/way; true"
    for step in (look, look_once):
        assert project.built(step) == DONE
    project.write(b="other")
    assert project.built(look_once).startswith("CACHED, REUSED")
    project.write(a="other")
    assert project.built(look_once) == DONE


def test_a_link_in_a_cache_goes_by_another_name_than_the_cache_s(project: Project) -> None:
    mount = "--mount=type=cache,target=/cache"
    step = f"RUN {mount} cat /cache/way/a > /out; ln -s cache /c; rm -f /c/way"
    project.built(f"RUN {mount} ln -sf /app /cache/way")
    assert project.built(step) == DONE
    project.write(b="other")
    assert project.built(step).startswith("CACHED, REUSED")
    project.write(a="other")
    assert project.built(step) == DONE


def test_what_cannot_be_told_holds_for_its_own_parent_alone(project: Project) -> None:
    step = "RUN cat /proc/self/cwd/a > /out"
    assert project.built(step) == DONE
    assert project.built(step) == "CACHED"
    project.write(b="other")
    assert project.built(step) == DONE


def test_a_base_that_changed_where_nobody_looked(project: Project) -> None:
    def based(text: str) -> None:
        project.head = f"FROM busybox AS base\nRUN echo {text} > /etc/release\nFROM base\nCOPY a /a\n"

    based("one")
    assert project.built("RUN cat a > /out") == DONE
    based("two")
    assert project.built("RUN cat a > /out").startswith("CACHED, REUSED")
    assert project.built("RUN cat a /etc/release > /out") == DONE
    based("three")
    assert project.built("RUN cat a /etc/release > /out") == DONE


def test_a_folder_of_links_is_renamed_in_a_cache(project: Project) -> None:
    mount = "--mount=type=cache,target=/cache"
    step = f"RUN {mount} cd /cache; mv d e; cat e/way/a > /out; mv e f; rm -r f"
    project.built(f"RUN {mount} mkdir /cache/d; ln -s /app /cache/d/way")
    assert project.built(step) == DONE
    project.write(a="other")
    project.built(f"RUN {mount} mkdir /cache/d; ln -s /app /cache/d/way # again")
    assert project.built(step) == DONE


@pytest.mark.parametrize("option", ["--cache=exact", "--cache=off", "--no-cache"])
def test_it_can_be_done_without(project: Project, option: str) -> None:
    project.built("RUN cat a > /out")
    project.write(b="other")
    assert project.built("RUN cat a > /out", more=(option,)) == DONE


def test_with_an_exact_cache_nothing_is_observed(project: Project) -> None:
    project.built("RUN cat a > /out", more=("--cache=exact",))
    project.write(b="other")
    assert project.built("RUN cat a > /out") == DONE
