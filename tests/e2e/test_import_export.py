"""`import` and `export`: plain root file systems in and out, and what other programs make of them."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import ordinary, readers
from support.cli import COMMAND, Wherry
from support.containers import boxed
from support.ports import until
from support.realtrees import Tree, loose, tree_of

pytestmark = pytest.mark.needs("root", "busybox")

Context = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def box(wherry: Wherry) -> Iterator[Wherry]:
    with boxed(wherry) as box:
        yield box


@pytest.fixture
def user() -> Iterator[Wherry]:
    with ordinary.user() as someone:
        root = someone.home / "store"
        ordinary.put_busybox(someone, root, "busybox")
        yield Wherry(root, someone.home / "docker", prefix=someone.prefix)


def _tar(folder: Path) -> bytes:
    done = subprocess.run(
        ["tar", "-C", str(folder), "--xattrs", "--numeric-owner", "--sort=name", "-cf", "-", "."],
        capture_output=True,
        check=True,
    )
    return done.stdout


def _untarred(data: bytes, folder: Path) -> Tree:
    folder.mkdir()
    command = ["tar", "-C", str(folder), "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-"]
    subprocess.run(command, input=data, check=True)
    return loose({path: node for path, node in tree_of(str(folder)).items() if path})


def _bytes(wherry: Wherry, *words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        [*wherry.command, *words], input=stdin, capture_output=True, env=wherry.environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _root(folder: Path) -> Path:
    """Owners, links, devices, attributes."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (folder / "etc" / "passwd").chmod(0o640)
    os.chown(folder / "etc" / "passwd", 1000, 2000)
    os.link(folder / "etc" / "passwd", folder / "same")
    (folder / "link").symlink_to("etc/passwd")
    os.lchown(folder / "link", 3, 4)
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "null", 0o20666, os.makedev(1, 3))
    (folder / "su").write_bytes(b"program")
    (folder / "su").chmod(0o4755)
    os.setxattr(folder / "su", "user.colour", b"blue\0\xff")
    os.utime(folder / "su", ns=(10**18, 10**18))
    (folder / os.fsdecode(b"\xff name\n")).write_bytes(b"")
    with open(folder / "sparse", "wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
    return folder


@pytest.mark.parametrize("packed", ["none", "zstd"])
def test_there_and_back(wherry: Wherry, tmp_path: Path, packed: str) -> None:
    data = _tar(_root(tmp_path / "root"))
    if packed != "none":
        data = subprocess.run([packed, "-c"], input=data, capture_output=True, check=True).stdout
    image = _bytes(wherry, "import", "-", "plain", stdin=data).decode().strip()
    assert wherry.ok("images", "-q", "--no-trunc", "plain").strip() == image
    exported = _bytes(wherry, "export", "plain")
    assert _untarred(exported, tmp_path / "back") == loose(
        {path: node for path, node in tree_of(str(tmp_path / "root")).items() if path}
    )
    again = _bytes(wherry, "import", "-", stdin=exported).decode().strip()
    assert _bytes(wherry, "export", again) == exported


def test_the_same_archive_is_the_same_image(wherry: Wherry, tmp_path: Path) -> None:
    data = _tar(_root(tmp_path / "root"))
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(data))
    first = wherry.ok("import", tmp_path / "a.tar")
    assert wherry.ok("import", tmp_path / "b.tar.gz") == first
    assert wherry.ok("import", "-m", "words", tmp_path / "a.tar") != first


