"""`wherry debug`: the state of a failed step, as root and as an ordinary user."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, ordinary, programs
from support.cli import Wherry, write_files
from support.failing import fail
from support.ports import until

pytestmark = pytest.mark.needs("root", "busybox")


class Place(NamedTuple):
    """A command line on a store with the image `base`, and a folder for contexts of the same user."""

    wherry: Wherry
    folder: Path

    def context(self, dockerfile: str, **files: str) -> Path:
        return write_files(self.folder / "context", {"Dockerfile": dockerfile, **files})


@pytest.fixture(params=["root", "copy", "userns", "single-id"])
def place(request: pytest.FixtureRequest, wherry: Wherry, tmp_path: Path) -> Iterator[Place]:
    if request.param in ("root", "copy"):
        busybox.put(wherry.root, "base")
        wherry.environment["WHERRY_SNAPSHOTTER"] = "overlay" if request.param == "root" else "copy"
        yield Place(wherry, tmp_path)
        return
    programs.require("newuidmap", "setpriv")
    with ordinary.user(subordinate=request.param == "userns") as someone:
        ordinary.put_busybox(someone, someone.home / "store", "base")
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        yield Place(user, someone.home)


@pytest.fixture
def root(wherry: Wherry, tmp_path: Path) -> Place:
    busybox.put(wherry.root, "base")
    return Place(wherry, tmp_path)


SEES = "id; pwd; hostname; env | grep -Ev '^(HISTFILE|WHERRY_)' | sort; cut -d' ' -f5 /proc/self/mountinfo"
"""What a process sees of its surroundings; the mount points that are only for `debug` are left out."""

EVERYTHING = f"""\
FROM base AS other
RUN echo from > /file
FROM base
RUN rm /etc/notes.txt && mkdir -p /w/sub /w/emptied && touch /w/emptied/x && echo before > /w/changed
WORKDIR /w
ENV A="two  words" PATH=/x:/bin
ARG B=arg
RUN chown -R 1000 /w
USER web
RUN --mount=from=other,source=/file,target=/mnt/f --mount=type=cache,target=/c,uid=1000 \\
    --mount=type=tmpfs,target=/t --mount=target=/ctx --network=none \\
    ({SEES}) > seen; echo after > changed; rm -r sub emptied; mkdir emptied; \\
    echo cached > /c/x; echo lost > /t/x; exit 3
