"""Builds for several platforms: one image each, one index of them, steps that are the same executed once."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support import busybox, folders, foreign
from support.cli import Wherry, write_files
from support.progress import words
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.store.indexes import ImageIndex
from wherry.store.store import Store

pytestmark = [
    pytest.mark.needs("root", foreign.EMULATOR),
    pytest.mark.skipif(os.uname().machine == "aarch64", reason="arm64 is no other machine here"),
]

HERE = str(platforms.host())
BOTH = ("--platform", f"{HERE},linux/arm64")

CROSS = """FROM --platform=$BUILDPLATFORM base AS tools
RUN uname -m > /machine
FROM tools AS made
ARG TARGETARCH
RUN echo for $TARGETARCH > /made
FROM base
COPY --from=made /machine /made /
RUN uname -m > /own
LABEL a=b
"""


class Place:
    """A store with an image `base` for two platforms, and a context."""

    def __init__(self, folder: Path) -> None:
        self.wherry = Wherry(folder / "wherry", folder / "docker")
        self.bases = busybox.put_index(self.wherry.root, "base")
        self.context = folder / "context"

    def write(self, dockerfile: str, **files: str) -> None:
        write_files(self.context, {"Dockerfile": dockerfile, **files})

    def ids(self, *flags: str) -> dict[str, str]:
        """The images of a build by their platforms."""
        self.wherry.ok("build", "-q", *flags, "-t", "app", self.context)
        found = self.index("app")
        assert found is not None
        return {str(member.platform): member.image for member in found.members}

    def index(self, name: str) -> ImageIndex | None:
        with Store.open(str(self.wherry.root)) as store:
            return store.images.index_of(name)

    def files(self, image: str, *names: str) -> list[str]:
        """Of an image that cannot be run here."""
        with tempfile.TemporaryFile() as file:
            self.write_tar(image, file)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                members = [archive.extractfile(name) for name in names]
                return [member.read().decode().strip() for member in members if member]

    def write_tar(self, image: str, file: Any) -> None:
        from wherry.layer.layers import Layers
        from wherry.output.rootfs import Placed, write_tar
        from wherry.snapshot.view import View

        with Store.open(str(self.wherry.root)) as store:
            view = View(Layers(store), store.images.find(image).config.diff_ids)
            write_tar([Placed(view)], file)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_image_for_each_and_an_index_of_them(place: Place, tmp_path: Path) -> None:
    place.write(CROSS)
    found = words(place.wherry, place.context, *BOTH, "-t", "app")
    assert list(found.values()) == ["DONE"] * 4
    result = place.wherry("build", "--progress", "plain", *BOTH, "-t", "app", place.context)
    for name in (
        f"[{HERE} tools 2/2] RUN uname -m",
        f"[{HERE}->arm64 made 2/2] RUN echo",
        "[linux/arm64 stage-2 3/3] RUN uname -m",
        "7 steps: all reused",
    ):
        assert name in result.err
    images = place.ids(*BOTH)
    assert list(images) == [HERE, "linux/arm64"]
    machine = os.uname().machine
    own = platforms.host().architecture
    assert place.files(images[HERE], "machine", "made", "own") == [machine, f"for {own}", machine]
    assert place.files(images["linux/arm64"], "machine", "made", "own") == [machine, "for arm64", "aarch64"]
    # alone, from nothing, each is the same; and what was made for both is there for each alone
    other = Place(tmp_path / "other")
    for platform, image in images.items():
        alone = ("build", "-q", "--platform", platform)
        assert other.wherry.ok(*alone, place.context).strip() == image
        assert set(words(place.wherry, place.context, "--platform", platform).values()) == {"CACHED"}


def test_what_is_printed_is_the_image_for_this_machine(place: Place, tmp_path: Path) -> None:
    place.write("FROM base\nRUN uname -m > /own\n")
    first = ("--platform", "linux/arm64", "--platform", HERE)
    image = place.wherry.ok("build", "-q", *first, "--iidfile", tmp_path / "id", place.context).strip()
    assert place.files(image, "own") == [os.uname().machine]
    assert (tmp_path / "id").read_text() == image
    # all are there, though they have no name
    assert image in (images := place.ids(*first)).values()
    assert list(images) == ["linux/arm64", HERE]


def test_an_edit_runs_what_looked_there_again_on_each(place: Place) -> None:
    place.write("FROM base\nCOPY . /app\nRUN cat /app/a > /out\n", a="1", b="1")
    (place.context / ".dockerignore").write_text("Dockerfile")

    def ran() -> list[str]:
        result = place.wherry("build", "--progress", "plain", *BOTH, place.context)
        assert result.code == 0, result.err
        heads = [line.split(" ", 1) for line in result.err.splitlines() if line.startswith("#")]
        runs = {number: text for number, text in heads if "] RUN" in text}
        return sorted(
            text for number, text in heads if number in runs and text.startswith(("CACHED", "DONE"))
        )

    assert [word[:4] for word in ran()] == ["DONE"] * 2
    (place.context / "b").write_text("2")
    assert [word[:14] for word in ran()] == ["CACHED, REUSED"] * 2
    (place.context / "a").write_text("2")
    assert [word[:4] for word in ran()] == ["DONE"] * 2


def test_outputs(place: Place, tmp_path: Path) -> None:
    place.write(CROSS)
    layout, folder, tar = (tmp_path / name for name in ("layout", "folder", "files.tar"))
    place.wherry.ok(
        *("build", "-q", *BOTH, "-t", "app:v1", "-o", f"type=oci,dest={layout},tar=false"),
        *("-o", str(folder), "-o", f"type=tar,dest={tar}", place.context),
    )
    top = json.loads((layout / "index.json").read_text())["manifests"]
    (index,) = (read(layout, entry["digest"]) for entry in top)
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == [
        platforms.host().architecture,
        "arm64",
    ]
    assert (folder / "linux_arm64/own").read_text() == "aarch64\n"
    assert (folder / HERE.replace("/", "_") / "own").read_text() == f"{os.uname().machine}\n"
    with tarfile.open(tar) as archive:
        assert "linux_arm64/own" in archive.getnames()
    assert place.index("app:v1") is None  # the store was not asked to have it
    refused = place.wherry("build", *BOTH, "-o", f"type=docker,dest={tmp_path}/x", place.context)
    assert "a docker archive has one platform, and this image has several" in refused.err


@pytest.mark.needs("skopeo")
def test_others_read_the_index(place: Place, tmp_path: Path) -> None:
    place.write(CROSS)
    place.wherry.ok("build", "-q", *BOTH, "-o", f"type=oci,dest={tmp_path}/app.tar", place.context)
    command = ["skopeo", "inspect", "--override-arch", "arm64", f"oci-archive:{tmp_path}/app.tar"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (found["Architecture"], found["Labels"]) == ("arm64", {"a": "b"})


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("more", ["", ",compression=zstd,force-compression=true", ",store=false"])
def test_a_push_at_once(place: Place, registry: str, tmp_path: Path, more: str) -> None:
    place.write(CROSS)
    name = f"{registry}/two:v{len(more)}"
    place.wherry.ok(
        *("build", "-q", *BOTH, "-t", name, "-o", f"type=registry{more}", "--annotation", "index:a=b"),
        *("--metadata-file", tmp_path / "metadata", place.context),
    )
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    metadata = json.loads((tmp_path / "metadata").read_text())
    assert metadata["containerimage.digest"] == digests.of(raw)
    assert metadata["containerimage.descriptor"]["size"] == len(raw)
    index = json.loads(raw)
    assert index["annotations"] == {"a": "b"}
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == [
        platforms.host().architecture,
        "arm64",
    ]
    other = Wherry(tmp_path / "other", tmp_path / "docker")
    other.ok("pull", "-q", "--platform", "linux/arm64", name)
    assert "aarch64" in other.ok(
        "run", "--rm", "--network=none", "--platform", "linux/arm64", name, "uname", "-m"
    )
    assert (place.index(name) is None) == ("store" in more)


def read(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())


def test_annotations(place: Place, tmp_path: Path) -> None:
    place.write("FROM base\nLABEL a=b\n")
    flags = [
        "plain=every manifest",
        "index:on=the index",
        "manifest[linux/arm64]:on=arm64's manifest",
        "manifest-descriptor[linux/arm64],index-descriptor:on=descriptors",
        f"manifest,manifest-descriptor[{HERE}]:with:colon=x=y",
    ]
    annotate = [word for flag in flags for word in ("--annotation", flag)]
    place.wherry.ok(
        *("build", "-q", *BOTH, *annotate, "-t", "app", "-o", f"type=oci,dest={tmp_path}/l,tar=false"),
        place.context,
    )
    (top,) = json.loads((tmp_path / "l/index.json").read_text())["manifests"]
    assert top["annotations"]["on"] == "descriptors"
    index = read(tmp_path / "l", top["digest"])
    assert index["annotations"] == {"on": "the index"}
    assert [entry.get("annotations", {}) for entry in index["manifests"]] == [
        {"with:colon": "x=y"},
        {"on": "descriptors"},
    ]
    manifests = [read(tmp_path / "l", entry["digest"])["annotations"] for entry in index["manifests"]]
    assert manifests == [
        {"plain": "every manifest", "with:colon": "x=y"},
        {"plain": "every manifest", "on": "arm64's manifest", "with:colon": "x=y"},
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--annotation", "index:a=b"], "is for an index, and an image of one platform has none"),
        ([*BOTH, "--annotation", "nothing"], "--annotation 'nothing': not an annotation"),
        ([*BOTH, "--annotation", "layer:a=b"], "'layer' has no annotations"),
        ([*BOTH, "--annotation", "index[linux/arm64]:a=b"], "an index is for all platforms"),
        ([*BOTH, "--annotation", "manifest[linux/s390x]:a=b"], "is for linux/s390x, which is not built"),
        ([*BOTH[:1], "linux/arm64,,"], "not a platform: ''"),
        ([*BOTH, "--annotation", "index-descriptor:a=b"], "annotations have a place in a layout"),
    ],
)  # fmt: skip
def test_what_is_refused(shared: Wherry, tmp_path: Path, flags: list[str], message: str) -> None:
    write_files(tmp_path, {"Dockerfile": "FROM scratch\nLABEL a=b\n"})
    result = shared("build", *flags, tmp_path)
    assert result.code != 0
    assert message in result.err


def test_annotations_of_one_platform_belong_to_its_name(place: Place) -> None:
    place.write("FROM base\nLABEL a=b\n")
    place.wherry.ok("build", "-q", "--annotation", "a=b", "-t", "app", place.context)
    with Store.open(str(place.wherry.root)) as store:
        (name,) = [name for name in store.images.all_names() if "app" in str(name.reference)]
        assert (name.annotations, name.index_id) == ((("a", "b"),), None)
    place.wherry.ok("build", "-q", "-t", "app", place.context)
    with Store.open(str(place.wherry.root)) as store:
        again = store.images.name(name.reference)
        assert again is not None
        assert (again.image, again.annotations) == (name.image, ())


def test_a_name_means_what_was_built_last(place: Place) -> None:
    """One image of an index under the same name is another thing than the index."""
    place.write("FROM base\nLABEL a=b\n")
    images = place.ids(*BOTH)
    for platform in (HERE, "linux/arm64"):
        place.wherry.ok("build", "-q", "--platform", platform, "-t", "app", place.context)
        assert place.index("app") is None
        assert place.wherry.ok("inspect", "-f", "{{.Id}}", "app").strip() == images[platform]
        assert place.ids(*BOTH) == images


def test_a_failure_names_its_platform_and_its_step_can_be_entered(place: Place) -> None:
    place.write("FROM base\nRUN echo at > /at; ! uname -m | grep aarch64\n")
    result = place.wherry("build", *BOTH, "-t", "app", place.context)
    assert result.code == 1
    assert "did not complete successfully: exit code: 1 (for linux/arm64)" in result.err
    assert "  --> Dockerfile:2" in result.err
    assert place.index("app") is None
    assert place.wherry.ok("debug", "--", "sh", "-c", "cat /at; uname -m") == "at\naarch64\n"
    enter = ("debug", "--step", f"{HERE} 2", "--", "uname", "-m")
    assert place.wherry.ok(*enter) == f"{os.uname().machine}\n"


def test_a_base_that_has_not_all_of_them(place: Place) -> None:
    busybox.put(place.wherry.root, "one")
    place.write("FROM one\n")
    result = place.wherry("build", *BOTH, place.context)
    message = f"the image one in the store is for {HERE}, not for linux/arm64 (for linux/arm64)"
    assert message in result.err
    assert "  --> Dockerfile:1" in result.err


def test_bases_of_a_registry_are_pulled_for_each(place: Place, registry: str, tmp_path: Path) -> None:
    name = f"{registry}/two-bases:{tmp_path.name[-1]}"
    place.wherry.ok("tag", "base", name)
    place.wherry.ok("push", "-q", name)
    other = Wherry(tmp_path / "other", tmp_path / "docker")
    write_files(tmp_path / "context", {"Dockerfile": f"FROM {name}\nRUN uname -m > /machine\n"})
    build = ("build", "--progress", "plain", "-t", "app")
    # first for this machine alone; what is missing then is pulled for the other one
    assert other(*build, tmp_path / "context").err.count("[internal] pull") == 1
    assert other(*build, *BOTH, tmp_path / "context").err.count("[internal] pull") == 1
    again = other(*build, *BOTH, tmp_path / "context")
    assert "[internal] pull" not in again.err
    assert "2 steps: all reused" in again.err
    with Store.open(str(other.root)) as store:
        index = store.images.index_of("app")
        assert index is not None
        chains = [store.images.get(member.image).config.diff_ids[0] for member in index.members]
    with Store.open(str(place.wherry.root)) as store:
        assert chains == [store.images.get(image).config.diff_ids[0] for image in place.bases]
    assert other(*build, *BOTH, "--pull", tmp_path / "context").err.count("[internal] pull") == 2


def test_explain_and_questions(place: Place) -> None:
    place.write(CROSS + "COPY a b /\n", a="1", b="2")
    place.wherry.ok("build", "-q", *BOTH, "-t", "app", place.context)
    place.write(CROSS.replace("echo for", "echo now for") + "COPY a b /\n", b="3")
    place.wherry.ok("build", "-q", *BOTH, "-t", "app", place.context)
    steps = json.loads(place.wherry.ok("explain", "--json"))["steps"]
    ran = {step["name"].partition("] ")[0] for step in steps if step["result"] == "executed"}
    assert {f"[{HERE}->arm64 made 2/2", "[linux/arm64 stage-2 4/4"} <= ran
    assert f"[{HERE} tools 2/2" not in ran
    unused = place.wherry.ok("explain", "--unused")
    assert "are needed by no step and no image" not in unused
    outline = place.wherry.ok("build", "--call=outline", *BOTH, place.context)
    assert "BUILD ARG" not in outline
    assert place.wherry("build", "--check", *BOTH, place.context).code == 0


def test_a_cache_that_is_carried(place: Place, tmp_path: Path) -> None:
    place.write(CROSS)
    cache = tmp_path / "cache"
    place.wherry.ok("build", "-q", *BOTH, "--cache-to", f"type=local,dest={cache},mode=max", place.context)
    other = Place(tmp_path / "other")
    found = words(other.wherry, place.context, *BOTH, "--cache-from", f"type=local,src={cache}")
    assert set(found.values()) == {"CACHED"}


def test_a_cache_that_the_images_carry(place: Place, registry: str, tmp_path: Path) -> None:
    """Each carries the layers of its own."""
    place.write("FROM base\nRUN uname -m > /machine\nCOPY a /\n", a="1")
    name = f"{registry}/carrying:1"
    place.wherry.ok("build", "-q", *BOTH, "-t", name, "--push", "--cache-to", "type=inline", place.context)
    other = Place(tmp_path / "other")
    result = other.wherry("build", "--progress", "plain", *BOTH, "--cache-from", name, place.context)
    assert "4 steps: all reused" in result.err


BASES = ("base", "--platform=$BUILDPLATFORM base", "s0", "s1", "scratch")
STEPS = (
    "COPY . /app",
    "COPY a /a",
    "ARG TARGETARCH",
    "ENV TARGETARCH=x",
    "RUN uname -m >> /log",
    "RUN cat /app/a >> /log; true",
    "RUN echo $TARGETARCH >> /log",
    "RUN ls / >> /log",
    "RUN cat /log > /copied; true",
    "RUN --mount=type=bind,target=/src cat /src/b >> /log",
    "RUN --mount=type=bind,from=s0,target=/from cat /from/log >> /log; true",
    "COPY --from=s0 / /s0",
    "COPY --from=base /etc /etc-of-base",
    "WORKDIR /w/$TARGETARCH",
    "USER 1000",
)
STAGES = st.lists(
    st.tuples(st.sampled_from(BASES), st.lists(st.sampled_from(STEPS), min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)
EDITS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), min_size=1), min_size=1, max_size=2
)
WANTED = st.sampled_from((f"{HERE},linux/arm64", f"linux/arm64,{HERE}", "linux/arm64", HERE))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Place]:
    return Place(tmp_path_factory.mktemp("used")), Place(tmp_path_factory.mktemp("fresh"))


@settings(
    max_examples=int(os.environ.get("WHERRY_TEST_EXAMPLES", "3")),
    derandomize="WHERRY_TEST_EXAMPLES" not in os.environ,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(STAGES, EDITS, st.lists(WANTED, min_size=2, max_size=3))
def test_no_platform_is_given_what_is_anothers(
    stores: tuple[Place, Place],
    stages: list[tuple[str, list[str]]],
    edits: list[Mapping[str, str]],
    wanted: list[str],
) -> None:
    """Whatever was built before for whichever platform: every image is what it is alone and from nothing."""
    used, fresh = stores
    text = dockerfile(stages)
    with tempfile.TemporaryDirectory(dir=folders.fast()) as folder:
        write_files(Path(folder), {"Dockerfile": text, ".dockerignore": "Dockerfile\n", "a": "0", "b": "0"})
        for platform_list in wanted:
            for edit in edits:
                write_files(Path(folder), edit)
                names = platform_list.split(",")
                result = used.wherry("build", "-q", "--platform", platform_list, "-t", "app", folder)
                alone = [
                    fresh.wherry("build", "-q", "--no-cache", "--platform", name, folder) for name in names
                ]
                assert (result.code == 0) == all(each.code == 0 for each in alone), (result.err, text)
                if result.code == 0:
                    assert images_of(used, names, result.out) == [each.out.strip() for each in alone], text


def dockerfile(stages: list[tuple[str, list[str]]]) -> str:
    """No stage takes from a later one; the last one is for the platform that is asked for."""
    lines: list[str] = []
    for number, (base, steps) in enumerate([*stages, ("base", [f"COPY --from=s{len(stages) - 1} / /last"])]):
        known = {f"s{earlier}" for earlier in range(number)}
        if base in ("s0", "s1") and base not in known:
            base = "base"
        lines.append(f"FROM {base} AS s{number}")
        is_empty = base == "scratch"
        for step in steps:
            if ("s0" in step and "s0" not in known) or (is_empty and step.startswith("RUN")):
                continue
            lines.append(step)
    return "\n".join(lines) + "\n"


def images_of(place: Place, names: list[str], printed: str) -> list[str]:
    if len(names) == 1:
        return [printed.strip()]
    index = place.index("app")
    assert index is not None
    assert [str(member.platform) for member in index.members] == names
    return [member.image for member in index.members]
