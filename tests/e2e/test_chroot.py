"""Builds in a container without privileges, in the mode chroot; the container is a real one (confined.py)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import bases, busybox, cli, confined, folders, listening, programs
from support.cli import Result, Wherry, write_files
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root")

EXAMPLES = Path(__file__).parents[2] / "examples"
Build = Callable[..., Result]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """What the container and the machine share: a store with bases, contexts, files that came out."""
    programs.require("root", "docker-registry", "skopeo", "mmdebstrap")
    made = Path(tempfile.mkdtemp(prefix="wherry-chroot-", dir=folders.fast()))
    with Store.open(str(made / "wherry")) as opened:
        for name in ("debian:bookworm-slim", "python:3.11-slim", "node:18-slim"):
            bases.seed(opened, name)
    busybox.put(str(made / "wherry"), "busybox")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def outside(place: Path) -> Wherry:
    """On the same store, with all rights of the machine's root."""
    return Wherry(place / "wherry", place / "docker", cli.behind_proxy())


@pytest.fixture(scope="module")
def inside(place: Path) -> Wherry:
    return Wherry(place / "wherry", place / "docker", cli.behind_proxy(), prefix=confined.prefix(place))


@pytest.fixture
def build(inside: Wherry, place: Path) -> Build:
    """Build a Dockerfile inside; `result.err` has its output."""

    def run(dockerfile: str, *flags: str | Path, files: Mapping[str, str | bytes] | None = None) -> Result:
        shutil.rmtree(place / "context", ignore_errors=True)
        folder = write_files(place / "context", {"Dockerfile": dockerfile, **(files or {})})
        return inside("build", "--progress=plain", *flags, folder)

    return run


def ok(result: Result) -> str:
    assert result.code == 0, result.err
    return result.err


def files_of(wherry: Wherry, place: Path, image: str) -> Path:
    """The image's root filesystem."""
    shutil.rmtree(place / "out", ignore_errors=True)
    context = write_files(place / "empty", {"Dockerfile": f"FROM {image}\n"})
    wherry.ok("build", "-q", "-o", f"type=local,dest={place}/out", context)
    return place / "out"


def test_info_names_the_mode_and_what_is_lost(inside: Wherry) -> None:
    facts = json.loads(inside.ok("info", "--format", "json"))
    assert (facts["Mode"], facts["Driver"]) == ("chroot", "copy")
    assert "copy (this mode cannot mount)" in inside.ok("info")


def test_package_managers_and_users(build: Build) -> None:
    out = ok(
        build(
            "FROM debian:bookworm-slim\n"
            "RUN apt-get update && apt-get install -y --no-install-recommends sl && dpkg -l sl | tail -1\n"
            "RUN useradd -m -s /bin/bash someone && su someone -c 'id -un' && chown someone /srv\n"
            "USER someone\n"
            "RUN touch /srv/mine && ! touch /etc/mine && stat -c %U:%a /srv/mine\n",
            "--no-cache",
        )
    )
    assert "ii  sl" in out
    assert "someone:644" in out
    assert out.count("] RUN") == 3


def test_python_and_node(build: Build) -> None:
    out = ok(
        build(
            "FROM python:3.11-slim AS py\nRUN pip install --no-cache-dir itsdangerous && "
            "python -c 'import itsdangerous; print(itsdangerous.__name__, 6 * 7)'\n"
            "FROM node:18-slim\nRUN mkdir /app && cd /app && npm init -y && npm install ms && "
            'node -e \'console.log(require("ms")("2 days"))\'\n'
            "COPY --from=py /usr/bin/env /from-py\n",
            "--no-cache",
        )
    )
    assert "itsdangerous 42" in out
    assert "172800000" in out


STEPS = """\
FROM debian:bookworm-slim
RUN chmod 750 /etc/default
RUN useradd -m someone && mkdir /srv/data && chown someone /srv/data && chmod 2750 /srv/data
RUN rm -rf /usr/share/doc && mkdir /usr/share/doc && echo kept > /usr/share/doc/new
RUN mv /srv/data /srv/moved && ln -s moved /srv/link && ln /usr/share/doc/new /usr/share/doc/same
RUN touch /dev/mine /dev/shm/mine
USER someone
RUN id -un > ~/me && mkfifo ~/pipe && echo '#!/bin/sh' > ~/run && chmod 4755 ~/run
RUN --mount=type=bind,from=busybox,source=/bin,target=/mnt/bin cp /mnt/bin/busybox ~/
RUN --mount=type=cache,target=/home/someone/.cache,uid=1000 date > ~/.cache/last; rm ~/me
RUN --mount=type=tmpfs,target=/tmp/empty touch /tmp/empty/x && ls /tmp/empty > ~/listed
COPY <<E /copied
text
E
RUN <<E
cat /copied > ~/again
E
"""


