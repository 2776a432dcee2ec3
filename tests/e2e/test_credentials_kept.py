"""Passwords and tokens are in no output, no process list, no environment, no store, and go to nobody else.

Every command that speaks to a registry is run with a login. The registry looks at all processes of the
machine when it is asked: then whoever uses the credential is at work.
"""

from __future__ import annotations

import glob
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support import busybox, remote
from support.cli import Result, Wherry, write_files
from wherry.testing.registry import Answer, Before, Fault, Redirect, Registry

pytestmark = pytest.mark.needs(busybox.PROGRAM)

_PAUSE = 0.1
"""Seconds: no command comes to its first request as soon as that behind the one before."""
USER, PASSWORD = "ann of the tests", "7cf1 kept:to/itself%41+ä"


class Watched:
    """A registry with a login, and all that may not be seen of it."""

    def __init__(self, server: Registry) -> None:
        self.server = server
        self.seen: list[str] = []
        self._looked = 0.0
        server.faults.append(Fault("", "/", Before(self._look), times=100_000))

    @property
    def secrets(self) -> list[bytes]:
        both = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        words = [PASSWORD, quote(PASSWORD), both, b64encode(PASSWORD.encode()).decode()]
        return [word.encode() for word in (*words, *self.server.issued)]

    def found(self, data: bytes) -> list[bytes]:
        return [secret for secret in self.secrets if secret in data]

    def _look(self) -> None:
        """Not at each request of one command: there may be many processes."""
        if time.monotonic() - self._looked < _PAUSE:
            return
        self._looked = time.monotonic()
        for path in (*glob.glob("/proc/[0-9]*/cmdline"), *glob.glob("/proc/[0-9]*/environ")):
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            if self.found(data):
                self.seen.append(f"{path}: {data[:500]!r}")


@pytest.fixture(params=[True])
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """With tokens, or with the password in each request."""
    with Registry(USER, PASSWORD, tokens=request.param) as server:
        yield Watched(server)


@pytest.fixture
def user(tmp_path: Path) -> Wherry:
    """Their home is empty, so that all that is written there is seen."""
    home = tmp_path / "home"
    home.mkdir()
    return Wherry(tmp_path / "wherry", home / ".docker", {"HOME": str(home), "REGISTRY_AUTH_FILE": ""})


@pytest.fixture
def run(user: Wherry, watched: Watched) -> Callable[..., Result]:
    """Run a command with a login, in its most talkative form."""

    def call(*words: str | Path, code: int = 0, stdin: str = "") -> Result:
        result = user("--debug", *words, stdin=stdin)
        assert result.code == code, result.err
        assert not watched.found((result.out + result.err).encode()), result
        return result

    call("login", "-u", USER, "--password-stdin", watched.server.host, stdin=PASSWORD)
    return call


def _assert_nowhere(user: Wherry, watched: Watched, *but: Path) -> None:
    """In no file of the store or the home but these, and no process."""
    assert watched.seen == []
    assert watched.server.log
    for root in (user.root, user.root.parent / "home"):
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                if path not in but and path.is_file():
                    assert not watched.found(path.read_bytes()), path


def test_every_command(user: Wherry, run: Callable[..., Result], watched: Watched, tmp_path: Path) -> None:
    host = watched.server.host
    busybox.put(user.root, "box:v1")
    dockerfile = (
        f"FROM {host}/team/box:v1\nLABEL a=b\nCOPY Dockerfile /\nRUN echo > /x; env; cat /proc/*/cmdline\n"
    )
    write_files(tmp_path / "context", {"Dockerfile": dockerfile})
    run("tag", "box:v1", f"{host}/team/box:v1")
    run("push", f"{host}/team/box:v1")
    run("rmi", f"{host}/team/box:v1")
    run("pull", f"{host}/team/box:v1")
    cache = f"type=registry,ref={host}/team/cache:v1"
    run(
        *("build", "--progress", "plain", "--pull", "--cache-to", cache, "--cache-from", cache),
        *("-t", f"{host}/team/built:v1", "-o", "type=registry", "-o", "type=image", tmp_path / "context"),
    )
    run("copy", f"{host}/team/built:v1", f"{host}/other/built:v2")
    run("copy", f"{host}/team/built:v1", f"oci:{tmp_path}/layout:v1")
    run("copy", f"oci:{tmp_path}/layout:v1", f"{host}/other/again:v1")
    run("ls", f"{host}/other/built")
    run("referrers", f"{host}/team/built:v1")
    run("manifest", "inspect", f"{host}/team/built:v1")
    run("manifest", "create", f"{host}/team/list:v1", f"{host}/team/built:v1")
    run("manifest", "push", f"{host}/team/list:v1")
    run("run", "--rm", "--pull", "always", f"{host}/team/box:v1", "cat", "/data/seed")
    config = user.root.parent / "home" / ".docker" / "config.json"
    assert watched.found(config.read_bytes())
    _assert_nowhere(user, watched, config)
    run("logout", host)
    _assert_nowhere(user, watched)
    documents = [raw for _, raw in watched.server.manifests.values()]
    assert not watched.found(b"".join([*watched.server.blobs.values(), *documents]))


