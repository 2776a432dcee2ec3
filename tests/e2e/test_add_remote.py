"""ADD of URLs and repositories, from servers of this machine."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from support import busybox, ordinary
from support.cli import Wherry, write_files
from support.repositories import Work, backend, files_of, serving
from support.trees import contents

pytestmark = pytest.mark.needs("root", "busybox", "git")

Build = Callable[..., str]


@pytest.fixture(autouse=True)
def nothing_is_left(wherry: Wherry) -> Iterator[None]:
    yield
    if wherry.root.exists():
        assert os.listdir(wherry.root / "tmp") == []


@pytest.fixture
def build(wherry: Wherry, tmp_path: Path) -> Build:
    """Build lines as `app` on busybox; what was printed."""
    busybox.put(wherry.root, "base")

    def run(*lines: str, words: tuple[str, ...] = ()) -> str:
        folder = write_files(tmp_path / "context", {"Dockerfile": "\n".join(["FROM base", *lines, ""])})
        result = wherry("build", "-t", "app", "--progress", "plain", *words, folder)
        assert result.code == 0, result.err
        return result.err

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_files(tmp_path / "site", {"a.txt": "text\n", "tool.sh": "#!/bin/sh\necho tool\n"})


def reused(printed: str) -> list[bool]:
    lines = printed.splitlines()
    steps = [line.split()[0] for line in lines if re.match(r"#\d+ \[\d+/\d+\] (?!FROM)", line)]
    return [f"{number} CACHED" in lines for number in steps]


def test_a_run_sees_what_was_added(build: Build, wherry: Wherry, site: Path) -> None:
    with serving(files_of(site)) as address:
        lines = (
            f"ADD --chmod=755 --chown=web {address}/tool.sh /bin/",
            f"ADD {address}/a.txt /a",
            "RUN tool.sh > /out && stat -c '%a %u %g %Y' /a /bin/tool.sh > /modes",
        )
        build(*lines)
        assert reused(build(*lines)) == [True] * 3
    found = contents(wherry.root, "app")
    assert found["out"] == "tool\n"
    # No time of the server or of now: those of all copied files.
    assert found["modes"].splitlines() == ["600 0 0 315532800", "755 1000 1000 315532800"]


def test_what_changed_on_the_server_is_done_again_and_what_follows(build: Build, site: Path) -> None:
    with serving(files_of(site)) as address:
        lines = f"ADD {address}/a.txt /a", "RUN wc -c < /a"
        build("RUN echo before", *lines)
        before = (site / "a.txt").stat()
        (site / "a.txt").write_text("tixt\n")
        os.utime(site / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert reused(build("RUN echo before", *lines)) == [True, False, False]


def test_a_checksum_works_without_the_network(build: Build, wherry: Wherry, site: Path) -> None:
    digest = hashlib.sha256(b"text\n").hexdigest()
    with serving(files_of(site)) as address:
        line = f"ADD --checksum=sha256:{digest} {address}/a.txt /a"
        build(line)
    assert reused(build(line)) == [True]
    assert reused(build("RUN touch /another", line)) == [False, False]
    wherry.ok("prune", "-a", "-f")
    result = wherry("build", "-", stdin=f"FROM scratch\n{line}\n")
    assert result.code == 1
    assert "error: cannot reach 127.0.0.1" in result.err
    assert "Dockerfile:2" in result.err


def test_an_error_shows_the_line(wherry: Wherry, site: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"text\n").hexdigest()
    with serving(files_of(site)) as address:
        url = address.replace("//", "//me:hunter2@")
        folder = write_files(tmp_path / "c", {"Dockerfile": ""})
        for line, message in (
            (f"ADD {url}/none /", "/none was answered with 404 (Not Found)"),
            (f"ADD --checksum=sha256:{'0' * 64} {url}/a.txt /", f"has the checksum sha256:{digest}"),
            (f"ADD {url}/r.git#main /", "r.git"),
            (f"COPY {url}/a.txt /", "COPY cannot fetch"),
            ("ADD file:///etc/passwd /", "a file of this machine"),
        ):
            (folder / "Dockerfile").write_text(f"FROM scratch\n{line}\n")
            result = wherry("build", "--progress", "plain", folder)
            assert result.code == 1
            error = result.err[result.err.index("error: ") :]
            assert message in error.splitlines()[0]
            assert "Dockerfile:2" in error
            # The lines of the Dockerfile are the user's own; nothing else says the password.
            assert "hunter2" not in error.splitlines()[0]


def test_a_password_is_shown_nowhere(build: Build, wherry: Wherry, tmp_path: Path) -> None:
    work = Work(tmp_path / "srv" / "app")
    work.commit({"f": "1"})
    asked: list[str] = []
    with serving(backend(tmp_path / "srv", account="me:hunter2", asked=asked)) as address:
        url = address.replace("//", "//me:hunter2@")
        lines = f"ADD {url}/app.git /r", f"ADD --keep-git-dir {url}/app.git /k"
        printed = build(*lines)
        assert reused(build(*lines)) == [True, True]
        assert asked
        assert "hunter2" not in printed
        assert "xxxxx@" in printed
    assert "hunter2" not in wherry.ok("history", "--no-trunc", "app") + wherry.ok("inspect", "app")
    assert "hunter2" not in "".join(contents(wherry.root, "app").values())
    for path in wherry.root.rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


def test_a_private_repository(wherry: Wherry, tmp_path: Path) -> None:
    Work(tmp_path / "srv" / "app").commit({"f": "1"})
    with serving(backend(tmp_path / "srv", account="x-access-token:t0ken")) as address:
        text = f"FROM src AS s\nFROM scratch\nADD {address}/app.git /r\nCOPY --from=s f /f\n"
        folder = write_files(tmp_path / "c", {"Dockerfile": text})
        words = ("build", "-t", "app", "--build-context", f"src={address}/app.git", folder)
        refused = wherry(*words)
        assert refused.code == 1 and "is not readable without a user" in refused.err
        wherry.ok(*words, "--secret", "id=GIT_AUTH_TOKEN", env={"GIT_AUTH_TOKEN": "t0ken"})
    found = contents(wherry.root, "app")
    assert (found["r/f"], found["f"]) == ("1", "1")


@pytest.mark.parametrize("kind", ["smart", "dumb"])
def test_repositories(build: Build, wherry: Wherry, tmp_path: Path, kind: str) -> None:
    work = Work(tmp_path / "srv" / "app")
    work.commit({"f": "1", "d/g": "2"})
    work.git("tag", "v1")
    work.commit({"f": "3"})
    handler = backend if kind == "smart" else files_of
    with serving(handler(tmp_path / "srv")) as address:
        url = f"{address}/app.git"
        lines = (f"ADD {url}#v1:d /d/", f"ADD --keep-git-dir {url}#v1 /kept", f"ADD {url} /main")
        build(*lines, "RUN cat /kept/.git/HEAD > /head")
        found = contents(wherry.root, "app")
        assert (found["main/f"], found["d/g"], found["kept/f"]) == ("3", "2", "1")
        assert found["head"].strip() == work.git("rev-parse", "v1")
        assert not [path for path in found if path.startswith(("main/.git", "d/.git"))]
        assert reused(build(*lines)) == [True] * 3
        work.commit({"f": "4"})
        assert reused(build(*lines)) == [True, True, False]


def test_in_the_children_of_an_image(build: Build, wherry: Wherry, site: Path, tmp_path: Path) -> None:
    with serving(files_of(site)) as address:
        build("ARG U", f"ONBUILD ADD {address}/a.txt /n/")
        wherry.ok("tag", "app", "parent")
        folder = write_files(tmp_path / "child", {"Dockerfile": "FROM parent\n"})
        wherry.ok("build", "-t", "child", folder)
    assert contents(wherry.root, "child")["n/a.txt"] == "text\n"


def test_a_slow_server_holds_up_no_other_step(build: Build, wherry: Wherry, site: Path) -> None:
    class Slow(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            while not (site / "go").exists():
                time.sleep(0.01)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"late")

        def log_message(self, *_: object) -> None:
            pass

    with serving(Slow) as address:
        folder = write_files(
            site.parent / "context",
            {
                "Dockerfile": f"FROM base AS slow\nADD {address}/x /x\n"
                "FROM base\nRUN echo from the other stage\nCOPY --from=slow /x /x\n"
            },
        )
        process = wherry.start("build", "-t", "app", "--progress=plain", folder)
        assert process.stderr is not None
        for line in process.stderr:
            if line.endswith(b"from the other stage\n") and b"RUN" not in line:
                (site / "go").touch()
                break
        process.stderr.read()
        assert process.wait() == 0
    assert contents(wherry.root, "app")["x"] == "late"


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "a failed step"])
def test_a_silent_server_is_not_waited_for(wherry: Wherry, tmp_path: Path, end: str) -> None:
    asked, over = threading.Event(), threading.Event()

    class Silent(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            over.wait(30)

        def log_message(self, *_: object) -> None:
            pass

    busybox.put(wherry.root, "base")
    with serving(Silent) as address:
        text = f"FROM scratch AS a\nADD {address}/x /x\nFROM base\nCOPY --from=a /x /\n"
        if end == "a failed step":
            text = f"FROM base AS b\nRUN sleep 2; exit 3\n{text}COPY --from=b / /b\n"
        folder = write_files(tmp_path / "c", {"Dockerfile": text})
        process = wherry.start("build", folder)
        assert asked.wait(60)
        began = time.monotonic()
        if end.startswith("SIG"):
            process.send_signal(getattr(signal, end))
        assert process.wait(60) == {"SIGINT": 130, "SIGTERM": 143}.get(end, 1)
        assert time.monotonic() - began < 20
        over.set()
    # What the server owed is swept by the next build.
    folder = write_files(tmp_path / "d", {"Dockerfile": "FROM base\nWORKDIR /w\n"})
    wherry.ok("build", folder)


@pytest.mark.needs("newuidmap", "setpriv")
def test_an_ordinary_user_gets_the_same_image(
    build: Build, wherry: Wherry, site: Path, tmp_path: Path
) -> None:
    work = Work(site / "app")
    work.commit({"f": "1", "d/g": "2"})
    with serving(files_of(site)) as address, ordinary.user() as someone:
        lines = (
            f"ADD {address}/a.txt /a",
            f"ADD --chown=7:8 {address}/app.git /r",
            "RUN cat /a /r/f > /out",
        )
        build(*lines)
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        ordinary.put_busybox(someone, user.root, "base")
        text = "\n".join(["FROM base", *lines, ""])
        folder = write_files(someone.home / "context", {"Dockerfile": text})
        assert user.ok("build", "-q", folder) == wherry.ok("images", "-q", "--no-trunc", "app")
        assert reused(user("build", "--progress=plain", folder).err) == [True] * 3
        assert os.listdir(user.root / "tmp") == []