def test_the_images_are_those_of_root(place: Path, inside: Wherry, outside: Wherry) -> None:
    contexts = [
        ("Dockerfile", write_files(place / "steps", {"Dockerfile": STEPS})),
        ("Dockerfile.multistage", EXAMPLES / "flask"),
    ]
    for name, folder in contexts:
        ids = []
        for number, wherry in enumerate((inside, outside)):
            iid = place / f"iid-{number}"
            wherry.ok("build", "-q", "--no-cache", "--iidfile", iid, "-f", folder / name, folder)
            ids.append(iid.read_text())
        layers = [json.loads(outside.ok("inspect", image))[0]["RootFS"]["Layers"] for image in ids]
        assert layers[0] == layers[1]
        assert ids[0] == ids[1]
    assert os.listdir(place / "wherry/tmp") == []


def test_a_step_says_that_it_is_not_observed(build: Build, inside: Wherry) -> None:
    ok(build("FROM busybox\nCOPY a /a\nRUN cat /a\n", files={"a": "explained"}))
    told = inside.ok("explain")
    assert "EXECUTED" in told.splitlines()[-3]
    assert told.endswith("holds on its own layers alone: the mode chroot lets no process be observed\n")
    ok(build("FROM busybox\nCOPY a /a\nRUN cat /a\n", files={"a": "again"}))
    assert "its last result holds on its own layers alone: the mode chroot" in inside.ok("explain")


def test_a_build_with_nothing_to_do_runs_nothing(build: Build) -> None:
    text = "FROM busybox\nRUN echo once > /once\n"
    ok(build(text))
    out = ok(build(text))
    assert out.count("CACHED") == 2
    assert "no namespaces" not in out


def test_the_files_of_every_container_are_put_in_and_taken_out(
    build: Build, outside: Wherry, place: Path
) -> None:
    out = ok(
        build(
            "FROM busybox\nCOPY hosts /etc/hosts\nCOPY link /etc/hostname\n"
            "RUN cat /etc/hosts /etc/hostname && echo changed > /etc/hosts && mv /etc/resolv.conf /moved && "
            "rm /etc/hostname && mkdir /etc/hostname && mkdir -p /proc/x && touch /sys/x /dev/x && "
            "echo new > /etc/new\n",
            "--no-cache",
            "-t",
            "etc",
            files={"hosts": "of the image\n", "link": "also of the image\n"},
        )
    )
    assert "127.0.0.1" in out
    root = files_of(outside, place, "etc")
    assert (root / "etc/new").read_text() == "new\n"
    assert (root / "etc/hosts").read_text() == "of the image\n"
    assert (root / "etc/hostname").read_text() == "also of the image\n"
    assert not os.path.lexists(root / "moved")
    for name in ("proc", "sys", "dev"):
        assert not (root / name).exists() or os.listdir(root / name) == []


def test_secrets_stay_nowhere(build: Build, place: Path, outside: Wherry) -> None:
    secret = place / "secret"
    secret.write_text("s3cr3t-value")
    out = ok(
        build(
            "FROM busybox\n"
            "RUN --mount=type=secret,id=s,target=/run/s,mode=0444 --mount=type=secret,id=s,target=/b,env=S "
            'test "$(cat /run/s)" = "$S" && stat -c %a /run/s && ln /run/s /linked && mv /b /moved && '
            "mkdir /d && ln /moved /d/again && touch /fine\n",
            "--no-cache",
            "--secret",
            f"id=s,src={secret}",
            "-t",
            "secret",
        )
    )
    assert "444" in out
    root = files_of(outside, place, "secret")
    assert (root / "fine").exists()
    assert os.listdir(root / "d") == []
    found = subprocess.run(["grep", "-rl", "s3cr3t-value", place / "wherry"], capture_output=True, text=True)
    assert found.stdout == ""