@pytest.mark.parametrize("watched", [False], indirect=True)
def test_every_error(user: Wherry, run: Callable[..., Result], watched: Watched, tmp_path: Path) -> None:
    """What a server says of a request is shown to the user: also where it says what it was sent."""
    host, faults = watched.server.host, watched.server.faults
    busybox.put(user.root, f"{host}/team/box:v1")
    run("push", f"{host}/team/box:v1")
    for answer in (
        Answer(403, (), b'{"errors": [{"message": "no"}]}'),
        Answer(401, (("WWW-Authenticate", 'Basic realm="again"'),)),
        Redirect(),
    ):
        faults.insert(0, Fault("", "/team/box/", answer, times=1000))
        run("pull", f"{host}/team/box:v1", code=1)
        run("copy", f"{host}/team/box:v1", f"oci:{tmp_path}/never", code=1)
        faults.pop(0)
    run("login", "-u", USER, "--password-stdin", "127.0.0.1:1", stdin=PASSWORD, code=1)
    _assert_nowhere(user, watched, user.root.parent / "home" / ".docker" / "config.json")


def test_a_wrong_password_is_not_shown_either(user: Wherry, watched: Watched) -> None:
    watched.server.password = "another one"
    result = user("--debug", "login", "-u", USER, "--password-stdin", watched.server.host, stdin=PASSWORD)
    assert result.code == 1
    assert "refused the credentials" in result.err
    assert not watched.found((result.out + result.err).encode())
    _assert_nowhere(user, watched)


def test_a_helper_gets_them_by_its_standard_input(user: Wherry, watched: Watched, tmp_path: Path) -> None:
    """It looks around itself as well, while it is asked."""
    box = tmp_path / "box"
    write_files(
        box,
        {
            "docker-credential-box": "#!/bin/sh\n"
            f"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> {box}/seen 2> {box}/errors\n"
            f'if [ "$1" = store ]; then cat > {box}/kept; else cat {box}/kept; fi\n'
        },
    )
    (box / "docker-credential-box").chmod(0o755)
    host = watched.server.host
    write_files(tmp_path / "home" / ".docker", {"config.json": f'{{"credHelpers": {{"{host}": "box"}}}}'})
    helped = {"PATH": f"{box}:{os.environ['PATH']}"}
    busybox.put(user.root, f"{host}/box:v1")
    result = user("login", "-u", USER, "--password-stdin", host, stdin=PASSWORD, env=helped)
    assert result.code == 0, result.err
    assert user("push", f"{host}/box:v1", env=helped).code == 0
    assert PASSWORD.encode() in (box / "kept").read_bytes() or b"\\u00e4" in (box / "kept").read_bytes()
    seen = (box / "seen").read_bytes()
    assert seen.count(b"docker-credential-box") >= 2
    assert not watched.found(seen)
    _assert_nowhere(user, watched)


def test_no_other_server_gets_them(
    user: Wherry, run: Callable[..., Result], watched: Watched, tmp_path: Path
) -> None:
    """Registries that send us on for blobs, manifests, uploads and the next page of a list."""
    host = watched.server.host
    busybox.put(user.root, f"{host}/team/box:v1")
    run("push", f"{host}/team/box:v1")
    with Registry() as elsewhere:
        for (repository, _), data in watched.server.blobs.items():
            elsewhere.add_blob(repository, data)
        for (repository, name), (media_type, raw) in watched.server.manifests.items():
            elsewhere.add_manifest(repository, name, raw, media_type)
        watched.server.faults.insert(0, Fault("GET", "/team/", Redirect(elsewhere.url), times=1000))
        run("copy", f"{host}/team/box:v1", f"oci:{tmp_path}/layout:v1")
        run("ls", f"{host}/team/box")
        link = (("Link", f'<{elsewhere.url}/v2/team/box/tags/list?n=1>; rel="next"'),)
        page = Answer(200, link, b'{"name": "team/box", "tags": ["v0"]}')
        watched.server.faults.insert(0, Fault("GET", "/tags/", page, times=1000))
        run("ls", f"{host}/team/box", code=1)
        place = (("Location", f"{elsewhere.url}/v2/team/box/blobs/uploads/1"),)
        watched.server.faults.insert(0, Fault("POST", "/uploads/", Answer(202, place), times=1000))
        watched.server.blobs.clear()
        run("push", f"{host}/team/box:v1", code=1)
        assert len(elsewhere.log) > 3
        assert remote.sha256(b"") not in str(elsewhere.log)
        for item in elsewhere.log:
            assert "Authorization" not in item.headers
            assert not watched.found(str(item).encode())


def test_a_proxy_s_password(user: Wherry) -> None:
    proxy = "http://somebody:7cf1-of-the-proxy@127.0.0.1:1"
    for words in (["pull", "registry.invalid/x"], ["ls", "registry.invalid/x"], ["info"]):
        result = user("--debug", *words, env={"https_proxy": proxy, "http_proxy": proxy})
        assert "7cf1" not in result.out + result.err
