"""podman, buildah, skopeo, umoci and bare HTTP read what wherry pushes, and wherry reads what they push."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, interop, remote
from support.cli import Wherry
from support.interop import Podman
from support.readers import READERS, run
from support.registry import serve
from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.store.store import Store

pytestmark = pytest.mark.needs(
    "root", "docker-registry", "skopeo", "podman", "buildah", "umoci", "zstd", busybox.PROGRAM
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("interop")
    with serve(str(scratch / "content"), str(scratch)) as address:
        yield address


@pytest.fixture
def second(tmp_path: Path) -> Wherry:
    """Another machine."""
    return Wherry(tmp_path / "second", tmp_path / "docker")


@pytest.fixture
def podman() -> Iterator[Podman]:
    with interop.podman() as found:
        yield found


def _tars(wherry: Wherry, name: str) -> list[bytes]:
    """The image's layers as the store has them."""
    found = []
    with Store.open(str(wherry.root)) as store:
        for diff_id in store.images.find(name).config.diff_ids:
            with Layers(store).open_tar(diff_id) as stream:
                found.append(stream.read())
    return found


def _two_layers(wherry: Wherry, tmp_path: Path, name: str, *flags: str) -> None:
    """Busybox, and a file of another owner on top of it, as a build leaves it."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a b").write_text("content of ä\n")
    shutil.copy(busybox.PROGRAM, tmp_path / "context" / "busybox")
    (tmp_path / "context" / "Dockerfile").write_text(
        "FROM scratch\n"
        "LABEL what=interop\n"
        "COPY busybox /bin/\n"
        'COPY --chown=1000:1000 --chmod=640 ["a b", "/data/copied/"]\n'
        'CMD ["/bin/busybox", "sh"]\n'
    )
    wherry.ok("build", "-t", name, *flags, tmp_path / "context")


@pytest.mark.parametrize(
    ("compression", "kind"),
    [("gzip", media.LAYER_GZIP), ("zstd", media.LAYER_ZSTD), ("uncompressed", media.LAYER_TAR)],
)
def test_what_wherry_pushed(wherry: Wherry, host: str, tmp_path: Path, compression: str, kind: str) -> None:
    name = f"{host}/pushed/{compression}:v1"
    _two_layers(wherry, tmp_path, name)
    wherry.ok("push", "--compression", compression, name)
    assert interop.tars(name) == _tars(wherry, name)
    manifest = json.loads(interop.fetch(name).body)
    assert {layer["mediaType"] for layer in manifest["layers"]} == {kind}
    found = READERS["podman"](f"docker://{name}")
    assert found["data/copied/a b"].mode == 0o640
    assert found["data/copied/a b"].owner == (1000, 1000)


def test_its_manifest(wherry: Wherry, host: str, tmp_path: Path) -> None:
    name = f"{host}/manifest:v1"
    _two_layers(wherry, tmp_path, name)
    digest = wherry.ok("push", name).rstrip().rpartition(" ")[2]
    raw, kind = interop.fetch(name)
    assert (kind, remote.sha256(raw)) == (media.MANIFEST, digest)
    document = json.loads(raw)
    assert (document["schemaVersion"], document["mediaType"]) == (2, media.MANIFEST)
    shown = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))
    assert (shown["Digest"], shown["Labels"]) == (digest, {"what": "interop"})
    assert shown["Layers"] == [layer["digest"] for layer in document["layers"]]


@pytest.mark.parametrize("options", [(), ("--format", "v2s2"), ("--compression-format", "zstd")], ids=str)
def test_what_podman_pushed(
    wherry: Wherry, second: Wherry, podman: Podman, host: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    name, other = f"{host}/box:v1", f"{host}/by-podman/{'-'.join(options).strip('-') or 'plain'}:v1"
    _two_layers(wherry, tmp_path, name)
    wherry.ok("push", name)
    podman.podman("pull", "--quiet", "--tls-verify=false", name)
    podman.podman("push", "--quiet", "--tls-verify=false", *options, name, f"docker://{other}")
    second.ok("pull", other)
    assert _tars(second, other) == _tars(wherry, name)


def test_what_buildah_committed(
    wherry: Wherry, second: Wherry, podman: Podman, host: str, tmp_path: Path
) -> None:
    name, other = f"{host}/box:v2", f"{host}/by-buildah:v1"
    _two_layers(wherry, tmp_path, name)
    wherry.ok("push", name)
    container = podman.buildah("from", "--quiet", "--tls-verify=false", name).strip()
    root = Path(podman.buildah("mount", container).strip())
    (root / "data" / "copied" / "a b").unlink()
    (root / "added").write_text("by buildah")
    podman.buildah("config", "--label", "by=buildah", container)
    podman.buildah("commit", "--quiet", "--tls-verify=false", container, f"docker://{other}")
    second.ok("pull", other)
    inspected = json.loads(second.ok("inspect", other))[0]
    assert {"what": "interop", "by": "buildah"}.items() <= inspected["Config"]["Labels"].items()
    assert second.ok("run", "--rm", other, "/bin/busybox", "cat", "/added") == "by buildah"
    assert second("run", "--rm", other, "/bin/busybox", "ls", "/data/copied/a b").code == 1


@pytest.mark.parametrize("tool", ["podman", "buildah"])
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_lists_that_they_pushed(
    wherry: Wherry, second: Wherry, podman: Podman, host: str, tmp_path: Path, tool: str, form: str
) -> None:
    name, listed = f"{host}/box:v3", f"{host}/list-by/{tool}-{form}:v1"
    _two_layers(wherry, tmp_path, name)
    wherry.ok("push", name)
    use = podman.podman if tool == "podman" else podman.buildah
    use("manifest", "create", "local/list")
    for architecture in ("s390x", "amd64"):
        use("manifest", "add", "--tls-verify=false", "--arch", architecture, "local/list", f"docker://{name}")
    use(
        "manifest",
        "push",
        "--tls-verify=false",
        "--all",
        "--format",
        form,
        "local/list",
        f"docker://{listed}",
    )
    assert interop.fetch(listed).media_type == (media.INDEX if form == "oci" else media.DOCKER_LIST)
    second.ok("pull", listed)
    assert _tars(second, listed) == _tars(wherry, name)
    again = f"{host}/list-again/{tool}-{form}:v1"
    second.ok("pull", "--all-platforms", listed)
    second.ok("tag", listed, again)
    second.ok("push", again)
    assert interop.fetch(again) == interop.fetch(listed)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_what_skopeo_copied_goes_on_as_it_is(
    wherry: Wherry, second: Wherry, host: str, tmp_path: Path, form: str, compression: str
) -> None:
    """Pulled and pushed again, byte for byte; what docker's format cannot say skopeo refuses itself."""
    name, other = f"{host}/box:v4", f"{host}/by-skopeo/{form}-{compression}:v1"
    _two_layers(wherry, tmp_path, name)
    wherry.ok("push", name)
    options = ["--src-tls-verify=false", "--dest-tls-verify=false", "--dest-compress-format", compression]
    run("skopeo", "copy", "--quiet", *options, "--format", form, f"docker://{name}", f"docker://{other}")
    second.ok("pull", other)
    assert _tars(second, other) == _tars(wherry, name)
    again = f"{host}/again/{form}-{compression}:v1"
    second.ok("tag", other, again)
    second.ok("push", again)
    assert interop.fetch(again) == interop.fetch(other)