def test_the_config_of_an_import(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_tar(_root(tmp_path / "root")))
    changes = [
        'CMD ["/su", "-x"]', "ENTRYPOINT /su", "ENV A=b C='d e'", "ENV F=$A", "EXPOSE 80 53/udp",
        "LABEL a=b", "ONBUILD RUN x", "STOPSIGNAL 9", "USER 1000:2000", "VOLUME /v", "WORKDIR /a",
        "workdir b", "HEALTHCHECK --interval=5s CMD /su",
    ]  # fmt: skip
    words = [word for change in changes for word in ("--change", change)]
    wherry.ok("import", *words, "-m", "a comment", "--platform", "linux/arm64", tmp_path / "a.tar", "app:v1")
    (document,) = json.loads(wherry.ok("inspect", "app:v1"))
    assert (document["Os"], document["Architecture"]) == ("linux", "arm64")
    config = document["Config"]
    assert config["Cmd"] == ["/su", "-x"]
    assert config["Entrypoint"] == ["/bin/sh", "-c", "/su"]
    assert config["Env"][1:] == ["A=b", "C=d e", "F=b"]
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("1000:2000", "/a/b", "9")
    assert (config["Volumes"], config["Labels"], config["OnBuild"]) == ({"/v": {}}, {"a": "b"}, ["RUN x"])
    assert config["Healthcheck"]["Interval"] == 5 * 10**9
    history = wherry.ok("history", "--format", "{{.CreatedBy}}|{{.Comment}}", "app:v1")
    assert history.splitlines() == ["wherry import|a comment"]
    assert _bytes(wherry, "export", "--platform", "linux/arm64", "app:v1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN true", "not one of the instructions"),
        ("COPY a b", "not one of the instructions"),
        ("FROM busybox", "not one of the instructions"),
        ("CMD a\nENV b=c", "not one of the instructions"),
        ("", "not one of the instructions"),
        ("# CMD a", "not one of the instructions"),
        ("ENV", "ENV"),
        ("NONSENSE a", "NONSENSE"),
        ("EXPOSE 99999999", "99999999"),
        ("ONBUILD FROM x", "ONBUILD"),
    ],
)
def test_changes_that_cannot_be(wherry: Wherry, tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(10240))
    done = wherry("import", "-c", change, tmp_path / "a.tar", "app")
    assert done.code != 0
    assert message in done.err
    assert "bug" not in done.err
    assert wherry.ok("images", "-aq") == ""


def _archive(*members: tuple[str, bytes, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            archive.addfile(member)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not a tar", "is not a tar archive"),
        (b"", "is not a tar archive"),
        (gzip.compress(b"not a tar", mtime=0), "is not a tar archive"),
        (gzip.compress(_archive(("a", tarfile.REGTYPE, "")), mtime=0)[:-20], "cut off"),
        (_archive(("../../a", tarfile.REGTYPE, "")), ".."),
        (_archive(("a", tarfile.LNKTYPE, "../../etc/passwd")), ".."),
        (_archive(("a", tarfile.LNKTYPE, "nothing")), "nothing"),
    ],
)
def test_archives_that_cannot_be(wherry: Wherry, data: bytes, message: str) -> None:
    done = wherry("import", "-", "app", stdin=data)
    assert (done.code, message in done.err) == (1, True), done.err
    assert "bug" not in done.err
    assert wherry.ok("images", "-aq") == ""
    assert os.listdir(wherry.root / "tmp") == []


def test_an_empty_archive_is_an_empty_image(wherry: Wherry) -> None:
    wherry.ok("import", "-", "empty", stdin=bytes(10240))
    with tarfile.open(fileobj=io.BytesIO(_bytes(wherry, "export", "empty"))) as archive:
        assert archive.getnames() == []


def test_from_a_url(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    data = _tar(_root(tmp_path / "root"))
    (tmp_path / "www" / "root.tar.gz").write_bytes(gzip.compress(data))
    (tmp_path / "www" / "notes.txt").write_text("no archive")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "www"))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        fetched = wherry("import", f"{url}root.tar.gz", "fetched")
        missing = wherry("import", f"{url}no.tar")
        damaged = wherry("import", f"http://me:secret@{url[7:]}notes.txt")
        server.shutdown()
    assert fetched.out == wherry.ok("import", tmp_path / "www" / "root.tar.gz")
    assert fetched.err == "root.tar.gz: Download complete\n"  # small: it comes in one piece
    assert missing.code == 1
    assert "404" in missing.err
    assert "notes.txt is not a tar archive" in damaged.err
    assert "secret" not in damaged.err


