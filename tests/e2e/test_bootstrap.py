"""`wherry bootstrap` with the machine's real package archive."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from support import folders, ordinary
from support.cli import Wherry
from wherry.bootstrap import sources
from wherry.store.store import Store

pytestmark = pytest.mark.needs("mmdebstrap")


@pytest.fixture(autouse=True)
def _fast_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmdebstrap writes a whole system before it packs it."""
    monkeypatch.setenv("TMPDIR", folders.fast())


def apt_with_login(folder: Path) -> dict[str, str]:
    """The machine's sources with a login in each address, as a company's mirror asks for one."""
    listed = [
        source._replace(uris=tuple(re.sub(r"^(https?://)", r"\1me:topsecret@", uri) for uri in source.uris))
        for source in sources.machine().sources
    ]
    parts = folder / "parts"
    parts.mkdir()
    (parts / "all.sources").write_text(sources.render(listed))
    (folder / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{folder}/none.list";\nDir::Etc::sourceparts "{parts}";\n'
    )
    return {"APT_CONFIG": str(folder / "apt.conf")}


@pytest.mark.needs("root", "newuidmap")
def test_same_image_for_root_and_user_and_no_login_in_it(
    wherry: Wherry, ordinary_wherry: Wherry, tmp_path: Path
) -> None:
    first = wherry.ok("bootstrap", "-q", "debian:bookworm-slim", env=apt_with_login(tmp_path))
    second = ordinary_wherry.ok("bootstrap", "-q", "debian:bookworm-slim")
    assert first == second
    with Store.open(str(wherry.root)) as store:
        (diff_id,) = store.images.find("debian:bookworm-slim").config.diff_ids
        layer = Path(store.layers.folder(diff_id), "tar")
    assert b"topsecret" not in layer.read_bytes()
    with tarfile.open(layer) as archive:
        names = set(archive.getnames())
        listed = archive.extractfile("etc/apt/sources.list.d/wherry.sources")
        assert listed is not None
        assert sources.machine().sources[0].uris[0] in listed.read().decode()
    assert {"bin", "dev", "etc/passwd", "usr/bin/apt-get"} <= names
    for changing in ("etc/hostname", "etc/resolv.conf", "etc/machine-id", "var/log/dpkg.log"):
        assert changing not in names
    assert not [
        name for name in names if name.startswith(("dev/", "var/lib/apt/lists/deb", "usr/share/man/"))
    ]


def test_the_config_is_that_of_docker_s_image(wherry: Wherry) -> None:
    wherry.ok("bootstrap", "-q", "busybox", "-t", "box:1", "-t", "box:2")
    (found,) = json.loads(wherry.ok("inspect", "box:2"))
    assert found["RepoTags"] == ["box:1", "box:2"]
    assert found["Config"]["Cmd"] == ["sh"]
    assert "PATH=" in found["Config"]["Env"][0]
    assert found["Created"].startswith("2025-01-01T00:00:00")


def test_busybox_is_the_same_twice(wherry: Wherry, tmp_path: Path) -> None:
    other = Wherry(tmp_path / "other", tmp_path / "docker")
    first = wherry("bootstrap", "--progress", "plain", "busybox")
    assert first.code == 0, first.err
    assert "[bootstrap] busybox" in first.err
    assert other.ok("bootstrap", "-q", "busybox") == first.out


@pytest.mark.parametrize(
    ("base", "command", "says"),
    [
        ("python:3.11-slim", "python --version && test $PYTHON_VERSION", "Python 3.11."),
        ("python:3.11-slim", "pip --version && ! ls /usr/lib/python3*/EXTERNALLY-MANAGED", "(python 3.11)"),
        ("python:3.11-slim", "python -m venv /v && /v/bin/pip --version", "/v/lib/python3.11"),
        ("node:18-slim", "node --version && npm --version && test $NODE_VERSION", "v18."),
        ("node:18-slim", "id node", "uid=1000(node) gid=1000(node)"),
        ("nginx:latest", "nginx -t 2>&1 && cat /etc/nginx/conf.d/default.conf", "test is successful"),
        ("busybox:latest", "id -u nobody && ls -d /tmp /root /etc/group && vi --help 2>&1", "65534"),
        ("debian:bookworm-slim", "cat /etc/os-release && ! ls /usr/share/doc/bash/changelog*", "bookworm"),
        ("debian:bookworm-slim", "perl -e 'print 1' && ! dpkg -s perl && test -d /dev/pts", "1"),
    ],
)
def test_a_base_has_what_docker_s_has(shared: Wherry, base: str, command: str, says: str) -> None:
    assert says in shared.ok("run", "--rm", base, "sh", "-ec", command)


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["alpine"], "cannot make 'alpine'", "debian:<suite>[-slim]"),
        (["python:3.11-alpine"], "does not know the tag", "python:<version>"),
        (["python:3.99-slim"], "has python 3.11", "write python:3.11-slim"),
        (["busybox", "--include", "curl"], "no package manager", "another base"),
        (["debian", "--include", "?essential"], "not a package name", ""),
        (["debian:bookworm", "--include", "nosuchpackage"], "no package nosuchpackage", "component"),
        (["Debian:bookworm", "-t", "x"], "cannot make 'Debian:bookworm'", "debian:<suite>"),
        (["busybox", "-t", "UPPER"], "lower case", ""),
    ],
)
def test_a_refusal_is_one_line_and_names_nothing(
    wherry: Wherry, words: list[str], says: str, hint: str
) -> None:
    result = wherry("bootstrap", *words, "-q")
    assert result.code != 0
    assert says in result.err
    assert hint in result.err
    assert "Traceback" not in result.err
    assert wherry.ok("images", "-q") == ""


def test_without_mmdebstrap_it_says_what_to_install(wherry: Wherry) -> None:
    result = wherry("bootstrap", "busybox", env={"PATH": "/nonexistent"})
    assert result.code == 1
    assert "mmdebstrap is not installed" in result.err
    assert "apt-get install mmdebstrap" in result.err


@pytest.mark.needs("root", "newuidmap")
def test_a_user_without_subordinate_ids_is_told_how_to_get_them(tmp_path: Path) -> None:
    with ordinary.user(subordinate=False) as user:
        result = Wherry(user.home / "wherry", tmp_path, prefix=user.prefix)("bootstrap", "busybox")
    assert result.code == 1
    assert "no subordinate ids" in result.err
    assert "usermod --add-subuids" in result.err


@pytest.mark.needs("root")
def test_without_a_network_it_says_so(tmp_path: Path) -> None:
    alone = Wherry(tmp_path / "wherry", tmp_path / "docker", prefix=["unshare", "--net"])
    result = alone("bootstrap", "-q", "busybox", env={"http_proxy": "", "https_proxy": ""})
    assert result.code == 1
    assert "the package archive cannot be reached" in result.err
    assert "http_proxy" in result.err


def test_stopped_by_ctrl_c_it_leaves_nothing(wherry: Wherry, tmp_path: Path) -> None:
    """As a shell does it: the whole process group gets the signal."""
    scratch = tmp_path / "tmp"
    scratch.mkdir(mode=0o777)
    process = subprocess.Popen(
        [*wherry.command, "bootstrap", "--progress", "plain", "debian:bookworm-slim"],
        env=wherry.environment | {"TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"extracting archives" in line:
            break
    os.killpg(process.pid, 2)
    process.stderr.read()
    assert process.wait() == 130
    assert list(scratch.iterdir()) == []
    assert list((wherry.root / "tmp").iterdir()) == []
    assert wherry.ok("images", "-q") == ""