def test_an_index_that_wherry_built(
    wherry: Wherry, second: Wherry, podman: Podman, host: str, tmp_path: Path
) -> None:
    name, other, again = (f"{host}/several/{word}:v1" for word in ("built", "copied", "again"))
    notes = ("--annotation", "index:of=the index", "--annotation", "manifest:of=the manifest")
    _two_layers(wherry, tmp_path, name, "--platform", "linux/amd64,linux/arm64", *notes)
    wherry.ok("push", name)
    raw, kind = interop.fetch(name)
    index = json.loads(raw)
    assert (kind, index["mediaType"], index["annotations"]) == (media.INDEX, media.INDEX, {"of": "the index"})
    assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
    for item in index["manifests"]:
        manifest = json.loads(interop.fetch(name, reference=item["digest"]).body)
        assert manifest["annotations"] == {"of": "the manifest"}
    assert interop.tars(name, "amd64") == interop.tars(name, "arm64") == _tars(wherry, name)
    for architecture in ("amd64", "arm64"):
        podman.podman("pull", "--quiet", "--tls-verify=false", "--arch", architecture, name)
        shown = podman.podman("image", "inspect", "--format", "{{.Architecture}}", name)
        assert shown.strip() == architecture
    options = ("--all", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", "copy", *options, f"docker://{name}", f"docker://{other}")
    second.ok("pull", "--all-platforms", other)
    second.ok("tag", other, again)
    second.ok("push", again)
    assert interop.fetch(again) == interop.fetch(other) == interop.fetch(name)