"""


def test_all_is_as_the_failed_process_had_it_and_left_it(place: Place) -> None:
    folder = place.context(EVERYTHING, ctx="text")
    failed = fail(place.wherry, folder)
    sees = place.wherry.ok("debug", failed.id, "--", "sh", "-c", SEES).splitlines()
    own = place.wherry.ok("debug", failed.id, "--", "cat", "seen").splitlines()
    assert [line for line in sees if "/dev/.wherry" not in line] == own
    assert own[:3] == ["uid=1000(web) gid=1000(web) groups=44(extra),1000(web)", "/w", "wherry"]
    assert {"A=two  words", "B=arg", "HOME=/home/web", "/mnt/f", "/c", "/t", "/ctx"} <= set(own)
    left = (
        "ls emptied; cat changed /c/x /mnt/f /ctx/ctx; ls -d sub /etc/notes.txt /t/x; ip addr | grep -c ,UP"
    )
    result = place.wherry("debug", failed.id, "--", "sh", "-c", left)
    assert result.out == "after\ncached\nfrom\ntext1\n"
    assert [line.split(":")[1].strip() for line in result.err.splitlines()] == [
        "sub",
        "/etc/notes.txt",
        "/t/x",
    ]


def test_the_command_gives_the_same_failure_again(place: Place) -> None:
    folder = place.context(
        "FROM base\nRUN test -e /twice && echo again; echo x >> /twice; cat /none; exit 9\n"
    )
    failed = fail(place.wherry, folder)
    assert "again" not in failed.err.replace("echo again", "")
    for _ in range(2):  # each begins with what the step left, not with what the last one did
        result = place.wherry("debug", "--", "sh", "-c", "$WHERRY_COMMAND; echo code $?; wc -l < /twice")
        assert result.out == "again\ncode 9\n2\n"
        assert "cat: can't open '/none'" in result.err


def test_a_script_by_standard_input_and_its_exit_code(place: Place) -> None:
    failed = fail(place.wherry, place.context("FROM base\nRUN echo x > /x; exit 1\n"))
    result = place.wherry("debug", failed.id, stdin="cat /x\nexit 7\n")
    assert (result.code, result.out) == (7, "x\n")
    assert "[2/2] RUN echo x > /x; exit 1 failed: exit code: 1" in result.err
    data = os.urandom(300_000)
    words = [*place.wherry.command, "debug", failed.id, "--", "cat"]
    copied = subprocess.run(words, input=data, capture_output=True, env=place.wherry.environment, timeout=60)
    assert copied.stdout == data
    assert place.wherry("debug", failed.id, "--", "no-such").code == 127
    assert place.wherry("debug", "ffff").code == 125


def test_listing_and_removing(place: Place) -> None:
    first = fail(place.wherry, place.context("FROM base\nRUN exit 4\n"), "-t", "app:v1")
    second = fail(place.wherry, place.context("FROM base\nRUN exit 5\nRUN exit 6\n"))
    template = "{{.Step}} {{.Command}} {{.Exit}} {{.Image}} {{.Context}}"
    assert place.wherry.ok("debug", "--ls", "--format", template).splitlines() == [
        f"2/3 RUN exit 5 5  {place.folder}/context",
        f"2/2 RUN exit 4 4 app:v1 {place.folder}/context",
    ]
    place.wherry.ok("build", place.context("FROM base\nRUN exit 0\n"))
    assert place.wherry("debug", stdin="exit 5\n").code == 5
    assert "[2/3] RUN exit 5 failed" in place.wherry("debug").err
    assert len(place.wherry.ok("debug", "--ls", "-a", "-q").split()) == 3
    steps = [line.split()[:2] for line in place.wherry.ok("debug", "--ls", second.id).splitlines()[1:]]
    assert steps == [["1/3", "cached"], ["2/3", "failed"], ["3/3", "not"]]
    whole = place.wherry.ok("debug", "--ls", "-q").split()
    assert place.wherry.ok("debug", "--rm", first.id) == f"{whole[1]}\n"
    assert place.wherry.ok("debug", "--ls", "-q").split() == whole[:1]
    assert "Failed Steps    1 " in place.wherry.ok("system", "df")
    assert "Deleted states of failed steps: 1" in place.wherry.ok("prune", "-f")
    assert place.wherry.ok("debug", "--ls", "-q") == ""
    assert len(place.wherry.ok("debug", "--ls", "-a", "-q").split()) == 1
    place.wherry.ok("prune", "-a", "-f")
    assert not list((place.wherry.root / "builds").iterdir())
    assert "no failed step is kept" in place.wherry("debug").err


def test_secrets_are_nowhere_below_the_store(place: Place) -> None:
    secret = "hunter2-" + os.urandom(8).hex()
    (place.folder / "token").write_text(f"{secret}\n")
    (place.folder / "token").chmod(0o644)
    folder = place.context(
        "FROM base\n"
        "RUN --mount=type=secret,id=tok,required=true --mount=type=secret,id=pw,env=PW \\\n"
        "    mkdir -p /d /e; cp /run/secrets/tok /d/copy; echo a=$PW > /e/rc; ln -s $PW /e/link; \\\n"
        "    touch /e/kept; "
        "    head -c 70000 /dev/zero > /d/big; cat /run/secrets/tok >> /d/big; mkdir /e/x-$PW; exit 1\n"
    )
    flags = (f"--secret=id=tok,src={place.folder}/token", "--secret=id=pw,env=PW")
    failed = fail(place.wherry, folder, *flags, env={"PW": secret})
    for path in place.wherry.root.rglob("*"):
        assert secret not in path.name
        assert not path.is_symlink() or secret not in os.readlink(path)
        assert not path.is_file() or path.is_symlink() or secret.encode() not in path.read_bytes(), path
    result = place.wherry("debug", failed.id, stdin="ls /d /e; cat /run/secrets/tok; echo PW=$PW\n")
    assert result.out == "/d:\n\n/e:\nkept\nPW=\n"
    for lost in ("/d/big", "/d/copy", "/e/link", "/e/rc"):
        assert f"taken out: {lost}, which held a secret\n" in result.err
    assert "not here: the secret 'tok'; lend it with --secret id=tok,...\n" in result.err
    shown = "$WHERRY_COMMAND; cat /d/copy; grep -c a=$PW /e/rc"
    again = place.wherry("debug", failed.id, *flags, "--", "sh", "-c", shown, env={"PW": secret})
    assert again.out == f"{secret}\n1\n"


def test_the_layers_of_a_kept_state_are_kept(place: Place) -> None:
    failed = fail(place.wherry, place.context("FROM base\nRUN exit 1\n"))
    place.wherry.ok("image", "prune", "-a", "-f")
    assert place.wherry.ok("images", "-q") == ""
    assert place.wherry.ok("debug", failed.id, "--", "cat", "/data/seed") == "from the image\n"
    place.wherry.ok("prune", "-a", "-f")
    assert not list((place.wherry.root / "layers").iterdir())


def test_any_step_as_it_was_before_it_ran(place: Place) -> None:
    folder = place.context(
        "FROM base AS one\nRUN echo 1 > /n\nRUN echo 2 >> /n\nFROM base\nCOPY --from=one /n /n\n"
        "WORKDIR /w\nUSER web\nRUN cat /n\n"
    )
    place.wherry.ok("build", "-t", "app:v1", folder)

    def at(step: str, *words: str) -> str:
        return place.wherry.ok("debug", "--step", step, *words, "--", "sh", "-c", "cat /n; pwd; id -un")

    assert at("one 3") == at("one:3", "app:v1") == "1\n/\nroot\n"
    assert at("4") == "1\n2\n/w\nweb\n"
    assert at("stage-1 3/4") == "1\n2\n/\nroot\n"
    ambiguous = place.wherry("debug", "--step", "2", "--", "true")
    assert ambiguous.code == 125
    assert "write one of: one 2/3, stage-1 2/4" in ambiguous.err
    assert "no step of this build failed" in place.wherry("debug", "app:v1").err
    assert "there is no step 9" in place.wherry("debug", "--step", "9").err
    place.wherry.ok("prune", "-f")
    place.wherry.ok("build", "-q", folder)
    (place.folder / "context" / "Dockerfile").write_text("FROM base\nRUN echo other\n")
    place.wherry.ok("build", "-q", place.folder / "context")
    place.wherry.ok("rmi", "app:v1")
    place.wherry.ok("prune", "-f")
    gone = place.wherry("debug", "--step", "4", "app:v1")
    assert gone.code == 125
    assert "stands on are not in the store" in gone.err


def test_what_changes_is_dropped_or_kept_as_wished(place: Place) -> None:
    lines = "FROM base\nRUN mkdir /d; echo 1 > /d/n; chmod 751 /; chown 0:5 /; exit 1\n"
    failed = fail(place.wherry, place.context(lines))
    change = "echo 2 >> /d/n; rm /etc/notes.txt; chmod 700 /d; cat /d/n"
    if place.wherry.environment.get("WHERRY_SNAPSHOTTER") == "overlay":
        assert place.wherry.ok("debug", failed.id, "--", "stat", "-c", "%a %u:%g", "/") == "751 0:5\n"
    assert place.wherry.ok("debug", failed.id, "--", "sh", "-c", change) == "1\n2\n"
    assert place.wherry.ok("debug", failed.id, "--keep", "--", "sh", "-c", change) == "1\n2\n"
    assert place.wherry.ok("debug", failed.id, "--keep", "--", "sh", "-c", change + "; exit 0") == "1\n2\n2\n"
    seen = place.wherry("debug", failed.id, "--", "sh", "-c", "cat /d/n; stat -c %a /d; ls /etc/notes.txt")
    assert seen.out == "1\n2\n2\n700\n"
    refused = place.wherry("debug", failed.id, "--keep", "--secret", "id=x,src=/etc/hosts")
    assert refused.code == 125
    assert "do not go together" in refused.err


def test_another_user_and_folder(place: Place) -> None:
    failed = fail(place.wherry, place.context("FROM base\nUSER web\nWORKDIR /tmp\nRUN rm -r $PWD; exit 1\n"))
    assert place.wherry.ok(
        "debug", "-u", "root", "-w", "/home", failed.id, "--", "sh", "-c", "id -u; pwd"
    ) == ("0\n/home\n")


def test_a_folder_that_the_step_has_removed(root: Place) -> None:
    failed = fail(root.wherry, root.context("FROM base\nWORKDIR /a/b\nRUN rm -r /a/b; exit 1\n"))
    result = root.wherry("debug", failed.id, "--", "pwd")
    assert (result.out, result.err) == ("/a\n", "/a/b is not there: in /a\n")


def test_several_may_be_in_it_and_none_may_take_it_away(root: Place) -> None:
    failed = fail(root.wherry, root.context("FROM base\nRUN echo 1 > /n; exit 1\n"))
    with _waiting(root, failed.id):
        assert root.wherry.ok("debug", failed.id, "--", "sh", "-c", "echo 2 > /n; cat /n") == "2\n"
        for words in (["--rm", failed.id], ["--keep", failed.id, "--", "true"]):
            refused = root.wherry("debug", *words)
            assert refused.code != 0
            assert "another `wherry debug` has it open" in refused.err
    with _waiting(root, failed.id, "--keep"):
        assert "has it open" in root.wherry("debug", failed.id, "--", "true").err
    root.wherry.ok("debug", "--rm", failed.id)


@pytest.mark.parametrize("flags", [(), ("--keep",)])
def test_nothing_is_left_of_a_debug_that_was_killed(root: Place, flags: tuple[str, ...]) -> None:
    failed = fail(root.wherry, root.context("FROM base\nRUN echo 1 > /n; exit 1\n"))
    with _waiting(root, failed.id, *flags) as process:
        process.kill()
        process.wait()
    mark = str(root.wherry.root)
    until(lambda: mark not in _running())
    assert mark not in Path("/proc/self/mounts").read_text()
    assert root.wherry.ok("debug", failed.id, "--", "cat", "/n") == "1\n"
    fail(root.wherry, root.context("FROM base\nRUN exit 2\n"))
    assert not list((root.wherry.root / "tmp").iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_and_all_that_it_started(root: Place, number: int, code: int) -> None:
    failed = fail(root.wherry, root.context("FROM base\nRUN exit 1\n"))
    with _waiting(root, failed.id) as process:
        process.send_signal(number)
        assert process.wait(60) == code
    assert not list((root.wherry.root / "tmp").iterdir())


def test_a_full_disk_does_not_hide_the_error_of_the_step(root: Place, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    try:
        busybox.put(small / "store", "base")
        folder = root.context("FROM base\nRUN cat /dev/zero > /fill; echo cannot go on; exit 11\n")
        result = root.wherry("build", folder, env={"WHERRY_ROOT": f"{small}/store"})
        assert result.code == 1
        assert "exit code: 11" in result.err
        assert "its state could not be kept: the disk is full" in result.err
        assert not list((small / "store").glob("builds/*"))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_failed_step_is_never_taken_for_done(root: Place) -> None:
    folder = root.context("FROM base\nRUN test -e /ok\n")
    failed = fail(root.wherry, folder)
    root.wherry.ok("debug", failed.id, "--keep", "--", "touch", "/ok")
    root.wherry.ok("debug", failed.id, "--", "test", "-e", "/ok")
    fail(root.wherry, folder)


def test_an_image_without_a_shell_is_lent_one(root: Place) -> None:
    folder = root.context(
        'FROM base AS b\nFROM scratch\nCOPY --from=b /bin/busybox /p/false\nRUN ["/p/false"]\n'
    )
    failed = fail(root.wherry, folder)
    result = root.wherry("debug", failed.id, stdin="ls /; ls /bin /usr; $WHERRY_COMMAND; echo $?\n")
    assert result.out == "dev\netc\np\nproc\nsys\n1\n"
    assert "a busybox of this machine, for want of a shell" in result.err
    own = root.wherry("debug", failed.id, "--", "/p/false")
    assert (own.code, own.out, own.err) == (1, "", "")
    without = root.wherry("debug", failed.id, env={"PATH": "/usr/sbin"})
    assert without.code == 125
    assert "there is no shell in this root filesystem" in without.err


@pytest.mark.needs("crun")
@pytest.mark.parametrize("runtime", ["native", "crun"])
def test_the_conditions_of_the_build_hold_too(root: Place, runtime: str) -> None:
    folder = root.context("FROM base\nRUN cat /etc/hosts > /h; ulimit -n > /u; ip addr > /n; exit 3\n")
    flags = ("--add-host", "there:192.0.2.7", "--ulimit", "nofile=99:99", "--network", "none")
    failed = fail(root.wherry, folder, "--runtime", runtime, *flags)
    shown = "cmp /etc/hosts /h && grep -c there /h; ulimit -n; cat /u; ip addr | cmp - /n; exit 5"
    result = root.wherry("debug", failed.id, "--", "sh", "-c", shown)
    assert (result.code, result.out, result.err) == (5, "1\n99\n99\n", "")


class _waiting:
    """`wherry debug` that has begun and goes on until it is killed."""

    def __init__(self, place: Place, *words: str) -> None:
        self._process = place.wherry.start("debug", *words, "--", "sh", "-c", "echo in; exec sleep 1000")

    def __enter__(self) -> subprocess.Popen[bytes]:
        assert self._process.stdout and self._process.stdout.readline() == b"in\n"
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def _running() -> str:
    """The command lines and environments of all processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry.parent.name != str(os.getpid()):
                found.append(entry.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)
