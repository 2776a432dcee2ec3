"""Contexts that are no folder: standard input, git repositories, URLs. No registry, no root, no container."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Result, Wherry, write_files
from support.repositories import Work, backend, fake_ssh, files_of, git, serving
from support.trees import tree
from wherry import Options, WherryError, build_image
from wherry.store.store import Store

FILES = {"Dockerfile": "FROM scratch\nCOPY . /\n", "a.txt": "A", "d/b.txt": "B"}
PATHS = {"Dockerfile", "a.txt", "d", "d/b.txt"}


def image(wherry: Wherry, name: str) -> dict[str, str]:
    """Path -> content of a built image."""
    with Store.open(str(wherry.root)) as store:
        found = store.images.resolve(name)
        assert found is not None
        return {path: node.content for path, node in tree(store, found.id).items()}


def value(wherry: Wherry) -> str:
    """What the image `app` has in its variable A."""
    lines = wherry.ok("inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", "app").splitlines()
    return next(line[2:] for line in lines if line.startswith("A="))


def tar(folder: Path, *words: str) -> bytes:
    return subprocess.run(["tar", "-c", *words, "."], cwd=folder, capture_output=True, check=True).stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source", FILES)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "srv" / "app")


@pytest.fixture(autouse=True)
def nothing_is_left(wherry: Wherry) -> Iterator[None]:
    yield
    if wherry.root.exists():
        assert os.listdir(wherry.root / "tmp") == []
        assert list((wherry.root / "cache").glob("digests-*")) == []


def cached(wherry: Wherry, *words: str | Path, stdin: str | bytes = b"") -> bool:
    """Whether a build executes nothing."""
    result = wherry("build", "--progress=plain", *words, stdin=stdin)
    assert result.code == 0, result.err
    last = result.err.rpartition("COPY")[2]
    return "CACHED" in last.split("exporting")[0]


# standard input


def test_a_dockerfile_on_standard_input(wherry: Wherry, source: Path) -> None:
    wherry.ok("build", "-t", "app", "-", stdin="FROM scratch\nENV A=1\n", cwd=source)
    assert value(wherry) == "1"
    refused = wherry("build", "-", stdin="FROM scratch\nCOPY a.txt /\n", cwd=source)
    assert refused.code == 1
    assert "'a.txt' is not in the build context: a Dockerfile alone has an empty one" in refused.err
    assert "Dockerfile:2" in refused.err


@pytest.mark.needs("tar", "bzip2", "xz", "zstd")
@pytest.mark.parametrize("compression", ["", "--gzip", "--bzip2", "--xz", "--zstd"])
def test_an_archive_on_standard_input(wherry: Wherry, source: Path, compression: str) -> None:
    data = tar(source, *filter(None, [compression]))
    wherry.ok("build", "-t", "app", "-", stdin=data)
    assert image(wherry, "app") == {**FILES, "d": ""}
    assert cached(wherry, "-", stdin=data)
    (source / "a.txt").write_text("new")
    assert not cached(wherry, "-", stdin=tar(source))


@pytest.mark.needs("tar")
def test_the_same_files_give_the_same_image_however_they_come(
    wherry: Wherry, source: Path, work: Work
) -> None:
    work.commit(FILES)
    with serving(files_of(source.parent)) as server:
        (source.parent / "c.tgz").write_bytes(tar(source, "-z"))
        ids = {
            wherry.ok("build", "-q", source),
            wherry.ok("build", "-q", "-", stdin=tar(source)),
            wherry.ok("build", "-q", work.url),
            wherry.ok("build", "-q", f"{server}/c.tgz"),
        }
    assert len(ids) == 1
    for memory in (wherry.root / "cache").glob("digests-*"):
        memory.unlink()  # of the folder, which is the user's


@pytest.mark.needs("tar")
def test_which_dockerfile_of_an_archive(wherry: Wherry, tmp_path: Path) -> None:
    files = {
        "Containerfile": "FROM scratch\nENV A=container\n",
        "sub/My": "FROM scratch\nENV A=my\n",
    }
    data = tar(write_files(tmp_path / "in", files))
    mine = tmp_path / "Mine"
    mine.write_text("FROM scratch\nENV A=mine\n")
    for words, expected in (((), "container"), (("-f", "sub/My"), "my"), (("-f", mine), "mine")):
        wherry.ok("build", "-t", "app", *words, "-", stdin=data)
        assert value(wherry) == expected
    missing = wherry("build", "-f", "nope", "-", stdin=data)
    assert "there is no Dockerfile 'nope' in standard input" in missing.err
    nothing = wherry("build", "-", stdin=tar(write_files(tmp_path / "other", {"a": ""})))
    assert "there is no Dockerfile in standard input" in nothing.err


def test_standard_input_is_one_thing(wherry: Wherry, tmp_path: Path) -> None:
    both = wherry("build", "-f", "-", "-", stdin="FROM scratch\n")
    assert (both.code, both.out) == (125, "")
    assert "cannot be both the build context and the Dockerfile" in both.err
    two = wherry("build", "-f", "Other", "-", stdin="FROM scratch\n")
    assert two.code == 125
    assert "is no archive but a Dockerfile" in two.err
    empty = wherry("build", "-", stdin="")
    assert (empty.code, "file with no instructions" in empty.err) == (1, True)
    other = wherry("build", "-", stdin=b"PK\3\4\n\0\0\0")
    assert (other.code, "neither a Dockerfile nor an archive" in other.err) == (1, True)


@pytest.mark.needs("tar")
def test_ignore_files_are_for_folders(wherry: Wherry, source: Path, work: Work) -> None:
    """As docker has it: what is fetched, or comes as an archive, comes whole."""
    files = {**FILES, ".dockerignore": "a.txt\n.dockerignore\n"}
    write_files(source, files)
    work.commit(files)
    wherry.ok("build", "-t", "app", "-", stdin=tar(source))
    assert set(image(wherry, "app")) == PATHS | {".dockerignore"}
    wherry.ok("build", "-t", "app", work.url)
    assert set(image(wherry, "app")) == PATHS | {".dockerignore"}
    wherry.ok("build", "-t", "app", source)
    assert set(image(wherry, "app")) == PATHS - {"a.txt"}
    for memory in (wherry.root / "cache").glob("digests-*"):
        memory.unlink()


def hostile(*members: tuple[str, bytes, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, kind, value in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            content = b""
            if kind == tarfile.REGTYPE:
                content = value.encode()
                info.size = len(content)
            else:
                info.linkname = value
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def test_archives_that_reach_out(wherry: Wherry, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("FROM scratch\nENV SECRET=1\n")
    outside = wherry("build", "-", stdin=hostile(("Dockerfile", tarfile.SYMTYPE, str(secret))))
    assert outside.code == 1
    assert "there is no Dockerfile" in outside.err
    plain = ("Dockerfile", tarfile.REGTYPE, "FROM scratch\nCOPY link /\n")
    linked = wherry("build", "-", stdin=hostile(plain, ("link", tarfile.SYMTYPE, str(secret))))
    assert linked.code == 1
    assert "SECRET" not in linked.err
    for member in (("../x", tarfile.REGTYPE, "1"), ("x", tarfile.LNKTYPE, str(secret))):
        refused = wherry("build", "-", stdin=hostile(plain, member))
        assert refused.code == 1
        assert "the archive on standard input cannot be unpacked: " in refused.err
    pipe = wherry("build", "-", stdin=hostile(("Dockerfile", tarfile.FIFOTYPE, "")), timeout=30)
    assert "'Dockerfile' of standard input is not a file" in pipe.err


@pytest.mark.needs("tar")
def test_a_large_context_is_cached(wherry: Wherry, source: Path) -> None:
    """Above what a look-up reads of a folder."""
    (source / "big").write_bytes(os.urandom(6_000_000))
    data = tar(source)
    wherry.ok("build", "-", stdin=data)
    assert cached(wherry, "-", stdin=data)


# git


def test_a_git_repository(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    first = work.commit({**FILES, "run.sh": "#!/bin/sh\n"}, lambda at: (at / "run.sh").chmod(0o755))
    work.git("tag", "v1")
    work.commit({"a.txt": "newer", "d/Dockerfile": "FROM scratch\nCOPY b.txt /only\n"})
    built = wherry("build", "--progress=plain", "-t", "app", f"{work.url}#v1")
    assert built.code == 0
    assert f"#0 [internal] load git source {work.url}#v1" in built.err
    assert f"{first}\tv1" in built.err
    assert image(wherry, "app")["a.txt"] == "A"
    with Store.open(str(wherry.root)) as store:
        found = store.images.resolve("app")
        assert found is not None
        assert tree(store, found.id)["run.sh"].mode == 0o755
    assert cached(wherry, f"{work.url}#{first}")
    wherry.ok("build", "-t", "app", f"{work.url}#main:d")
    assert image(wherry, "app") == {"only": "B"}
    assert not cached(wherry, f"{work.bare}#main:/")


@pytest.mark.parametrize("kind", ["smart", "dumb"])
def test_git_over_http(wherry: Wherry, work: Work, tmp_path: Path, kind: str) -> None:
    work.commit(FILES)
    handler = backend(tmp_path / "srv") if kind == "smart" else files_of(tmp_path / "srv")
    with serving(handler) as server:
        wherry.ok("build", "-t", "app", f"{server}/app.git")
        assert image(wherry, "app")["a.txt"] == "A"
        assert cached(wherry, f"{server}/app.git#main")
        work.commit({"a.txt": "newer"})
        wherry.ok("build", "-t", "app", f"{server}/app.git")
        assert image(wherry, "app")["a.txt"] == "newer"


def test_git_over_ssh(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    work.commit(FILES)
    programs = fake_ssh(tmp_path / "programs")
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    wherry.ok("build", "-t", "app", f"git@host.invalid:{work.bare}", env=path)
    assert set(image(wherry, "app")) == PATHS
    wherry.ok("build", "-t", "app", f"ssh://git@host.invalid{work.bare}#main", env=path)


def test_the_dockerfile_for_a_repository(wherry: Wherry, work: Work) -> None:
    work.commit({"Containerfile": "FROM scratch\nENV A=container\n", "a": "1"})
    wherry.ok("build", "-t", "app", work.url)
    assert value(wherry) == "container"
    wherry.ok("build", "-t", "app", "-f", "-", work.url, stdin="FROM scratch\nCOPY a /b\n")
    assert image(wherry, "app") == {"b": "1"}
    work.commit({"Dockerfile": "FROM scratch\nCOPPY a /\n"})
    wrong = wherry("build", work.url)
    assert "Dockerfile:2" in wrong.err
    assert "did you mean COPY?" in wrong.err


def test_the_git_folder(wherry: Wherry, work: Work) -> None:
    work.commit(FILES)
    wherry.ok("build", "-t", "app", work.url)
    assert ".git" not in image(wherry, "app")
    for words in (
        ("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", work.url),
        (f"{work.url}?keep-git-dir=true",),
    ):
        built = wherry("build", "-t", "app", *words)
        assert built.code == 0
        assert "not used" not in built.err
        assert ".git/HEAD" in image(wherry, "app")


def test_submodules_come_along(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    module = Work(tmp_path / "srv" / "module")
    module.commit({"m": "M"})
    work.commit(FILES, lambda at: git(at, "submodule", "add", "-q", "--name", "m", str(module.bare), "lib"))
    work.git("config", "-f", ".gitmodules", "submodule.m.url", "../module.git")
    work.commit({})
    with serving(backend(tmp_path / "srv")) as server:
        wherry.ok("build", "-t", "app", f"{server}/app.git")
    assert image(wherry, "app")["lib/m"] == "M"
    assert "lib/.git" not in image(wherry, "app")


def test_repositories_that_reach_out(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    private = Work(tmp_path / "private")
    private.commit({"key": "s3cret"})
    work.commit(FILES, lambda at: (at / "out").symlink_to(tmp_path / "source"))
    write_files(tmp_path / "source", {"Dockerfile": "FROM scratch\nENV SECRET=1\n"})
    refused = wherry("build", f"{work.url}#main:out")
    assert "has no folder 'out'" in refused.err
    work.commit({}, lambda at: git(at, "submodule", "add", "-q", private.url, "lib"))
    refused = wherry("build", work.url)
    assert refused.code == 1
    assert "transport 'file' not allowed" in refused.err


def test_names_that_git_could_take_for_options(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    work.commit(FILES)
    marker = tmp_path / "ran"
    for text in (
        f"{work.url}#--upload-pack=touch {marker}",
        f"{work.url}#-main",
        f"ssh://-oProxyCommand=touch%20{marker}/r.git",
        f"git@-oProxyCommand=x:{work.bare}",
        f"ext::touch {marker}",
        f"--upload-pack=touch {marker}",
    ):
        assert wherry("build", "--", text).code != 0, text
    assert not marker.exists()


def shown(result: Result) -> str:
    return result.out + result.err


def test_passwords_are_shown_nowhere(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    work.commit(FILES)
    with serving(backend(tmp_path / "srv", "me:s3cret")) as server:
        for progress in ("plain", "rawjson"):
            good = server.replace("://", "://me:s3cret@") + "/app.git"
            built = wherry("build", f"--progress={progress}", "-t", "app", good)
            assert built.code == 0
            assert "s3cret" not in shown(built)
            for wrong in ("me:t0psecret", "t0psecret", "me:t0p@secret"):
                refused = wherry("build", server.replace("://", f"://{wrong}@") + "/app.git")
                assert refused.code == 1
                assert "secret" not in shown(refused)
    for url in ("http://me:s3cret@127.0.0.1:1/x.tar", "ssh://me:s3cret@127.0.0.1:1/r", "http://me:s3cret@/"):
        assert "s3cret" not in shown(wherry("build", url))
    assert "s3cret" not in wherry.ok("history", "--no-trunc", "app")
    for path in wherry.root.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


def test_a_token_for_a_private_repository(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    work.commit(FILES)
    (tmp_path / "token").write_text("t0ken\n")
    with serving(backend(tmp_path / "srv", "x-access-token:t0ken")) as server:
        url = f"{server}/app.git"
        assert "without a user and a password" in wherry("build", url).err
        for secret in ("id=GIT_AUTH_TOKEN", "id=GIT_AUTH_TOKEN.127.0.0.1,env=GIT_AUTH_TOKEN"):
            built = wherry("build", "--secret", secret, url, env={"GIT_AUTH_TOKEN": "t0ken"})
            assert (built.code, "t0ken" in shown(built)) == (0, False), built.err
        wherry.ok("build", "--secret", f"id=GIT_AUTH_TOKEN,src={tmp_path / 'token'}", url)
        (tmp_path / "lines").write_text("t0ken\nhost=example.com\n")
        refused = wherry("build", "--secret", f"id=GIT_AUTH_TOKEN,src={tmp_path / 'lines'}", url)
        assert (refused.code, "more than a line" in refused.err) == (125, True)
        other = f"id=GIT_AUTH_TOKEN.example.com,src={tmp_path / 'token'}"
        assert wherry("build", "--secret", other, url).code == 1


# URLs


@pytest.mark.needs("tar")
def test_an_archive_from_a_url(wherry: Wherry, source: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "no-name-for-it").write_bytes(tar(source, "-z"))
    with serving(files_of(served)) as server:
        built = wherry("build", "--progress=plain", "-t", "app", f"{server}/no-name-for-it")
        assert built.code == 0
        assert "[internal] load remote build context" in built.err
        assert set(image(wherry, "app")) == PATHS
        assert cached(wherry, f"{server}/no-name-for-it")
        missing = wherry("build", f"{server}/nope.tar")
        assert "was answered with 404 (Not Found)" in missing.err


def test_a_dockerfile_from_a_url(wherry: Wherry, tmp_path: Path) -> None:
    write_files(
        tmp_path / "served",
        {"Some": "FROM scratch\nENV A=1\n", "page": "<!DOCTYPE html>\n<html></html>\n"},
    )
    with serving(files_of(tmp_path / "served")) as server:
        wherry.ok("build", "-t", "app", f"{server}/Some")
        assert value(wherry) == "1"
        page = wherry("build", f"{server}/page")
        assert page.code == 1
        assert "a page for browsers" in page.err
        assert "the URL of a git repository ends in .git" in page.err


# from Python


def test_a_repository_from_python(store: Store, work: Work) -> None:
    work.commit(FILES)
    first = build_image(store, Options(context=work.url))
    again = build_image(store, Options(context=work.url))
    assert (first.image, first.executed, again.executed) == (again.image, 1, 0)
    with pytest.raises(WherryError, match="does not exist"):
        build_image(store, Options(context="nope"))


# asking without building


@pytest.mark.needs("tar")
def test_check_outline_and_targets(wherry: Wherry, work: Work, tmp_path: Path) -> None:
    text = "FROM scratch AS one\nARG PORT=80\nMAINTAINER me\nCOPY a.txt /\n"
    files = {**FILES, "Dockerfile": text, ".dockerignore": "a.txt\n"}
    work.commit(files)
    source = write_files(tmp_path / "in", files)
    (tmp_path / "srv" / "c.tar").write_bytes(tar(source))
    (tmp_path / "srv" / "Dockerfile").write_text(text)
    with serving(files_of(tmp_path / "srv")) as server:
        for words, stdin in (
            (("-",), text.encode()),
            (("-",), tar(source, "-z")),
            ((work.url,), b""),
            ((f"{server}/c.tar",), b""),
            ((f"{server}/Dockerfile",), b""),
        ):
            found = wherry("build", "--check", *words, stdin=stdin)
            assert (found.code, "MaintainerDeprecated" in found.out) == (1, True)
            assert "CopyIgnoredFile" not in found.out
            assert "NoDockerignore" not in found.out
            outline = wherry.ok("build", "--call=outline,format=json", *words, stdin=stdin)
            assert json.loads(outline)["args"][0]["name"] == "PORT"
            assert "one" in wherry.ok("build", "--call=targets", *words, stdin=stdin)
    sarif = wherry("build", "--check", "--format=sarif", work.url)
    assert json.loads(sarif.out)["runs"][0]["results"][0]["locations"]


# ends


def test_what_is_no_context(wherry: Wherry, tmp_path: Path) -> None:
    missing = wherry("build", "nope")
    assert "the build context 'nope' does not exist" in missing.err
    assert "PATH | URL | -" in missing.err
    file = tmp_path / "c.tar"
    file.touch()
    assert "is not a folder" in wherry("build", file).err
    assert "does not exist" in wherry("build", "s3://bucket/x").err
    assert "PATH | URL | -" in wherry.ok("build", "--help")


def test_a_folder_goes_before_a_repository_of_its_name(wherry: Wherry, tmp_path: Path) -> None:
    write_files(tmp_path / "github.com" / "user" / "repo", {"Dockerfile": "FROM scratch\nENV A=folder\n"})
    wherry.ok("build", "-t", "app", "github.com/user/repo", cwd=tmp_path)


_ENDLESS = """
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection = listener.accept()[0]
connection.recv(1 << 16)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100000\\r\\n\\r\\n" + b"x" * 1000)
print("asked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["c.tar", "r.git"])
def test_interrupted(wherry: Wherry, name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", _ENDLESS], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            running = wherry.start("build", f"http://127.0.0.1:{int(server.stdout.readline())}/{name}")
            assert server.stdout.readline() == b"asked\n"
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=30)
            assert running.returncode == 130, err
        finally:
            server.kill()


RUNNING = {
    "Dockerfile": "FROM base\nRUN --mount=type=bind,target=/src cp /src/d/b.txt /b && ls /src >/names\n",
    "a.txt": "A",
    "d/b.txt": "B",
}


@pytest.mark.needs("root", "busybox", "newuidmap", "tar")
def test_a_run_that_mounts_the_context(wherry: Wherry, source: Path) -> None:
    write_files(source, RUNNING)
    busybox.put(str(wherry.root), "base")
    data = tar(source)
    as_root = wherry.ok("build", "-q", "-t", "app", "-", stdin=data)
    assert (
        wherry.ok("run", "--rm", "--network=none", "app", "cat", "/b", "/names") == "BDockerfile\na.txt\nd\n"
    )
    again = wherry("build", "--progress=plain", "-", stdin=data)
    assert "RUN --mount=type=bind" in again.err
    assert again.err.count("CACHED") == 3
    (source / "d" / "b.txt").write_text("new")
    assert wherry.ok("build", "-q", "-", stdin=tar(source)) != as_root
    with ordinary.user() as user:
        other = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        ordinary.put_busybox(user, other.root, "base")
        assert other.ok("build", "-q", "-", stdin=data) == as_root
        assert os.listdir(other.root / "tmp") == []


@pytest.mark.needs("root", "tar")
def test_a_user_without_subordinate_ids(source: Path, tmp_path: Path) -> None:
    """COPY alone needs none."""
    data = tar(source, "-z", "--owner=1234", "--group=4321")
    (source / "d").chmod(0o555)
    with ordinary.user(subordinate=False) as user:
        alone = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        work = Work(user.home / "srv" / "app")
        work.commit(FILES)
        subprocess.run(["chown", "-R", f"{ordinary.UID}:{ordinary.UID}", user.home], check=True)
        built = alone.ok("build", "-q", "-", stdin=data)
        assert alone.ok("build", "-q", work.url) == built
        with serving(backend(user.home / "srv")) as server:
            assert alone.ok("build", "-q", f"{server}/app.git") == built
        assert os.listdir(alone.root / "tmp") == []