SCRIPT = (
    "mkdir -p /data && echo new > /data/file && ln /data/file /data/same && chown 1000:1001 /data/file"
    " && ln -s file /data/link && rm -rf /etc/hostname-was-here && chmod 4755 /data/file"
    " && rm /bin/vi && mkfifo /data/pipe && echo kept > /volume/file"
)


@pytest.mark.parametrize("whose", ["box", "user"])
@pytest.mark.parametrize("snapshotter", ["overlay", "copy"])
def test_a_container(request: pytest.FixtureRequest, tmp_path: Path, whose: str, snapshotter: str) -> None:
    wherry: Wherry = request.getfixturevalue(whose)
    run = ["run", "--snapshotter", snapshotter, "--network", "none", "--name", "made", "-v", "/volume"]
    script = "rm /bin/cat && " + SCRIPT.replace("rm /bin/vi", "true")
    wherry.ok(*run, "busybox", "sh", "-c", script)
    found = _untarred(_bytes(wherry, "export", "made"), tmp_path / "back")
    image = _untarred(_bytes(wherry, "export", "busybox"), tmp_path / "image")
    assert "bin/cat" in image
    assert "bin/cat" not in found
    assert found["data/file"][:3] == ("f", 0o4755, (1000, 1001))
    assert found["data/file"].names == ("data/file", "data/same")
    assert found["data/link"].link == "file"
    assert found["data/pipe"].kind == "p" or found["data/pipe"].kind != "f"
    assert "volume/file" not in found, "a volume is not the container's"
    same = image.keys() & found.keys()
    assert len(same) >= len(image) - 1
    assert {path: found[path] for path in same} == {path: image[path] for path in same}


def test_a_running_container_and_its_image_together(box: Wherry, tmp_path: Path) -> None:
    """A container's name goes before an image's."""
    box.ok(
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "busybox",
        "busybox",
        "sh",
        "-c",
        "echo x > /new; echo up; sleep 60",
    )
    until(lambda: box.ok("logs", "busybox") == "up\n")
    data = _bytes(box, "export", "busybox")
    tree = _untarred(data, tmp_path / "back")
    assert tree["new"].kind == "f"
    box.ok("import", "-", "copied", stdin=data)
    box.ok("rm", "-f", "busybox")
    assert "new" not in _untarred(_bytes(box, "export", "busybox"), tmp_path / "image")
    assert box.ok("run", "--rm", "--network", "none", "copied", "sh", "-c", "cat /new") == "x\n"


def test_podman_and_buildah_take_it(wherry: Wherry, tmp_path: Path) -> None:
    if not all(os.access(f"/usr/bin/{name}", os.X_OK) for name in ("podman", "buildah")):
        pytest.skip("podman or buildah is not installed")
    wherry.ok("import", "-", "app", stdin=_tar(_root(tmp_path / "root")))
    wherry.ok("save", "-o", tmp_path / "a.tar", "app")
    expected = loose({path: node for path, node in tree_of(str(tmp_path / "root")).items() if path})
    for reader in ("podman", "buildah"):
        assert loose(readers.READERS[reader](f"docker-archive:{tmp_path}/a.tar")) == expected


def test_a_large_file_takes_little_memory(wherry: Wherry, tmp_path: Path) -> None:
    program = (
        "import sys; from wherry.cli.main import main; code = main();"
        "print(*open('/proc/self/status'), file=sys.stderr); sys.exit(code)"
    )
    (tmp_path / "root").mkdir()
    with open(tmp_path / "root" / "large", "wb") as file:
        file.write(os.urandom(1 << 20) * 300)
    subprocess.run(["tar", "-C", tmp_path / "root", "-cf", tmp_path / "a.tar", "large"], check=True)
    for words in (["import", f"{tmp_path}/a.tar", "large"], ["export", "-o", f"{tmp_path}/b.tar", "large"]):
        command = [*COMMAND[:-1], program, *words]
        done = subprocess.run(command, env=wherry.environment, capture_output=True, text=True, check=True)
        peak = next(line for line in done.stderr.splitlines() if "VmHWM" in line)
        assert int(peak.split()[1]) < 100 << 10, (words, peak)
