"""`build -o` and `push --compression`: what other programs make of all that is written."""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support import readers
from support.cli import Wherry, write_files
from support.ports import until
from support.readers import READERS
from support.realtrees import Tree, loose, tree_of
from support.registry import serve

pytestmark = pytest.mark.needs("root", "docker-registry", "skopeo", "umoci", "podman", "buildah")

Context = Callable[[Mapping[str, str | bytes]], Path]

DOCKERFILE = """\
FROM scratch
ADD files.tar /
COPY --chown=1000:1001 --chmod=4755 many /opt/many
CMD ["/opt/many"]
"""


def _archive() -> bytes:
    """All kinds of files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, content: bytes = b"", **fields: Any) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_500_000_000
            for key, value in fields.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))

        add("data", type=tarfile.DIRTYPE, mode=0o750, uid=7, gid=8)
        add("data/file", b"content", mode=0o640, uid=1000, gid=1001)
        add("data/same", type=tarfile.LNKTYPE, linkname="data/file", mode=0o640, uid=1000, gid=1001)
        add("data/link", type=tarfile.SYMTYPE, linkname="../data/file")
        add("data/pipe", type=tarfile.FIFOTYPE, mode=0o600)
        add("data/null", type=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
        add("data/marked", b"x", pax_headers={"SCHILY.xattr.user.colour": "blue"})
        add("data/näme", b"utf-8")
        add("data/" + "long" * 40, b"long")
    return target.getvalue()


FILES: dict[str, str | bytes] = {
    "Dockerfile": DOCKERFILE,
    "files.tar": _archive(),
    "many": b"line\n" * 500_000,
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("registry")
    with serve(str(scratch / "content"), str(scratch)) as address:
        yield address


@pytest.fixture
def app(context: Context) -> Path:
    return context(FILES)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Wherry:
    """A store that has the steps of `app` already."""
    scratch = tmp_path_factory.mktemp("builder")
    write_files(scratch / "context", FILES)
    wherry = Wherry(scratch / "wherry", scratch / "docker")
    wherry.ok("build", "-o", f"type=tar,dest={scratch}/expected.tar", scratch / "context")
    return wherry


@pytest.fixture(scope="module")
def expected(builder: Wherry, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """What the image holds, unpacked by tar, which has no part in layers."""
    folder = tmp_path_factory.mktemp("expected")
    readers.run("tar", "-xpf", builder.root.parent / "expected.tar", "-C", folder, "--xattrs")
    return _comparable(tree_of(str(folder)))


def _comparable(tree: Tree) -> Tree:
    return {path: node for path, node in loose(tree).items() if path}


@pytest.mark.parametrize(
    ("output", "source", "reader"),
    [
        ("type=oci,dest={}/a.tar", "oci-archive:{}/a.tar", "umoci"),
        ("type=oci,dest={}/a,tar=false", "oci:{}/a:v1", "podman"),
        ("type=oci,dest={}/a.tar,compression=zstd,compression-level=9", "oci-archive:{}/a.tar", "podman"),
        ("type=oci,dest={}/a,tar=false,compression=zstd,force-compression=true", "oci:{}/a:v1", "buildah"),
        ("type=oci,dest={}/a.tar,compression=uncompressed", "oci-archive:{}/a.tar", "umoci"),
        ("type=oci,dest={}/a.tar,oci-mediatypes=false", "oci-archive:{}/a.tar", "buildah"),
        ("type=oci,dest={}/a.tar,compression=gzip,compression-level=9", "oci-archive:{}/a.tar", "umoci"),
        ("type=docker,dest={}/a.tar", "docker-archive:{}/a.tar", "podman"),
        ("type=docker,dest={}/a.tar", "oci-archive:{}/a.tar", "umoci"),
        ("type=docker,dest={}/a.tar,compression=gzip", "docker-archive:{}/a.tar", "umoci"),
        ("type=docker,dest={}/a.tar,compression=zstd", "docker-archive:{}/a.tar", "podman"),
    ],
)
def test_other_programs_read_what_is_written(
    builder: Wherry, expected: Tree, tmp_path: Path, output: str, source: str, reader: str
) -> None:
    builder.ok("build", "-t", "app:v1", "-o", output.format(tmp_path), builder.root.parent / "context")
    assert _comparable(READERS[reader](source.format(tmp_path))) == expected


@pytest.mark.parametrize(
    ("form", "reader"),
    [
        ("", "buildah"),
        (",compression=gzip,oci-mediatypes=false", "umoci"),
        (",compression=zstd,annotation.a=b", "podman"),
        (",compression=uncompressed", "umoci"),
    ],
)
def test_other_programs_read_what_is_pushed(
    builder: Wherry, host: str, expected: Tree, form: str, reader: str
) -> None:
    name = f"{host}/read:{len(form)}"
    builder.ok("build", "-t", name, "-o", f"type=registry{form}", builder.root.parent / "context")
    assert _comparable(READERS[reader](f"docker://{name}")) == expected


def _raw(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        readers.run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    )
    return found


def test_a_push_by_the_build(wherry: Wherry, host: str, app: Path, tmp_path: Path) -> None:
    name = f"{host}/pushed:v1"
    wherry.ok(
        *("build", "-t", name, "-o", "type=registry,annotation.Some.Key=v,compression=zstd"),
        *("--metadata-file", tmp_path / "meta", "--iidfile", tmp_path / "iid", app),
    )
    manifest = _raw(name)
    assert manifest["annotations"] == {"Some.Key": "v"}
    assert {layer["mediaType"] for layer in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar+zstd"
    }
    metadata = json.loads((tmp_path / "meta").read_text())
    digest = readers.run(
        "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{name}"
    )
    assert metadata["containerimage.digest"] == digest.strip()
    assert metadata["containerimage.descriptor"]["digest"] == digest.strip()
    assert metadata["containerimage.config.digest"] == (tmp_path / "iid").read_text()
    assert wherry.ok("images", "-q", "--no-trunc", name).split() == [(tmp_path / "iid").read_text()]


def test_a_push_alone_leaves_no_name(wherry: Wherry, host: str, app: Path) -> None:
    name = f"{host}/alone:v1"
    wherry.ok("build", "-o", f"type=registry,name={name},store=false", app)
    assert _raw(name)["layers"]
    assert wherry.ok("images", "-aq") == ""


def test_a_push_by_digest_moves_no_tag(wherry: Wherry, host: str, app: Path, tmp_path: Path) -> None:
    repository = f"{host}/digests"
    wherry.ok(
        *("build", "-o", f"type=image,name={repository},push-by-digest=true"),
        *("--metadata-file", tmp_path / "meta", app),
    )
    digest = json.loads((tmp_path / "meta").read_text())["containerimage.digest"]
    assert _raw(f"{repository}@{digest}")["layers"]
    assert wherry("pull", f"{repository}:latest").code == 1


def test_a_push_that_fails_leaves_what_was_there(wherry: Wherry, app: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("old")
    done = wherry("build", "-t", "127.0.0.1:1/app:v1", "--push", "-o", f"type=oci,dest={tmp_path}/a.tar", app)
    assert done.code == 1
    assert "127.0.0.1:1" in done.err
    assert (tmp_path / "a.tar").read_text() == "old"
    assert wherry.ok("images", "-aq") == ""


def test_mistakes_are_told_before_the_work(wherry: Wherry, app: Path, tmp_path: Path) -> None:
    for output, message in {
        "type=registry": "a push needs a name",
        f"type=oci,dest={tmp_path}/a,rewrite-timestamp=true": "set SOURCE_DATE_EPOCH",
        f"type=oci,dest={tmp_path}/a,annotation-index.a=b": "an image of one platform has none",
        f"type=oci,dest={tmp_path}/a,annotation-manifest[linux/s390x].a=b": "which is not built",
        "type=image,annotation-manifest-descriptor.a=b": "-o type=oci takes them",
        "type=image,unpack=true": "unpack=true is not supported",
        f"type=oci,dest={tmp_path}/no/a.tar": f"there is no folder {tmp_path}/no",
        f"type=tar,dest={tmp_path}": "it is a folder",
        f"type=local,dest={app}/Dockerfile": "it is not a folder",
    }.items():
        done = wherry("build", "-o", output, app)
        assert done.code != 0, output
        assert message in done.err, output
        assert "COPY" not in done.err, output


def test_a_form_in_the_store_is_what_is_pushed(wherry: Wherry, host: str, app: Path) -> None:
    name = f"{host}/formed:v1"
    wherry.ok("build", "-t", name, "-o", "type=image,compression=zstd,annotation.a=b", app)
    wherry.ok("push", name)
    manifest = _raw(name)
    assert manifest["annotations"] == {"a": "b"}
    assert manifest["layers"][0]["mediaType"].endswith("+zstd")


def test_push_compresses_as_it_is_told(wherry: Wherry, host: str, app: Path) -> None:
    """Own layers anew; those that were pulled only by force."""
    name = f"{host}/compressed:v1"
    wherry.ok("build", "-t", name, app)
    kinds = []
    for words in (
        [],
        ["--compression", "zstd", "--compression-level", "19"],
        ["--compression", "uncompressed"],
    ):
        wherry.ok("push", *words, name)
        kinds.append([layer["mediaType"].rpartition("tar")[2] for layer in _raw(name)["layers"]])
    assert kinds == [["+gzip"] * 2, ["+zstd"] * 2, [""] * 2]
    wherry.ok("push", "--compression", "gzip", name)
    pulled = _raw(name)
    wherry.ok("rmi", name)
    wherry.ok("prune", "-af")
    wherry.ok("pull", name)
    wherry.ok("push", "--compression", "zstd", name)
    assert _raw(name) == pulled
    wherry.ok("push", "--compression", "zstd", "--force-compression", name)
    assert {layer["mediaType"].rpartition("tar")[2] for layer in _raw(name)["layers"]} == {"+zstd"}
    done = wherry("push", "--compression", "lz4", name)
    assert done.code != 0
    assert "choose one of: gzip, zstd, uncompressed" in done.err


def test_times_are_limited_in_own_layers_alone(wherry: Wherry, app: Path, tmp_path: Path) -> None:
    epoch = {"SOURCE_DATE_EPOCH": "1400000000"}
    base = tmp_path / "base"
    base.mkdir()
    (base / "Dockerfile").write_text("FROM scratch\nCOPY . /base/\n")
    wherry.ok("build", "--timestamps=keep", "-t", "base", base)
    shutil.copy(app / "files.tar", base)
    (app / "Dockerfile").write_text(DOCKERFILE.replace("scratch", "base"))
    output = f"type=oci,tar=false,dest={tmp_path}/layout"
    wherry.ok("build", "-t", "app:kept", "--timestamps=keep", "-o", output, app)
    wherry.ok(
        "build",
        "-t",
        "app:limited",
        "--timestamps=keep",
        "-o",
        f"{output},rewrite-timestamp=true",
        app,
        env=epoch,
    )
    kept, limited = (readers.umoci(f"oci:{tmp_path}/layout:{tag}") for tag in ("kept", "limited"))
    assert kept.keys() == limited.keys()
    assert kept["data/file"].mtime == 1_500_000_000
    assert limited["data/file"].mtime == limited["opt/many"].mtime == 1_400_000_000
    assert limited["base/Dockerfile"].mtime == kept["base/Dockerfile"].mtime > 1_500_000_000
    timeless = [{path: node._replace(mtime=0) for path, node in tree.items()} for tree in (kept, limited)]
    assert timeless[0] == timeless[1]
    assert wherry.ok("images", "-aq").split() == wherry.ok("images", "-q", "base").split()


def test_standard_output_beside_files(wherry: Wherry, app: Path, tmp_path: Path) -> None:
    out = wherry.root.parent / "out.tar"
    with open(out, "wb") as file:
        done = subprocess.run(
            [*wherry.command, "build", "-q", "-o", "-", "-o", f"type=oci,dest={tmp_path}/a.tar", str(app)],
            env=wherry.environment,
            stdout=file,
            check=False,
        )
    assert done.returncode == 0
    with tarfile.open(out) as archive:
        assert "data/file" in archive.getnames()
    assert os.path.getsize(tmp_path / "a.tar") > 1000


def test_outputs_of_an_ordinary_user(ordinary_wherry: Wherry, expected: Tree) -> None:
    """His files are his own; what has owners has those of the image."""
    wherry = ordinary_wherry
    home = wherry.root.parent
    context = write_files(home / "context", FILES | {"closed/file": "in a closed folder"})
    (context / "Dockerfile").write_text(DOCKERFILE + "COPY --chmod=0500 closed /closed\n")
    os.chmod(context, 0o755)
    outputs = [
        f"type=local,dest={home}/out",
        f"type=tar,dest={home}/out.tar",
        f"type=oci,dest={home}/oci.tar",
    ]
    for _ in range(2):  # what is there is replaced
        wherry.ok("build", *(word for output in outputs for word in ("-o", output)), context)
    assert {os.lstat(path).st_uid for path in (home / "out").rglob("*")} == {os.stat(home).st_uid}
    assert (home / "out" / "data" / "file").samefile(home / "out" / "data" / "same")
    assert (home / "out" / "closed" / "file").stat().st_mode & 0o777 == 0o500
    with tarfile.open(home / "out.tar") as archive:
        assert archive.getmember("data/file").uid == 1000
    assert _comparable(readers.umoci(f"oci-archive:{home}/oci.tar"))["data/file"] == expected["data/file"]


def test_names_go_to_the_image_with_the_limited_times(wherry: Wherry, app: Path) -> None:
    """RUN and COPY limit times themselves; what keeps its own in a layer of the build's are an archive's."""
    epoch = {"SOURCE_DATE_EPOCH": "1400000000"}
    output = ["-o", "type=image,rewrite-timestamp=true"]
    image = wherry.ok("build", "-q", "-t", "app:limited", *output, app, env=epoch)
    assert wherry.ok("images", "-q", "--no-trunc", "app:limited") == image
    assert wherry.ok("images", "-aq", "--no-trunc") == image
    plain = wherry.ok("build", "-q", "-t", "app:plain", app, env=epoch)
    with tarfile.open(fileobj=io.BytesIO(_exported(wherry, "app:limited"))) as archive:
        limited = {member.name: member.mtime for member in archive}
    with tarfile.open(fileobj=io.BytesIO(_exported(wherry, "app:plain"))) as archive:
        kept = {member.name: member.mtime for member in archive}
    assert max(limited.values()) <= 1_400_000_000
    assert (plain == image) == (max(kept.values()) <= 1_400_000_000)
    assert limited == {name: min(mtime, 1_400_000_000) for name, mtime in kept.items()}


def _exported(wherry: Wherry, name: str) -> bytes:
    done = subprocess.run(
        [*wherry.command, "export", name], env=wherry.environment, capture_output=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_ended_leaves_what_was_there(
    wherry: Wherry, app: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """In the midst of writing: one file is whole and has not its name yet, another waits for its reader."""
    (tmp_path / "a.tar").write_text("old")
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    kinds = {"a.tar": "oci", "out": "local", "pipe": "tar"}
    outputs = [f"type={kind},dest={tmp_path}/{name}" for name, kind in kinds.items()]
    words = [word for output in outputs for word in ("-o", output)]
    build = wherry.start("build", *words, "-o", "type=image,name=app:new", app)

    def is_at_the_pipe() -> bool:
        waits = bool(select.select([reader], [], [], 0)[0])
        return waits and len(list(tmp_path.glob(".a.tar.*.new"))) == 1

    until(is_at_the_pipe)
    build.send_signal(number)
    build.communicate(timeout=60)  # though nobody reads on
    assert build.returncode != 0
    os.close(reader)
    os.unlink(tmp_path / "pipe")
    assert (tmp_path / "a.tar").read_text() == "old"
    assert [path for path in (tmp_path / "out").rglob("*") if ".wherry-" not in str(path)] == []
    if number != signal.SIGKILL:
        assert sorted(os.listdir(tmp_path)) == ["a.tar", "context", "out", "wherry"]
        assert os.listdir(tmp_path / "out") == []
    assert wherry.ok("images", "-q", "app:new") == ""
    wherry.ok("build", *words[:4], "-o", "type=image,name=app:new", app)
    assert "data" in os.listdir(tmp_path / "out")
    assert (tmp_path / "a.tar").stat().st_size > 1000
