"""`wherry build` as a user calls it: what is printed, what comes out, what an error leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry
from support.trees import contents

pytestmark = pytest.mark.needs("root")

Context = Callable[[Mapping[str, str | bytes]], Path]


def config(wherry: Wherry, name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(wherry.ok("inspect", name))[0]["Config"]
    return document


def test_a_run_changes_the_image_and_prints_its_output(shared: Wherry, built: Callable[..., str]) -> None:
    printed = built("FROM busybox\nRUN echo hello; echo text > /new\n", "-t", "t-run")
    assert "[2/2] RUN echo hello; echo text > /new" in printed
    assert "hello" in printed
    assert contents(shared.root, "t-run")["new"] == "text\n"


def test_a_second_build_is_cached_whole(shared: Wherry, built: Callable[..., str]) -> None:
    text = 'FROM busybox\nWORKDIR /app\nCOPY a.txt .\nRUN cat a.txt > b\nCMD ["cat", "b"]\n'
    first = built(text, "-t", "t-cached", a_txt="one")
    again = built(text, "-t", "t-cached", a_txt="one")
    assert "CACHED" in first and "DONE" in first
    steps = [line for line in again.splitlines() if line.endswith("CACHED")]
    assert len(steps) == 4
    changed = built(text, "-t", "t-cached", a_txt="two")
    assert len([line for line in changed.splitlines() if line.endswith("CACHED")]) == 2


def test_the_process_of_a_run(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM busybox\n"
        "RUN echo app:x:7:50::/home/app:/bin/sh >> /etc/passwd; echo team:x:50: >> /etc/group; chmod 777 /\n"
        "ENV A=1\nARG B=2\nARG C\nUSER app\nWORKDIR /work\n"
        "RUN env | sort > env; id > id; pwd > pwd; hostname > host; umask > umask\n",
        "--build-arg", "C=3", "-t", "t-process",
    )  # fmt: skip
    found = contents(shared.root, "t-process")
    assert found["work/pwd"] == "/work\n"
    assert found["work/host"] == "wherry\n"
    assert found["work/umask"] == "0022\n"
    assert found["work/id"].startswith("uid=7(app) gid=50(team) groups=50(team)")
    lent = "/dev/.wherry/"  # --host-ca, where this machine needs it
    assert [line for line in found["work/env"].splitlines() if lent not in line] == [
        "A=1", "B=2", "C=3", "HOME=/home/app",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/work", "SHLVL=1",
    ]  # fmt: skip


def test_no_variable_of_the_host_reaches_a_run(shared: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM busybox\nRUN env > /env\n"})
    shared.ok("build", "-t", "t-env", folder, env={"SECRET_OF_HOST": "x", "LANG": "xx"})
    assert "SECRET_OF_HOST" not in contents(shared.root, "t-env")["env"]


def test_mounted_files_leave_nothing_in_the_layer(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM scratch AS empty\nFROM busybox\nRUN cat /etc/hosts /etc/resolv.conf /etc/hostname\n",
        "-t",
        "t-clean",
    )
    history = shared.ok("history", "--format", "{{.Size}} {{.CreatedBy}}", "t-clean").splitlines()
    assert history[0].startswith("0B RUN /bin/sh -c cat")


def test_shell_entrypoint_cmd_and_the_rest_of_the_config(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM busybox\n"
        'SHELL ["/bin/sh", "-ec"]\n'
        "ENV A=1 B=\"two words\"\nENV PATH=/x:$PATH\n"
        "LABEL one=1 two=\"a b\"\nEXPOSE 80 53/udp 8000-8001\nVOLUME /data /more\nSTOPSIGNAL SIGINT\n"
        "HEALTHCHECK --interval=5s --retries=2 CMD wget -q localhost\n"
        "USER 7:8\nWORKDIR a/b\nMAINTAINER someone\n"
        "ENTRYPOINT exec cat\nCMD [\"x\"]\nONBUILD RUN echo child\n",
        "--label", "three=3", "-t", "t-config",
    )  # fmt: skip
    found = config(shared, "t-config")
    assert found["Env"] == [
        "PATH=/x:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "A=1",
        "B=two words",
    ]
    assert found["Labels"] == {"one": "1", "two": "a b", "three": "3"}
    assert set(found["ExposedPorts"]) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"}  # type: ignore[call-overload]
    assert set(found["Volumes"]) == {"/data", "/more"}  # type: ignore[call-overload]
    assert found["StopSignal"] == "SIGINT"
    assert found["Healthcheck"] == {
        "Test": ["CMD-SHELL", "wget -q localhost"], "Interval": 5000000000, "Retries": 2,
    }  # fmt: skip
    assert (found["User"], found["WorkingDir"]) == ("7:8", "/a/b")
    assert found["Entrypoint"] == ["/bin/sh", "-ec", "exec cat"]
    assert found["Cmd"] == ["x"]
    assert found["OnBuild"] == ["RUN echo child"]


def test_an_entrypoint_drops_the_bases_cmd_but_not_its_own(shared: Wherry, built: Callable[..., str]) -> None:
    built('FROM busybox\nCMD ["base"]\n', "-t", "t-base-cmd")
    built('FROM t-base-cmd\nENTRYPOINT ["e"]\n', "-t", "t-dropped")
    built('FROM t-base-cmd\nCMD ["own"]\nENTRYPOINT ["e"]\n', "-t", "t-kept")
    assert config(shared, "t-dropped").get("Cmd") is None
    assert config(shared, "t-kept")["Cmd"] == ["own"]


def test_onbuild_runs_in_the_child_and_not_in_its_child(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM busybox\nONBUILD COPY a.txt /from-child\nONBUILD RUN echo ran > /ran\n",
        "-t",
        "t-parent",
        a_txt="x",
    )
    assert "from-child" not in contents(shared.root, "t-parent")
    built("FROM t-parent\nRUN cat /ran\n", "-t", "t-child")
    assert contents(shared.root, "t-child")["from-child"] == "x"
    assert not config(shared, "t-child").get("OnBuild")


def test_stages_and_target(shared: Wherry, context: Context) -> None:
    folder = context(
        {
            "Dockerfile": "FROM busybox AS a\nRUN echo a > /a\n"
            "FROM busybox AS b\nRUN echo b > /b\n"
            "FROM busybox AS unused\nRUN false\n"
            "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
        }
    )
    shared.ok("build", "-t", "t-stages", folder)
    assert contents(shared.root, "t-stages") == {"a": "a\n", "b": "b\n"}
    failed = shared("build", "--target", "unused", folder)
    assert failed.code == 1
    wrong = shared("build", "--target", "c", folder)
    assert (wrong.code, "target stage 'c' could not be found" in wrong.err) == (1, True)


def test_a_failing_run_shows_where_why_and_its_log(shared: Wherry, context: Context) -> None:
    before = shared.ok("images", "-q", "--no-trunc")
    folder = context(
        {"Dockerfile": "FROM busybox\n# why\nRUN for i in $(seq 100); do echo line $i; done; exit 7\n"}
    )
    result = shared("build", "-t", "busybox", folder)
    assert result.code == 1
    assert "exit code: 7" in result.err
    assert "--> Dockerfile:3" in result.err
    assert "3 | >>> RUN for i in" in result.err
    log = result.err.split("the whole output is in ")[1].splitlines()[0]
    assert Path(log).read_text().splitlines() == [f"line {number}" for number in range(1, 101)]
    assert shared.ok("images", "-q", "--no-trunc") == before


@pytest.mark.parametrize(
    ("dockerfile", "message", "place"),
    [
        ("FROM busybox\nCOPPY a /\n", "unknown instruction: COPPY", "Dockerfile:2"),
        ("FROM busybox\nCOPY nothing /\n", "'nothing' is not in the build context", "Dockerfile:2"),
        ("FROM busybox\nCOPY ../etc/passwd /\n", "outside the build context", "Dockerfile:2"),
        ('FROM busybox\nRUN ["/no/such"]\n', "/no/such", "Dockerfile:2"),
        ("FROM busybox\nUSER nobody-here\nRUN true\n", "nobody-here", "Dockerfile:3"),
        ("FROM 127.0.0.1:1/none\n", "connection refused", "Dockerfile:1"),
        ("RUN true\n", "no build stage", "Dockerfile:1"),
        ("FROM busybox\nRUN --security=insecure true\n", "RUN --security=insecure", "Dockerfile:2"),
        ("FROM busybox\nRUN --device=a.b/c=d true\n", "RUN --device=a.b/c=d", "Dockerfile:2"),
        ("", "no instructions", "Dockerfile:1"),
    ],
)
def test_bad_input_gives_one_error_and_no_image(
    shared: Wherry, context: Context, dockerfile: str, message: str, place: str
) -> None:
    before = shared.ok("images", "-aq")
    result = shared("build", "-t", "t-never", context({"Dockerfile": dockerfile}))
    assert result.code == 1
    assert message in result.err
    assert place in result.err
    assert "Traceback" not in result.err
    assert shared.ok("images", "-aq") == before


def test_no_dockerfile_no_context_no_argument(shared: Wherry, tmp_path: Path) -> None:
    assert shared("build", tmp_path).code == 1
    assert shared("build", tmp_path / "none").code == 1
    assert shared("build").code == 1
    assert shared("build", "--nonsense", tmp_path).code == 125


def test_containerfile_and_standard_input(wherry: Wherry, context: Context) -> None:
    folder = context({"Containerfile": "FROM scratch\nCOPY a /\n", "a": "x"})
    wherry.ok("build", "-t", "one", folder)
    wherry.ok("build", "-t", "two", "-f", "-", folder, stdin="FROM scratch\nCOPY a /\n")
    ids = wherry.ok("images", "-q", "--no-trunc").split()
    assert len(set(ids)) == 1


def test_ctrl_c_ends_the_step_and_leaves_nothing(shared: Wherry, context: Context) -> None:
    marker = f"31{os.getpid() % 1000:03}"
    folder = context({"Dockerfile": f"FROM busybox\nRUN sleep {marker} & sleep {marker}\n"})
    process = shared.start("build", "-t", "t-interrupted", folder)
    try:
        assert wait_for(lambda: len(sleepers(marker)) == 2), "the step did not start"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert wait_for(lambda: not sleepers(marker))
    assert str(shared.root) not in Path("/proc/self/mountinfo").read_text()
    assert not list((shared.root / "tmp").iterdir())
    assert shared("inspect", "t-interrupted").code == 1


def test_kill_9_leaves_no_process_and_a_store_that_works(shared: Wherry, context: Context) -> None:
    marker = f"32{os.getpid() % 1000:03}"
    folder = context({"Dockerfile": f"FROM busybox\nRUN sleep {marker}\n"})
    process = shared.start("build", folder)
    try:
        assert wait_for(lambda: len(sleepers(marker)) >= 1), "the step did not start"
    finally:
        process.kill()
        process.communicate()
    assert wait_for(lambda: not sleepers(marker))
    assert list((shared.root / "tmp").iterdir())
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo fine > /fine\n")
    shared.ok("build", "-t", "t-after-kill", folder)
    assert not list((shared.root / "tmp").iterdir())


def sleepers(marker: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", marker.encode()]:
            found.append(pid)
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_full_disk_is_one_error_and_keeps_the_old_image(
    wherry: Wherry, context: Context, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    folder = context({"Dockerfile": "FROM scratch\nCOPY a /\n", "a": "x"})
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], check=True)
    try:
        environment = {"WHERRY_ROOT": str(small / "store")}
        wherry.ok("build", "-t", "app", folder, env=environment)
        before = wherry.ok("images", "-q", env=environment)
        (folder / "big").write_bytes(os.urandom(8 << 20))
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        result = wherry("build", "-t", "app", folder, env=environment)
        assert result.code == 1
        assert "No space left on device" in result.err
        assert "Traceback" not in result.err
        assert wherry.ok("images", "-q", env=environment) == before
        assert not list((small / "store" / "tmp").iterdir())
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_step_that_fills_the_disk_is_told_by_its_own_words(
    wherry: Wherry, context: Context, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    lines = "FROM scratch\nCOPY bin /bin\nRUN busybox dd if=/dev/zero of=/big bs=1M count=100\n"
    folder = context({"Dockerfile": lines, "bin/busybox": Path("/bin/busybox").read_bytes()})
    (folder / "bin" / "busybox").chmod(0o755)
    (folder / "bin" / "sh").symlink_to("busybox")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(small)], check=True)
    try:
        result = wherry("build", folder, env={"WHERRY_ROOT": str(small / "store")})
        assert result.code == 1
        assert "No space left on device" in result.err
        assert "did not complete successfully: exit code: 1" in result.err
        assert "`wherry prune` frees disk space" in result.err
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_iidfile_metadata_and_quiet(wherry: Wherry, context: Context, tmp_path: Path) -> None:
    folder = context({"Dockerfile": "FROM scratch\nCOPY a /\n", "a": "x"})
    iid, metadata = tmp_path / "iid", tmp_path / "metadata.json"
    result = wherry(
        "build", "-q", "--iidfile", iid, "--metadata-file", metadata, "-t", "app", "-t", "app:2", folder
    )
    assert result.err == ""
    assert result.out.strip() == iid.read_text()
    found = json.loads(metadata.read_text())
    assert found["containerimage.config.digest"] == iid.read_text()
    assert found["image.name"] == "docker.io/library/app:latest,docker.io/library/app:2"
    assert wherry.ok("images", "-q", "--no-trunc").split() == [iid.read_text()] * 2


def test_build_arguments_proxies_and_history(shared: Wherry, built: Callable[..., str]) -> None:
    text = "ARG BASE=busybox\nFROM $BASE\nARG V=1\nRUN echo $V $http_proxy > /v\n"
    proxy = "http://user:pass@127.0.0.1:9"
    built(text, "--build-arg", "V=2", "--build-arg", f"http_proxy={proxy}", "-t", "t-args")
    assert contents(shared.root, "t-args")["v"] == f"2 {proxy}\n"
    history = shared.ok("history", "--no-trunc", "t-args")
    assert "RUN |1 V=2 /bin/sh -c echo $V $http_proxy > /v" in history
    assert proxy not in history + shared.ok("inspect", "t-args")
    # A proxy is no input: the step is reused without it.
    assert built(text, "--build-arg", "V=2").count("CACHED") == 2
    assert "build argument 'X' is not used" in built(text, "--build-arg", "X=1")


def test_host_ca_is_seen_and_leaves_no_trace(shared: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": 'FROM busybox\nRUN test -s "$SSL_CERT_FILE" && echo seen > /n\n'})
    shared.ok("build", "--host-ca", "-t", "t-ca", folder)
    image = json.loads(shared.ok("inspect", "t-ca"))[0]
    assert "CERT" not in json.dumps(image) + shared.ok("history", "--no-trunc", "t-ca").replace(
        "$SSL_CERT_FILE", ""
    )
    assert set(contents(shared.root, "t-ca")) - set(contents(shared.root, "busybox")) == {"n"}


def test_host_ca_lets_a_step_make_the_bundle_anew(shared: Wherry, context: Context, tmp_path: Path) -> None:
    (tmp_path / "host.pem").write_text("the host's\n")
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    folder = context(
        {
            "Dockerfile": f"FROM busybox\nCOPY old {bundle}\nCOPY --chmod=755 update-ca-certificates /bin/\n"
            f"RUN cat {bundle} > /seen\nRUN cat $SSL_CERT_FILE > /lent; update-ca-certificates\n",
            "old": "old\n",
            "update-ca-certificates": f"#!/bin/sh\necho new > /new && mv -f /new {bundle}\n",
        }
    )
    lent = {"SSL_CERT_FILE": str(tmp_path / "host.pem")}
    shared.ok("build", "--host-ca", "--no-cache", "-t", "t-ca-new", folder, env=lent)
    found = contents(shared.root, "t-ca-new")
    assert (found["seen"], found["lent"]) == ("the host's\n", "the host's\n")
    assert found[bundle[1:]] == "new\n"


def test_network_none(shared: Wherry, built: Callable[..., str]) -> None:
    built("FROM busybox\nRUN --network=none ls /sys/class/net > /net\n", "-t", "t-net")
    assert contents(shared.root, "t-net")["net"] == "lo\n"


def test_heredocs(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM busybox\nARG NAME=world\nCOPY <<E /hello\nhello $NAME\nE\n"
        "RUN <<E\necho one > /one\necho two >> /one\nE\n"
        "RUN <<E\n#!/bin/sh\necho $0 > /script\nE\n",
        "-t", "t-heredoc",
    )  # fmt: skip
    found = contents(shared.root, "t-heredoc")
    assert (found["hello"], found["one"], found["script"]) == (
        "hello world\n",
        "one\ntwo\n",
        "/dev/pipes/E\n",
    )


def test_a_files_change_from_a_lower_layer(shared: Wherry, built: Callable[..., str]) -> None:
    built(
        "FROM busybox\nRUN mkdir /d && echo a > /d/a && echo b > /d/b && ln /d/a /d/h\n"
        "RUN rm /d/a && echo c >> /d/b && mv /d/b /d/c\nRUN rm -r /d && mkdir /d && touch /d/new\n",
        "-t", "t-changes",
    )  # fmt: skip
    assert {path for path in contents(shared.root, "t-changes") if path.startswith("d/")} == {"d/new"}


def test_output_to_a_folder_and_a_tar(shared: Wherry, context: Context, tmp_path: Path) -> None:
    folder = context({"Dockerfile": "FROM scratch\nCOPY a /d/\n", "a": "x"})
    before = shared.ok("images", "-aq")
    shared.ok("build", "-o", tmp_path / "out", folder)
    assert (tmp_path / "out" / "d" / "a").read_text() == "x"
    shared.ok("build", "-o", f"type=tar,dest={tmp_path / 'x.tar'}", folder)
    import tarfile

    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == ["d", "d/a"]
    assert shared.ok("images", "-aq") == before
    assert shared("build", "-o", "type=nonsense", folder).code == 1


def test_two_builds_at_once_in_one_store(shared: Wherry, context: Context) -> None:
    folder = context({"Dockerfile": "FROM busybox\nRUN sleep 0.3; echo x > /x\nRUN cat /x > /y\n"})
    processes = [shared.start("build", "-t", f"t-both-{number}", folder) for number in range(3)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    ids = {shared.ok("images", "-q", f"t-both-{number}") for number in range(3)}
    assert len(ids) == 1


@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_an_output_on_a_full_disk_is_named(
    wherry: Wherry, context: Context, tmp_path: Path, kind: str
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    folder = context({"Dockerfile": "FROM scratch\nCOPY a /\n", "a": os.urandom(2 << 20)})
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        result = wherry("build", "-o", f"type={kind},dest={small}/out", folder)
        assert result.code == 1
        assert f"cannot write {small}/out: No space left on device" in result.err
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