def test_a_cache_comes_back_and_shares_no_file_with_an_image(
    build: Build, outside: Wherry, place: Path
) -> None:
    text = (
        "FROM busybox\n"
        "RUN --mount=type=cache,target=/c,id=mine "
        "echo {0} >> /c/log; ln /c/log /linked-{0}; ln /bin/busybox /c/busybox-{0}; cat /c/log\n"
        "RUN --mount=type=cache,target=/c,id=mine echo more-{0} >> /c/log; cat /linked-{0}; "
        "echo x >> /c/busybox-{0}\n"
        "RUN cat /bin/busybox > /same && cmp /same /bin/sh\n"
    )
    ok(build(text.format("one"), "-t", "one"))
    out = ok(build(text.format("two"), "-t", "two"))
    assert "one\n" in out and "more-one" in out and "two\n" in out
    assert (files_of(outside, place, "one") / "linked-one").read_text() == "one\n"
    assert (files_of(outside, place, "two") / "linked-two").read_text() == "one\nmore-one\ntwo\n"


def test_a_cache_that_a_step_deletes_is_empty_the_next_time(build: Build) -> None:
    line = "RUN --mount=type=cache,target=/c,id=gone,mode=0750 "
    out = ok(build(f"FROM busybox\n{line}touch /c/x; rm -rf /c\n{line}ls -A /c; stat -c %a-%A /c\n"))
    assert "750-drwxr-x---" in out
    assert " x\n" not in out


def test_an_agent_is_reached(build: Build, place: Path) -> None:
    """The relay's socket works where it was moved to."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "agent"))
    listener.listen()
    asked = threading.Event()

    def accept() -> None:
        connection, _ = listener.accept()
        asked.set()
        connection.close()

    threading.Thread(target=accept, daemon=True).start()
    out = ok(
        build(
            "FROM python:3.11-slim\nCOPY ask.py /\nRUN --mount=type=ssh python /ask.py\n",
            "--no-cache",
            "--ssh",
            f"default={place}/agent",
            files={
                "ask.py": "import os, socket\ns = socket.socket(socket.AF_UNIX)\n"
                "s.connect(os.environ['SSH_AUTH_SOCK'])\ns.sendall(b'\\0\\0\\0\\1\\x0b')\n"
                "print('answered', s.recv(9))\n"
            },
        )
    )
    assert "answered" in out
    assert asked.wait(60)
    listener.close()


ESCAPE = """\
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)

def tried(name, function):
    try:
        print("ESCAPED" if function() else "kept", name)
    except OSError as error:
        print("kept", name, error.strerror)

def way_of_old():
    os.makedirs("/way", exist_ok=True)
    os.chroot("/way")
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return os.path.exists("/work") or os.path.exists("/proc/1")

