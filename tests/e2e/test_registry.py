"""pull, push, login, save and load, against Debian's docker-registry, skopeo and umoci."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import busybox, remote
from support.cli import COMMAND, Wherry
from support.ports import until
from support.registry import serve
from support.trees import tree
from wherry.store.store import Store
from wherry.testing.registry import Fault, Registry, Stall

pytestmark = [
    pytest.mark.needs("docker-registry", "skopeo", "umoci", busybox.PROGRAM),
    pytest.mark.usefixtures("_own_settings"),
]

PASSWORD = "pass word"
HTPASSWD = "ann:$2y$04$KiWFF567/5ay2EXUh7M/f.vwDoNU.imIKjtMKIrCNoWpHgEKSFsNC\n"
"""`ann` with PASSWORD, by bcrypt."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("open")
    with serve(str(scratch / "content"), str(scratch)) as address:
        yield address


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that lets nobody in but ann."""
    scratch = tmp_path_factory.mktemp("locked")
    (scratch / "htpasswd").write_text(HTPASSWD)
    extra = f"auth:\n  htpasswd:\n    realm: tests\n    path: {scratch}/htpasswd\n"
    with serve(str(scratch / "content"), str(scratch), extra) as address:
        yield address


@pytest.fixture
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)


@pytest.fixture
def second(tmp_path: Path) -> Wherry:
    """Another machine: the same settings, an empty store."""
    return Wherry(tmp_path / "second", tmp_path / "docker")


def _skopeo(*words: str | Path) -> str:
    done = subprocess.run(["skopeo", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _inspected(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_skopeo("inspect", "--config", "--tls-verify=false", image))
    return found


def _unpacked(layout: Path, tag: str, bundle: Path) -> Path:
    command = ["umoci", "unpack", "--rootless", "--image", f"{layout}:{tag}", str(bundle)]
    subprocess.run(command, check=True, capture_output=True)
    return bundle / "rootfs"


def _image(wherry: Wherry, name: str) -> str:
    return busybox.put(wherry.root, name)


def test_what_was_pushed_is_read_by_others(wherry: Wherry, host: str, tmp_path: Path) -> None:
    name = f"{host}/team/box:v1"
    image_id = _image(wherry, name)
    out = wherry.ok("push", name)
    digest = out.rstrip().rpartition(" ")[2]
    diff_id = _inspected(f"docker://{name}")["rootfs"]["diff_ids"][0]
    assert out == (
        f"The push refers to repository [{host}/team/box]\n{diff_id[7:19]}: Pushed\nv1: digest: {digest}\n"
    )
    raw = _skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    assert remote.sha256(raw.encode()) == digest
    assert json.loads(raw)["config"]["digest"] == image_id
    _skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/layout:v1")
    root = _unpacked(tmp_path / "layout", "v1", tmp_path / "bundle")
    assert (root / "data" / "seed").read_text() == "from the image\n"
    assert (root / "bin" / "busybox").read_bytes() == Path(busybox.PROGRAM).read_bytes()
    assert f"{diff_id[7:19]}: Layer already exists" in wherry.ok("push", name)


def test_a_push_and_a_pull_give_the_same_image(wherry: Wherry, second: Wherry, host: str) -> None:
    name = f"{host}/round:v1"
    image_id = _image(wherry, name)
    digest = wherry.ok("push", name).rstrip().rpartition(" ")[2]
    out = second.ok("pull", name)
    lines = out.splitlines()
    assert lines[0] == "v1: Pulling from " + f"{host}/round"
    assert lines[1].endswith(": Pull complete")
    assert lines[2:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name]
    again = second.ok("pull", name).splitlines()
    assert again[1].endswith(": Already exists")
    assert again[3] == f"Status: Image is up to date for {name}"
    assert second.ok("pull", "-q", f"{host}/round@{digest}") == f"{host}/round@{digest}\n"
    with Store.open(str(wherry.root)) as here, Store.open(str(second.root)) as there:
        assert there.images.find(name).id == image_id
        assert tree(there, name) == tree(here, name)


@pytest.mark.parametrize(
    "options", [["--format=oci"], ["--format=v2s2"], ["--format=oci", "--dest-compress-format=zstd"]]
)
def test_what_skopeo_pushed(
    wherry: Wherry, second: Wherry, host: str, tmp_path: Path, options: list[str]
) -> None:
    _image(wherry, "box:v1")
    wherry.ok("save", "-o", tmp_path / "box.tar", "box:v1")
    name = f"{host}/skopeo/box:{'-'.join(option.rpartition('=')[2] for option in options)}"
    _skopeo(
        "copy", "--dest-tls-verify=false", *options, f"docker-archive:{tmp_path}/box.tar", f"docker://{name}"
    )
    second.ok("pull", name)
    raw = _skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    with Store.open(str(wherry.root)) as here, Store.open(str(second.root)) as there:
        assert tree(there, name) == tree(here, "box:v1")
        image = there.images.find(name)
        assert image.manifest and there.blobs.read(image.manifest) == raw.encode()
    copy = f"{host}/copy/{name.rpartition('/')[2]}"
    second.ok("tag", name, copy)
    second.ok("push", copy)
    assert _skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{copy}") == raw


def test_login(wherry: Wherry, second: Wherry, locked: str, tmp_path: Path) -> None:
    name = f"{locked}/box:v1"
    _image(wherry, name)
    refused = wherry("push", name)
    assert refused.code == 1
    assert refused.err == (
        f"error: {locked} asks for a login: {name} needs it\nhint: run `wherry login {locked}` first\n"
    )
    wrong = wherry("login", "-u", "ann", "--password-stdin", locked, stdin="wrong\n")
    assert (wrong.code, "refused the credentials" in wrong.err) == (1, True)
    right = wherry("login", "-u", "ann", "--password-stdin", locked, stdin=PASSWORD + "\n")
    assert (right.code, right.out) == (0, "Login Succeeded\n")
    config = tmp_path / "docker" / "config.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert str(config) in right.err
    wherry.ok("push", name)
    assert PASSWORD not in right.out + right.err
    _skopeo("inspect", "--authfile", config, "--tls-verify=false", f"docker://{name}")
    second.ok("pull", name)
    assert wherry.ok("logout", locked) == f"Removing login credentials for {locked}\n"
    assert wherry.ok("logout", locked) == f"Not logged in to {locked}\n"
    assert "asks for a login" in second("pull", name).err
    podmans = tmp_path / "run" / "containers" / "auth.json"
    podmans.parent.mkdir(parents=True)
    podmans.write_text(
        json.dumps({"auths": {locked: {"auth": b64encode(f"ann:{PASSWORD}".encode()).decode()}}})
    )
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    second.ok("pull", name, env=env)
    left = wherry("logout", locked, env=env)
    assert (left.code, left.err) == (0, f"warning: {podmans} has a login too: `podman logout {locked}`\n")


def test_skopeo_logs_in_for_us(wherry: Wherry, locked: str, tmp_path: Path) -> None:
    authfile = tmp_path / "auth.json"
    _skopeo("login", "--tls-verify=false", "-u", "ann", "-p", PASSWORD, "--authfile", authfile, locked)
    _image(wherry, f"{locked}/by-skopeo:v1")
    wherry.ok("push", f"{locked}/by-skopeo:v1", env={"REGISTRY_AUTH_FILE": str(authfile)})


def test_login_needs_a_way_to_ask(wherry: Wherry, locked: str) -> None:
    for words in ([locked], ["-u", "ann", locked], ["--password-stdin", locked], ["-p", "x", locked]):
        result = wherry("login", *words, stdin=PASSWORD)
        assert result.code == 125, result.err
    result = wherry("login", "-u", "ann", "-p", "wrong one", locked)
    assert (result.code, "--password-stdin" in result.err, "wrong one" in result.err) == (1, True, False)


def test_login_asks_on_a_terminal(wherry: Wherry, locked: str, tmp_path: Path) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.execve(COMMAND[0], [*COMMAND, "login", locked], wherry.environment)
    shown = b""
    for question, answer in ((b"Username", b"ann"), (b"Password", PASSWORD.encode()), (b"Succeeded", b"")):
        while question not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, answer + b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    os.close(terminal)
    assert PASSWORD.encode() not in shown
    assert locked in (tmp_path / "docker" / "config.json").read_text()


def test_save_is_read_by_skopeo_and_umoci(wherry: Wherry, tmp_path: Path) -> None:
    image_id = _image(wherry, "box:v1")
    archive = tmp_path / "box.tar"
    assert wherry.ok("save", "-o", archive, "box:v1") == ""
    for source in (
        f"docker-archive:{archive}",
        f"docker-archive:{archive}:box:v1",
        f"oci-archive:{archive}:v1",
    ):
        assert _inspected(source)["config"]["Cmd"] == ["sh"]
    _skopeo("copy", f"oci-archive:{archive}:v1", f"dir:{tmp_path}/dir")
    assert json.loads((tmp_path / "dir" / "manifest.json").read_text())["config"]["digest"] == image_id
    (tmp_path / "layout").mkdir()
    shutil.unpack_archive(archive, tmp_path / "layout", "tar", filter="data")
    root = _unpacked(tmp_path / "layout", "v1", tmp_path / "bundle")
    assert (root / "data" / "seed").read_text() == "from the image\n"
    with open(tmp_path / "stdout.tar", "wb") as target:
        process = wherry.start("save", "box:v1")
        assert process.stdout
        shutil.copyfileobj(process.stdout, target)
        assert process.wait() == 0
    assert (tmp_path / "stdout.tar").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compressor", [None, ["gzip", "-1"], ["zstd", "-1"], ["xz", "-0"], ["bzip2", "-1"]])
def test_load_reads_what_skopeo_made(
    wherry: Wherry, second: Wherry, tmp_path: Path, kind: str, compressor: list[str] | None
) -> None:
    _image(wherry, "box:v1")
    wherry.ok("save", "-o", tmp_path / "box.tar", "box:v1")
    _skopeo("copy", f"docker-archive:{tmp_path}/box.tar", f"{kind}:{tmp_path}/copy.tar:team/copy:v2")
    data = (tmp_path / "copy.tar").read_bytes()
    if compressor:
        if shutil.which(compressor[0]) is None:
            pytest.skip(f"{compressor[0]} is not installed")
        data = subprocess.run([*compressor, "-c"], input=data, capture_output=True, check=True).stdout
    assert second.ok("load", stdin=data) == "Loaded image: team/copy:v2\n"
    with Store.open(str(wherry.root)) as here, Store.open(str(second.root)) as there:
        assert tree(there, "team/copy:v2") == tree(here, "box:v1")


def test_load_and_save_refuse_in_words(wherry: Wherry, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive\n" * 1000)
    result = wherry("load", "-i", tmp_path / "text")
    assert (result.code, result.err.startswith("error: not an image archive")) == (1, True)
    assert wherry("load", "-i", tmp_path / "gone").err == (
        f"error: cannot read {tmp_path}/gone: No such file or directory\n"
    )
    assert wherry("save", "-o", tmp_path / "x.tar", "gone").code == 1
    assert not (tmp_path / "x.tar").exists()


def test_save_writes_no_archive_to_a_terminal(wherry: Wherry, tmp_path: Path) -> None:
    _image(wherry, "box:v1")
    main, terminal = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, "save", "box:v1"],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
        env=wherry.environment,
    )
    _, err = process.communicate(timeout=60)
    os.close(terminal)
    os.close(main)
    assert process.returncode == 1
    assert b"refusing to write an archive to a terminal" in err


def test_what_is_not_there(wherry: Wherry, host: str) -> None:
    result = wherry("pull", f"{host}/no/such:thing")
    assert result.code == 1
    assert result.err.startswith(f"error: no such image: {host}/no/such:thing: {host} answers 404")
    result = wherry("pull", "127.0.0.1:1/app")
    assert result.code == 1
    assert "cannot reach 127.0.0.1:1: connection refused" in result.err
    result = wherry("push", f"{host}/never/tagged")
    assert result.err.startswith(f"error: no image has the name {host}/never/tagged:latest\n")
    assert wherry("pull", "UPPER").code == 1


def test_an_interrupted_pull_leaves_nothing(wherry: Wherry) -> None:
    image = remote.make({"a": os.urandom(400_000)}, {"b": os.urandom(400_000)}, {"c": b"1"})
    with Registry() as registry:
        remote.publish(registry, "app:v1", image)
        for layer in image.layers[:2]:
            registry.faults.append(Fault("GET", remote.sha256(layer), Stall(300_000, 60)))
        process = wherry.start("pull", f"{registry.host}/app:v1")
        until(lambda: len(registry.asked("GET", "/blobs/")) >= 4)
        time.sleep(0.2)  # for what is sent to come
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert b"Traceback" not in err
        with Store.open(str(wherry.root)) as store:
            assert store.images.all_names() == []
            assert os.listdir(store.path("tmp")) == []
        registry.faults.clear()
        wherry.ok("pull", f"{registry.host}/app:v1")
