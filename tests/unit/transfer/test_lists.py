"""`wherry manifest`: lists of images that become an index, and what lies under a name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import busybox, remote, severalplatforms
from support.cli import Result, Wherry
from support.remote import described, sha256
from wherry.oci import media
from wherry.testing.registry import Registry

ARM, OTHER = remote.make({"a": b"arm"}, architecture="arm64"), remote.make({"b": b"amd"})
SEVERAL = severalplatforms.make()

Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        remote.publish(registry, "from/app:arm", ARM)
        remote.publish(registry, "from/app:amd", OTHER)
        severalplatforms.publish(registry, "from/several:all", SEVERAL)
        yield registry


@pytest.fixture
def run(server: Registry, wherry: Wherry, tmp_path: Path) -> Run:
    """`wherry manifest ...`, with HOST for the registry."""

    def call(*words: str) -> Result:
        return wherry("manifest", *(word.replace("HOST", server.host) for word in words), cwd=tmp_path)

    return call


def _ok(result: Result) -> str:
    assert result.code == 0, result.err
    return result.out


def _entries(server: Registry, tag: str, repository: str = "to/app") -> list[dict[str, Any]]:
    document = json.loads(server.manifests[repository, tag][1])
    entries: list[dict[str, Any]] = document["manifests"]
    return entries


def _entry(image: remote.Made, architecture: str, **more: str) -> dict[str, Any]:
    platform = {"architecture": architecture, "os": "linux", **more}
    return described(image.manifest, media.MANIFEST) | {"platform": platform}


def test_two_images_become_one_name(server: Registry, run: Run) -> None:
    out = _ok(run("create", "HOST/to/app:both", "HOST/from/app:arm", "docker://HOST/from/app:amd"))
    assert out == f"Created manifest list {server.host}/to/app:both\n"
    assert ("to/app", "both") not in server.manifests
    *lines, digest = _ok(run("push", "HOST/to/app:both")).splitlines()
    media_type, raw = server.manifests["to/app", "both"]
    assert (media_type, sha256(raw)) == (media.INDEX, digest)
    assert _entries(server, "both") == [_entry(ARM, "arm64"), _entry(OTHER, "amd64")]
    assert server.manifests["to/app", ARM.digest] == (media.MANIFEST, ARM.manifest)
    assert {digest for place, digest in server.blobs if place == "to/app"} == {
        sha256(blob) for image in (ARM, OTHER) for blob in (image.config, *image.layers)
    }
    assert not server.asked("GET", f"/blobs/{sha256(ARM.layers[0])}")
    assert len(lines) == 2


def test_platforms_are_corrected(server: Registry, run: Run) -> None:
    _ok(run("create", "HOST/to/app:x", "HOST/from/app:arm", "HOST/from/app:amd"))
    _ok(run("annotate", "HOST/to/app:x", "HOST/from/app:arm", "--arch", "arm", "--variant=v6"))
    _ok(
        run(
            "annotate",
            *("HOST/to/app:x", OTHER.digest, "--os=windows", "--os-version=10.0.17763.1"),
            *("--os-features=win32k", "--annotation=a=b=c"),
        )
    )
    _ok(run("push", "-q", "HOST/to/app:x"))
    arm, windows = _entries(server, "x")
    assert arm == _entry(ARM, "arm", variant="v6")
    assert windows == described(OTHER.manifest, media.MANIFEST) | {
        "platform": {
            "architecture": "amd64",
            "os": "windows",
            "os.version": "10.0.17763.1",
            "os.features": ["win32k"],
        },
        "annotations": {"a": "b=c"},
    }


def test_amending(server: Registry, run: Run) -> None:
    _ok(run("create", "HOST/to/app:x", "HOST/from/app:arm"))
    refused = run("create", "HOST/to/app:x", "HOST/from/app:amd")
    assert (refused.code, "already" in refused.err, "--amend" in refused.err) == (1, True, True)
    _ok(run("annotate", "HOST/to/app:x", "HOST/from/app:arm", "--variant", "v9"))
    _ok(run("create", "--amend", "HOST/to/app:x", "HOST/from/app:amd"))
    assert json.loads(_ok(run("inspect", "HOST/to/app:x")))["manifests"] == [
        _entry(ARM, "arm64", variant="v9"),
        _entry(OTHER, "amd64"),
    ]
    _ok(run("create", "-a", "HOST/to/app:x", "HOST/from/app:arm"))
    assert json.loads(_ok(run("inspect", "HOST/to/app:x")))["manifests"] == [
        _entry(ARM, "arm64"),
        _entry(OTHER, "amd64"),
    ]
    _ok(run("create", "--amend", "HOST/to/app:new", "HOST/from/app:arm"))


def test_an_index_brings_its_entries(server: Registry, run: Run) -> None:
    _ok(run("create", "HOST/to/app:x", "HOST/from/several:all", "HOST/from/app:arm"))
    _ok(run("push", "HOST/to/app:x", "HOST/to/other:y"))
    entries = json.loads(SEVERAL.raw)["manifests"]
    assert _entries(server, "y", "to/other") == [*entries, _entry(ARM, "arm64")]
    assert ("to/app", "x") not in server.manifests
    found = run("annotate", "HOST/to/app:x", "HOST/from/several:all", "--arch=arm")
    assert (found.code, "is several images of the list" in found.err) == (125, True)
    assert SEVERAL.arm64.digest in found.err
    _ok(run("annotate", "HOST/to/app:x", f"HOST/from/several@{SEVERAL.arm64.digest}", "--variant=v9"))


def test_docker_images_make_a_docker_list(server: Registry, run: Run) -> None:
    document = json.loads(ARM.manifest) | {"mediaType": media.DOCKER_MANIFEST}
    document["config"]["mediaType"] = media.DOCKER_CONFIG
    server.add_manifest("from/app", "docker", json.dumps(document).encode(), media.DOCKER_MANIFEST)
    _ok(run("create", "HOST/to/app:x", "HOST/from/app:docker"))
    _ok(run("push", "--purge", "HOST/to/app:x"))
    assert server.manifests["to/app", "x"][0] == media.DOCKER_LIST
    assert json.loads(server.manifests["to/app", "x"][1])["mediaType"] == media.DOCKER_LIST
    assert "there is no list" in run("push", "HOST/to/app:x").err


def test_images_of_the_store_and_of_layouts(
    server: Registry, run: Run, wherry: Wherry, tmp_path: Path
) -> None:
    image_id = busybox.put(wherry.root, "box:v1")
    wherry.ok("copy", f"{server.host}/from/app:arm", "oci:layout:v1", cwd=tmp_path)
    _ok(run("create", "HOST/to/app:x", "store:box:v1", "oci:layout:v1"))
    _ok(run("annotate", "HOST/to/app:x", "oci:layout:v1", "--variant=v9"))
    _ok(run("push", "HOST/to/app:x"))
    box, arm = _entries(server, "x")
    assert arm == _entry(ARM, "arm64", variant="v9")
    assert json.loads(server.manifests["to/app", box["digest"]][1])["config"]["digest"] == image_id
    refused = run("create", "HOST/to/app:y", "oci-archive:a.tar")
    assert refused.code == 1


def test_an_image_that_moved_is_not_taken(server: Registry, run: Run, wherry: Wherry) -> None:
    """What is pushed is what was looked at, also where the name means another image by then."""
    busybox.put(wherry.root, "box:v1")
    _ok(run("create", "HOST/to/app:x", "HOST/from/app:arm", "store:box:v1"))
    del server.manifests["from/app", "arm"]
    wherry.ok("copy", f"{server.host}/from/app:amd", "store:box:v1")
    result = run("push", "HOST/to/app:x")
    assert (result.code, "store:box:v1 is not what it was when it came into the list" in result.err) == (
        1,
        True,
    )
    assert ("to/app", ARM.digest) in server.manifests
    assert ("to/app", "x") not in server.manifests


def test_lists_are_forgotten(run: Run, wherry: Wherry) -> None:
    _ok(run("create", "HOST/to/app:x", "HOST/from/app:arm"))
    _ok(run("rm", "HOST/to/app:x"))
    again = run("rm", "HOST/to/app:x", "HOST/to/app:y")
    assert (again.code, again.err.count("there is no list")) == (1, 2)
    assert list((wherry.root / "lists").iterdir()) == []


def test_inspect_shows_what_a_registry_has(server: Registry, run: Run) -> None:
    assert json.loads(_ok(run("inspect", "HOST/from/several:all"))) == json.loads(SEVERAL.raw)
    assert _ok(run("inspect", "--raw", "HOST/from/several:all")).encode() == SEVERAL.raw
    one = json.loads(_ok(run("inspect", "-v", "HOST/from/app:arm")))
    assert one == {
        "Ref": f"{server.host}/from/app:arm@{ARM.digest}",
        "Descriptor": _entry(ARM, "arm64"),
        "Raw": base64.b64encode(ARM.manifest).decode(),
        "OCIManifest": json.loads(ARM.manifest),
    }
    several = json.loads(_ok(run("inspect", "--verbose", "HOST/from/several:all")))
    assert [base64.b64decode(item["Raw"]) for item in several] == list(SEVERAL.manifests.values())
    assert [item["Descriptor"] for item in several] == json.loads(SEVERAL.raw)["manifests"]


def test_inspect_shows_lists_layouts_and_the_store(
    run: Run, wherry: Wherry, server: Registry, tmp_path: Path
) -> None:
    wherry.ok("copy", f"{server.host}/from/several:all", "oci:layout:v1", cwd=tmp_path)
    wherry.ok("copy", "oci:layout:v1", "store:app:v1", cwd=tmp_path)
    for place in ("oci:layout:v1", "store:app:v1"):
        assert _ok(run("inspect", "--raw", place)).encode() == SEVERAL.raw
    _ok(run("create", "HOST/from/app:arm", "HOST/from/app:amd"))
    assert json.loads(_ok(run("inspect", "HOST/from/app:arm")))["manifests"] == [_entry(OTHER, "amd64")]
    listed = json.loads(_ok(run("inspect", "HOST/from/app:arm", "HOST/from/app:amd")))
    assert listed == json.loads(OTHER.manifest)
    (verbose,) = json.loads(_ok(run("inspect", "-v", "HOST/from/app:arm")))
    assert verbose["OCIManifest"] == listed


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "HOST/to/app@sha256:" + "a" * 64, "HOST/from/app:arm"), 125, "a digest cannot be chosen"),
        (("create", "HOST/to/app:x", "HOST/from/app:none"), 1, "no such image"),
        (("annotate", "HOST/to/app:x", "HOST/from/app:arm"), 1, "there is no list"),
        (("inspect", "--raw", "-v", "HOST/from/app:arm"), 125, "contradict each other"),
        (("push", "HOST/to/app:x"), 1, "there is no list"),
    ],
)
def test_what_cannot_be(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    result = run(*words)
    assert (result.code, said in result.err) == (code, True)
    assert "bug" not in result.err


def test_annotating_nothing(run: Run) -> None:
    _ok(run("create", "HOST/to/app:x", "HOST/from/app:arm"))
    result = run("annotate", "HOST/to/app:x", "HOST/from/app:arm")
    assert (result.code, "nothing to annotate" in result.err) == (125, True)
    result = run("annotate", "HOST/to/app:x", "HOST/from/app:none", "--arch=arm")
    assert (result.code, "from/app:arm" in result.err.partition("hint:")[2]) == (1, True)
