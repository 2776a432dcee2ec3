"""`wherry rebase`: what comes out is what a build on the new base gives, or it is refused with the reason."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support import busybox, programs
from support.cli import Result, Wherry, write_files

Context = Callable[[Mapping[str, str | bytes]], Path]

BASE = "FROM busybox\nCOPY <<E /etc/release\nold\nE\nCOPY <<E /etc/motd\nold\nE\nENV VERSION=1 PLACE=/a\n"
PATCHED = BASE.replace("/etc/motd\nold", "/etc/motd\npatched\nnew line")
APP = """\
FROM base
LABEL a=b
WORKDIR /app
COPY app.txt .
RUN cat app.txt /etc/release > out; test ! -e /none
RUN test -d /etc
CMD ["cat", "/app/out"]
"""


class Project:
    """A store with busybox, and folders for Dockerfiles."""

    def __init__(self, wherry: Wherry, folder: Path) -> None:
        self.wherry = wherry
        self.folder = folder
        busybox.put(wherry.root, "busybox")

    def build(self, name: str, lines: str, *flags: str, wherry: Wherry | None = None, **files: str) -> str:
        named = {key.replace("_", "."): text for key, text in files.items()}
        folder = write_files(self.folder / name, {"Dockerfile": lines, "app.txt": "app", **named})
        return (wherry or self.wherry).ok("build", "-q", "-t", name, *flags, folder).strip()

    def rebase(self, *words: str) -> Result:
        return self.wherry("rebase", "-q", *words)

    def moved(self, image: str, onto: str) -> str:
        result = self.rebase(image, "--onto", onto)
        assert result.code == 0, result.err
        return result.out.strip()

    def refused(self, image: str, onto: str) -> str:
        result = self.rebase(image, "--onto", onto)
        assert result.code == 1, result.err
        assert result.out == ""
        return result.err

    def inspected(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.wherry.ok("inspect", image))[0]
        return found


@pytest.fixture
def project(wherry: Wherry, tmp_path: Path) -> Project:
    programs.require("root")
    return Project(wherry, tmp_path / "project")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Project:
    """Another machine, which has never seen the project."""
    return Project(Wherry(tmp_path / "elsewhere", tmp_path / "docker"), tmp_path / "there")


def test_it_is_what_a_build_on_the_new_base_gives(project: Project, elsewhere: Project) -> None:
    project.build("base", BASE)
    old = project.build("app", APP, "--label", "c=d")
    project.build("patched", PATCHED)
    result = project.wherry("rebase", "app", "--onto", "patched", "-t", "moved", "-t", "app:2")
    assert result.code == 0, result.err
    assert result.err == "3 layers moved from base to patched\n"
    new = result.out.strip()
    elsewhere.build("base", PATCHED)
    assert elsewhere.build("app", APP, "--label", "c=d") == new
    assert project.inspected("moved")["Id"] == project.inspected("app:2")["Id"] == new != old
    assert project.inspected("app")["Id"] == old
    layers = project.inspected("app")["RootFS"]["Layers"]
    assert project.inspected("moved")["RootFS"]["Layers"][-3:] == layers[-3:]
    text = project.wherry.ok("run", "--rm", "--network=none", "moved", "cat", "/app/out", "/etc/motd")
    assert text == "appold\npatched\nnew line\n"


def test_what_a_step_read_and_is_other_is_named(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", APP)
    project.build("patched", BASE.replace("/etc/release\nold", "/etc/release\nnew"))
    text = project.refused("app", "patched")
    assert "[4/5] RUN cat app.txt /etc/release > out; test ! -e /none looked at what is not the same" in text
    assert "\n/etc/release: content\n" in text


def test_what_a_step_did_not_find_and_is_there_is_named(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", APP)
    project.build("patched", BASE + "COPY <<E /none\nE\n")
    assert "\n/none: new\n" in project.refused("app", "patched")


def test_a_step_that_changed_nothing_has_to_hold_too(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", "FROM base\nCOPY app.txt /\nRUN grep -q old /etc/motd\n")
    project.build("patched", PATCHED)
    text = project.refused("app", "patched")
    assert "[3/3] RUN grep" in text and "/etc/motd: content" in text


def test_folders_on_the_way_to_a_target_have_to_be_the_same(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", "FROM base\nCOPY app.txt /srv/app/\n")
    project.build("patched", BASE + "RUN mkdir /real && ln -s /real /srv\n")
    text = project.refused("app", "patched")
    assert "[2/2] COPY app.txt /srv/app/" in text
    assert "/srv: new" in text


def test_names_of_owners_have_to_be_the_same(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", "FROM base\nCOPY --chown=web app.txt /\n")
    project.build("patched", BASE + "RUN sed -i s/1000/1001/ /etc/passwd\n")
    assert "/etc/passwd: content" in project.refused("app", "patched")


@pytest.mark.parametrize(
    "lines",
    [
        "FROM base\nCOPY app.txt /\n",
        "FROM base\nENV PATH=/app/bin:$PATH VERSION=1\nCOPY app.txt $PLACE/\nLABEL v=$VERSION\n",
        "FROM base\nARG VERSION\nEXPOSE 80\nUSER web\nCOPY app.txt /\n",
        'FROM base\nENTRYPOINT ["/x"]\nVOLUME /data\nCOPY app.txt /\nHEALTHCHECK NONE\nSTOPSIGNAL 9\n',
    ],
)
def test_the_config_is_that_of_a_build(project: Project, elsewhere: Project, lines: str) -> None:
    """What the image says stays, what it takes from its base comes from the new one, variables expanded."""
    fresh = (
        'ENV PATH=/new/bin:$PATH EXTRA=1\nCMD ["new"]\nLABEL of=base\nEXPOSE 22\nSHELL ["/bin/ash", "-c"]\n'
    )
    project.build("base", BASE)
    project.build("app", lines)
    project.build("patched", PATCHED + fresh)
    new = project.moved("app", "patched")
    elsewhere.build("base", PATCHED + fresh)
    assert elsewhere.build("app", lines) == new


def test_a_variable_of_the_base_that_a_run_sees_is_named(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", APP)
    project.build("patched", BASE.replace("VERSION=1", "VERSION=2"))
    text = project.refused("app", "patched")
    assert "[4/5] RUN" in text and "other settings" in text
    assert "\nENV VERSION: 1 -> 2\n" in text


def test_another_place_to_copy_to_is_named(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", "FROM base\nCOPY app.txt $PLACE/\n")
    project.build("patched", BASE.replace("PLACE=/a", "PLACE=/b"))
    assert "\ntarget: /a/ -> /b/\n" in project.refused("app", "patched")


@pytest.mark.parametrize("flags", [("--timestamps=keep",), ("--build-arg", "SOURCE_DATE_EPOCH=1700000000")])
def test_times_are_those_of_the_build(project: Project, elsewhere: Project, flags: tuple[str, ...]) -> None:
    lines = "FROM base\nCOPY --chmod=600 <<E /x\nE\nRUN cat /x /etc/release > /y && touch -d @5000 /y\n"
    project.build("base", BASE)
    project.build("app", lines, *flags)
    project.build("patched", PATCHED)
    elsewhere.build("base", PATCHED)
    assert elsewhere.build("app", lines, *flags) == project.moved("app", "patched")


def test_what_is_copied_from_elsewhere_stays(project: Project, elsewhere: Project) -> None:
    """Archives, here-documents, patterns; none of it is asked for again."""
    lines = (
        "FROM base\nADD app.tar /unpacked/\nCOPY --chown=web:web <<E /etc/made\nmade\nE\n"
        "COPY --parents --exclude=*.tar app* /parents/\n"
    )
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("in/it"))
    text = archive.getvalue().decode()
    project.build("base", BASE)
    project.build("app", lines, app_tar=text)
    project.build("patched", PATCHED)
    elsewhere.build("base", PATCHED)
    assert elsewhere.build("app", lines, app_tar=text) == project.moved("app", "patched")


def test_an_image_that_an_output_changed_is_refused(project: Project) -> None:
    project.build("base", BASE)
    project.build("patched", PATCHED)
    project.build("app", "FROM base\nCOPY app.txt /\n")
    drawn = project.wherry.root / "blueprints"
    image = project.wherry.ok("squash", "app").strip()
    one, other = (
        drawn / f"{name.removeprefix('sha256:')}.json" for name in (project.inspected("app")["Id"], image)
    )
    other.write_text(one.read_text())
    assert "not what its Dockerfile gives" in project.refused(image, "patched")
    other.write_text("{}")
    assert "not a Blueprint" in project.refused(image, "patched")


def test_stages_on_the_same_base_move_too(project: Project, elsewhere: Project) -> None:
    lines = (
        "FROM base AS build\nCOPY app.txt /src/\nRUN cp /src/app.txt /built\n"
        "FROM base\nCOPY --from=build /built /app\n"
        "RUN --mount=type=bind,from=build,target=/b cat /b/built > /x\n"
    )
    project.build("base", BASE)
    project.build("app", lines)
    project.build("patched", PATCHED)
    elsewhere.build("base", PATCHED)
    assert elsewhere.build("app", lines) == project.moved("app", "patched")


def test_a_stage_that_would_give_something_else_is_named(project: Project) -> None:
    project.build("base", BASE)
    project.build(
        "app",
        "FROM base AS build\nCOPY app.txt /src/\nRUN cat /etc/motd > /built\n"
        "FROM base\nCOPY --from=build /built /app\n",
    )
    project.build("patched", PATCHED)
    text = project.refused("app", "patched")
    assert "[build 3/3] RUN cat /etc/motd > /built" in text and "/etc/motd: content" in text


def test_other_bases_stay(project: Project, elsewhere: Project) -> None:
    lines = (
        "FROM busybox AS tools\nFROM base\nCOPY --from=tools /bin/busybox /tool\n"
        "COPY --from=0 /etc/passwd /p\n"
    )
    project.build("base", BASE)
    project.build("app", lines)
    project.build("patched", PATCHED)
    elsewhere.build("base", PATCHED)
    assert elsewhere.build("app", lines) == project.moved("app", "patched")


def test_files_that_a_copy_takes_from_the_base_are_looked_at(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", "FROM base AS one\nFROM base\nCOPY --from=one /etc/motd /copy\n")
    project.build("patched", PATCHED)
    assert "[stage-1 2/2] COPY --from=one /etc/motd /copy would copy other files" in project.refused(
        "app", "patched"
    )


def test_a_run_that_was_not_observed_is_named(project: Project, elsewhere: Project) -> None:
    """Nothing was copied below it: that is told, with what helps."""
    lines = "FROM base\nRUN cat /etc/release > /copy\n"
    project.build("base", BASE)
    project.build("app", lines)
    project.build("patched", PATCHED)
    text = project.refused("app", "patched")
    assert "it is not known what [2/2] RUN cat /etc/release > /copy looked at" in text
    assert "--observe=all" in text
    project.build("app", lines, "--no-cache", "--observe=all")
    elsewhere.build("base", PATCHED)
    assert project.moved("app", "patched") == elsewhere.build("app", lines)


def test_what_was_moved_can_be_moved_again(project: Project) -> None:
    project.build("base", BASE)
    first = project.build("app", APP)
    project.build("patched", PATCHED)
    second = project.moved("app", "patched")
    assert project.moved(second, "base") == first
    assert project.moved("app", "base") == first


def test_a_folder_of_the_context_is_not_needed(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", APP)
    project.build("patched", PATCHED)
    for name in ("app.txt", "Dockerfile"):
        (project.folder / "app" / name).unlink()
    project.moved("app", "patched")


def test_of_several_platforms_each_can_be_moved(project: Project) -> None:
    """By its ID; a name means the one for this machine."""
    both, lines = (
        "--platform=linux/amd64,linux/arm64",
        "FROM base\nARG TARGETARCH\nCOPY app.txt /$TARGETARCH\n",
    )
    base = "FROM scratch\nARG TARGETARCH\nCOPY app.txt /base/$TARGETARCH\n"
    project.build("base", base, both)
    project.build("app", lines, both)
    project.build("patched", base + "COPY app.txt /patch\n", both)
    found = {}
    for name in ("amd64", "arm64"):
        image = project.wherry.ok("inspect", "--platform", f"linux/{name}", "-f", "{{.Id}}", "app").strip()
        found[name] = project.moved(image, "patched")
    assert project.moved("app", "patched") in found.values()
    for name, moved in found.items():
        project.build("base", base + "COPY app.txt /patch\n", both)
        assert project.build("again", lines, f"--platform=linux/{name}") == moved


def test_triggers_of_the_new_base_are_other_steps(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", APP)
    project.build("patched", BASE + "ONBUILD COPY app.txt /onbuild\n")
    assert "ONBUILD" in project.refused("app", "patched")
    project.build("patched", BASE + "ONBUILD COPY --from=busybox /bin/busybox /x\n")
    assert "the image busybox is a new one" in project.refused("app", "patched")


def test_images_of_others_are_refused(project: Project) -> None:
    project.build("patched", PATCHED)
    text = project.refused("busybox", "patched")
    assert "it is not known how this image was built" in text
    project.build("bare", "FROM scratch\nCOPY app.txt /\n")
    assert "FROM scratch" in project.refused("bare", "patched")
    assert project.rebase("nothing", "--onto", "patched").code == 1


def test_a_base_for_another_platform_is_refused(project: Project) -> None:
    project.build("base", BASE)
    project.build("app", APP)
    project.build("foreign", "FROM scratch\nCOPY app.txt /\n", "--platform=linux/arm64")
    assert "linux/arm64" in project.refused("app", "foreign")


def test_prune_takes_what_is_known_of_an_image_with_it(project: Project) -> None:
    project.build("base", BASE)
    image = project.build("app", APP)
    known = project.wherry.root / "blueprints" / f"{image.removeprefix('sha256:')}.json"
    assert known.exists()
    assert known.stat().st_mode & 0o077 == 0 or known.parent.stat().st_mode & 0o077 == 0
    project.wherry.ok("prune", "-f")
    assert known.exists()
    project.wherry.ok("rmi", "app")
    project.wherry.ok("prune", "-f")
    assert not known.exists()


def test_no_proxy_and_no_secret_is_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:swordfish@proxy.invalid")
    monkeypatch.setenv("WORD", "swordfish")
    project.build("base", BASE)
    lines = "FROM base\nRUN --mount=type=secret,id=w,env=W true\n"
    project.build("app", lines, "--secret", "id=w,env=WORD", "--build-arg", "https_proxy=http://swordfish")
    documents = list((project.wherry.root / "blueprints").iterdir())
    assert len(documents) == 2
    assert not any("swordfish" in document.read_text() for document in documents)


PATHS = st.sampled_from(("a", "b", "d/a", "d/b", "d/e/a", "l"))
COMMANDS = (
    "cat /base/{0}", "ls -1R /base/d", "test -e /base/{0} && echo there", "stat -c %a /base/{0}",
    "readlink /base/{0}", "cp -r /base/{0} /out/", "mv /base/{0} /out/", "rm -rf /base/{0}",
    "echo more >> /base/{0}", "chmod 700 /base/{0}", "ln /base/{0} /out/hard", "mkdir -p /base/{0}",
    "find /base -name a | sort", "cat app.txt", "ls /base", "cd /base/d && cat ../{0}",
)  # fmt: skip
commands = st.lists(
    st.tuples(st.sampled_from(COMMANDS), PATHS).map(lambda item: item[0].format(item[1])),
    min_size=1,
    max_size=2,
)
COPIES = ("COPY app.txt /base/", "COPY app.txt /base/d/e/new", "COPY . /base/l/", "WORKDIR /base/d/x")
steps = st.lists(
    st.one_of(commands.map(lambda some: f"RUN {{ {'; '.join(some)}; }} > /out/$(ls /out | wc -l) 2>&1; true"),
              st.sampled_from(COPIES)),
    min_size=1, max_size=3,
)  # fmt: skip
trees = st.dictionaries(PATHS, st.sampled_from(("1", "2", "-> d", "-> a")), max_size=5)


def base_of(tree: dict[str, str]) -> str:
    """Lines for a base with these files and links."""
    commands = ["mkdir -p /base/d/e"]
    for path, content in sorted(tree.items()):
        is_link = content.startswith("->")
        commands.append(f"ln -s {content[3:]} /base/{path}" if is_link else f"echo {content} > /base/{path}")
    return "FROM busybox\nRUN " + "; ".join(commands) + "\n"


def test_whatever_the_bases_are_it_is_what_a_build_gives(tmp_path: Path) -> None:
    """Or it is refused."""
    programs.require("root", "busybox")
    project = Project(Wherry(tmp_path / "store", tmp_path / "docker"), tmp_path / "project")
    moved = refused = 0

    @settings(
        max_examples=16,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize=True,
    )
    @given(trees, trees, steps)
    def check(old: dict[str, str], other: dict[str, str], lines: list[str]) -> None:
        nonlocal moved, refused
        new = dict(list(old.items())[1:]) | dict(list(other.items())[:1])
        app = "\n".join(("FROM base", "RUN mkdir /out", "WORKDIR /app", "COPY app.txt .", *lines)) + "\n"
        project.build("base", base_of(old))
        folder = write_files(project.folder / "app", {"Dockerfile": app, "app.txt": "app"})
        if project.wherry("build", "-q", "-t", "app", "--observe=all", "--no-cache", folder).code:
            return
        project.build("patched", base_of(new))
        result = project.rebase("app", "--onto", "patched")
        if result.code == 0:
            moved += 1
            project.wherry.ok("tag", "patched", "base")
            assert project.build("again", app, "--no-cache") == result.out.strip()
        else:
            refused += 1
            assert result.err.startswith("error: [")

    check()
    assert moved > 2 and refused > 2