def traced(pid):
    if libc.ptrace(16, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True

parent = os.getppid()
tried("chroot", way_of_old)
tried("proc", lambda: os.path.exists("/proc/1/root"))
tried("ptrace", lambda: traced(parent))
tried("ptrace 1", lambda: traced(1))
tried("kill", lambda: os.kill(parent, 0) is None)
tried("kill 1", lambda: os.kill(1, 0) is None)
tried("memory", lambda: os.open(f"/proc/{parent}/mem", os.O_RDWR))
tried("disk", lambda: os.mknod("/disk", 0o60600, os.makedev(254, 0)) is None)
tried("mount", lambda: libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0)
tried("namespace", lambda: libc.unshare(0x10000000) == 0)
tried("root", lambda: os.setxattr("/", "trusted.x", b"1") is None)
"""


def test_a_step_cannot_leave_its_root(build: Build) -> None:
    out = ok(
        build(
            'FROM python:3.11-slim\nCOPY e.py /\nRUN ["python", "/e.py"]\n',
            "--no-cache",
            files={"e.py": ESCAPE},
        )
    )
    assert "ESCAPED" not in out
    assert out.count("kept") == 11


def test_landlock_holds_who_has_left_the_root(place: Path) -> None:
    """With the right to change the root again, and no other bar: nothing outside can be opened."""
    program = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2] / 'src/wherry/runtime')!r})\n"
        "from init import landlock, linux\n"
        "if not landlock.version(): sys.exit(77)\n"
        f"os.chroot({str(place)!r}); os.chdir('/')\n"
        "linux.no_new_privileges(); assert landlock.restrict_to('/')\n"
        "os.mkdir('/way'); os.chroot('/way')\n"
        "[os.chdir('..') for _ in range(64)]; os.chroot('.')\n"
        "assert os.path.exists('/etc/passwd'), 'the way out of a chroot is closed'\n"
        "for path in ('/etc/passwd', '/proc/1/status', '/'):\n"
        "    try: os.open(path, os.O_RDONLY); sys.exit('opened ' + path)\n"
        "    except PermissionError: pass\n"
    )
    done = subprocess.run([*confined.prefix(place), shutil.which("python3") or "python3", "-c", program])
    (place / "way").rmdir()
    if done.returncode == 77:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 0


def test_all_of_a_step_s_processes_end_with_it(build: Build) -> None:
    name = f"4{os.getpid()}"
    begun = time.monotonic()
    ok(
        build(
            f"FROM busybox\nRUN (setsid sleep {name} &) ; sleep {name} & "
            f"nohup sh -c 'sleep {name} & sleep {name}' & sleep 0.2\nRUN echo next\n",
            "--no-cache",
        )
    )
    assert time.monotonic() - begun < 60
    assert not running(f"sleep {name}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_nothing(
    inside: Wherry, place: Path, number: signal.Signals, outside: Wherry
) -> None:
    """The signal goes to wherry alone, in the container; what it started must see that by itself."""
    name = f"5{os.getpid()}{int(number)}"
    cache = f"--mount=type=cache,target=/c,id=held-{int(number)}"
    text = f"FROM busybox\nRUN {cache} touch /c/kept; (setsid sleep {name} &); sleep {name}\n"
    folder = write_files(place / "killed", {"Dockerfile": text})
    process = inside.start("build", "--no-cache", folder)
    wait_for(lambda: running(f"sleep {name}"))
    for pid in running("from wherry.cli.main", str(folder)):
        if "support.confined" not in command(pid):
            os.kill(pid, number)
    process.communicate(timeout=30)
    wait_for(lambda: not running(f"sleep {name}"))
    folder = write_files(place / "after", {"Dockerfile": f"FROM busybox\nRUN {cache} ls /c > /listed\n"})
    inside.ok("build", "--no-cache", "-t", "after", folder)
    assert (files_of(outside, place, "after") / "listed").read_text() == "kept\n"
    assert os.listdir(place / "wherry/tmp") == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RUN --network=none true", "--network=none) needs a network namespace"),
        ("RUN --mount=type=tmpfs,target=/t,size=1m true", "cannot limit the tmpfs on /t (size="),
        ("RUN --mount=type=cache,target=/t,ro true", "the cache on /t cannot be read-only"),
        (
            "RUN --mount=type=cache,id=x,target=/t --mount=type=cache,id=x,target=/u true",
            "one cache cannot be in two places, /t and /u",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(build: Build, line: str, said: str) -> None:
    result = build(f"FROM busybox\n{line}\n", "--no-cache")
    assert result.code == 1
    assert said in result.err
    assert "Dockerfile:2" in result.err


def test_containers_are_refused(inside: Wherry) -> None:
    result = inside("run", "--rm", "busybox", "true")
    assert result.code == 125
    assert "containers cannot be run in the mode chroot" in result.err


def test_missing_rights_are_named(place: Path) -> None:
    lacking = confined.prefix(place, "--without=CAP_MKNOD", "--without=CAP_SYS_CHROOT")
    wherry = Wherry(place / "wherry", place / "docker", prefix=lacking)
    folder = write_files(place / "lacking", {"Dockerfile": "FROM busybox\nRUN true\n"})
    result = wherry("build", "--no-cache", folder)
    assert result.code == 1
    assert "lacks: CAP_SYS_CHROOT, CAP_MKNOD" in result.err
    assert "--cap-add SYS_CHROOT --cap-add MKNOD" in result.err


def running(*words: str) -> list[int]:
    """Processes whose command has all of the words."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        text = command(int(name))
        if all(word in text for word in words):
            found.append(int(name))
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(("command", "expected"), [("true", False), ("ifconfig lo; true", True)])
def test_sockets_are_heard_of_and_nothing_else(
    build: Build, place: Path, command: str, expected: bool
) -> None:
    ok(build(f"FROM busybox\nCOPY a /\nRUN {command}\n", "--no-cache", files={"a": ""}))
    with Store.open(str(place / "wherry")) as store:
        assert store.records.all()[-1].result.networked == expected
    assert ok(build(f"FROM busybox\nCOPY a /\nRUN {command}\n", files={"a": command})).count("CACHED") == 1


def test_where_somebody_else_listens_sockets_are_not_heard_of(
    build: Build, inside: Wherry, place: Path
) -> None:
    at = len(inside.command) - len(cli.COMMAND)
    inside.command[at:at] = listening.PREFIX
    try:
        err = ok(build("FROM busybox\nRUN true\n", "--no-cache"))
    finally:
        del inside.command[at : at + len(listening.PREFIX)]
    assert "owners that it gives" not in err
    with Store.open(str(place / "wherry")) as store:
        assert store.records.all()[-1].result.networked
