"""TLS, certs.d, --tls-verify, registries.conf and proxies, against docker-registry and beside skopeo.

The registries answer on loopback; a proxy makes them `secure.example` and so on, for what is other there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, registry
from support.cli import Wherry, write_files
from support.proxy import Proxy
from support.tls import Authority
from wherry.store.store import Store

pytestmark = pytest.mark.needs("docker-registry", "skopeo", "openssl", busybox.PROGRAM)

NAME = "secure.example/team/box:v1"


class Servers(NamedTuple):
    """Addresses of the same content by TLS, by TLS for clients with certificates alone, and by plain http."""

    secure: str
    mutual: str
    plain: str
    authority: Authority


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder / "ca")
    hosts = ("secure.example", "mutual.example", "localhost", "127.0.0.1")
    certificate, key = authority.sign("server", *hosts)
    settings = f"  tls:\n    certificate: {certificate}\n    key: {key}\n"
    known = f"{settings}    clientcas: [{authority.certificate}]\n"
    content = str(folder / "content")
    for name in ("secure", "mutual", "plain"):
        (folder / name).mkdir()
    with (
        registry.serve(content, str(folder / "secure"), settings) as secure,
        registry.serve(content, str(folder / "mutual"), known) as mutual,
        registry.serve(content, str(folder / "plain")) as plain,
    ):
        yield Servers(secure, mutual, plain, authority)


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Proxy]:
    hosts = {
        "secure.example:443": servers.secure,
        "mutual.example:443": servers.mutual,
        "plain.example:80": servers.plain,
    }
    with Proxy(hosts) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without settings."""
    folder = tmp_path / "home"
    (folder / ".config" / "containers").mkdir(parents=True)
    return folder


@pytest.fixture
def user(tmp_path: Path, home: Path, proxy: Proxy) -> Wherry:
    """Somebody for whom the hosts behind the proxy are there, with an image of the name NAME."""
    found = Wherry(
        tmp_path / "store",
        tmp_path / "docker",
        {"HOME": str(home), "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"), **proxy.environment()},
    )
    busybox.put(found.root, NAME)
    return found


@pytest.fixture
def trusts(home: Path, servers: Servers) -> Callable[..., Path]:
    """Makes the user trust the authority of the tests for a host; the host's folder of certs.d."""

    def trust(host: str, client: bool = False) -> Path:
        folder = home / ".config" / "containers" / "certs.d" / host
        folder.mkdir(parents=True)
        shutil.copy(servers.authority.certificate, folder / "ca.crt")
        if client:
            certificate, key = servers.authority.sign("client")
            shutil.copy(certificate, folder / "client.cert")
            shutil.copy(key, folder / "client.key")
        return folder

    return trust


def _skopeo(user: Wherry, name: str) -> subprocess.CompletedProcess[str]:
    """How skopeo fares with the same settings."""
    return subprocess.run(
        ["skopeo", "inspect", "--raw", f"docker://{name}"],
        env=user.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _digest(user: Wherry, *words: str, env: Mapping[str, str] | None = None) -> str:
    return user.ok("push", *words, env=env).rstrip().rpartition(" ")[2]


def test_who_is_not_trusted(user: Wherry, servers: Servers) -> None:
    refused = user("push", NAME)
    assert refused.code == 1
    assert refused.err.startswith(f"error: {NAME}: secure.example has a certificate that is not trusted: ")
    assert "\nhint: put its CA into ~/.config/containers/certs.d/secure.example/ca.crt" in refused.err
    assert _skopeo(user, NAME).returncode == 1
    _digest(user, NAME, env={"SSL_CERT_FILE": str(servers.authority.certificate)})


def test_an_authority_in_certs_d(user: Wherry, trusts: Callable[..., Path]) -> None:
    trusts("elsewhere.example")
    assert user("push", NAME).code == 1
    folder = trusts("secure.example")
    digest = _digest(user, NAME)
    assert digest in user.ok("pull", NAME)
    assert _skopeo(user, NAME).returncode == 0
    (folder / "ca.crt").write_text("no certificate\n")
    broken = user("pull", NAME)
    assert (broken.code, f"{folder}/ca.crt cannot be used" in broken.err) == (1, True)


def test_a_client_with_a_certificate(user: Wherry, trusts: Callable[..., Path]) -> None:
    name = "mutual.example/team/box:v1"
    user.ok("tag", NAME, name)
    folder = trusts("mutual.example")
    refused = user("push", name)
    assert refused.err == (
        f"error: {name}: mutual.example wants to see a client's certificate that it knows\n"
        "hint: put one into ~/.config/containers/certs.d/mutual.example: client.cert and client.key\n"
    )
    shutil.rmtree(folder)
    folder = trusts("mutual.example", client=True)
    user.ok("push", name)
    assert _skopeo(user, name).returncode == 0
    (folder / "client.key").unlink()
    half = user("pull", name)
    assert half.err == (
        f"error: {folder}/client.cert has no key beside it: client.key is missing\n"
        "hint: an authority's certificate ends in .crt\n"
    )


def test_tls_verify(user: Wherry, trusts: Callable[..., Path], tmp_path: Path) -> None:
    digest = _digest(user, "--tls-verify=false", NAME)
    assert user("push", "--tls-verify=false", NAME).err == ""
    assert digest in user.ok("pull", "--tls-verify=false", NAME)
    assert "not trusted" in user("pull", "--tls-verify", NAME).err
    user.ok("rmi", NAME)
    context = write_files(tmp_path / "context", {"Dockerfile": f"FROM {NAME}\nLABEL a=b\n"})
    assert "not trusted" in user("build", context).err
    user.ok("build", "--tls-verify=false", context)
    user.ok("rmi", NAME)
    assert "not trusted" in user("run", "--rm", NAME, "true").err
    assert user("ls", "secure.example/team/box").code == 1
    assert user.ok("ls", "--tls-verify=false", "secure.example/team/box") == "v1\n"
    assert user("pull", "--tls-verify=maybe", NAME).code == 125


def test_plain_http_has_to_be_said(user: Wherry, home: Path) -> None:
    """By the flag or in registries.conf; and skopeo reads that file as we do."""
    name = "plain.example/team/box:v1"
    user.ok("tag", NAME, name)
    assert user("push", name).code == 1
    assert user("push", "--tls-verify", name).code == 1
    user.ok("push", "--tls-verify=false", name)
    assert user("pull", name).code == 1
    assert _skopeo(user, name).returncode == 1
    settings = home / ".config" / "containers" / "registries.conf"
    settings.write_text('[[registry]]\nlocation = "plain.example"\ninsecure = true\n')
    user.ok("pull", name)
    assert _skopeo(user, name).returncode == 0
    assert user("pull", "--tls-verify=true", name).code == 1


def test_credentials_are_not_sent_over_plain_http_unasked(
    user: Wherry, servers: Servers, proxy: Proxy, tmp_path: Path
) -> None:
    """A host that should speak TLS is not spoken to in http at all, whoever answers there."""
    proxy.hosts["secure.example:80"] = servers.plain
    proxy.hosts["secure.example:443"] = "127.0.0.1:1"
    proxy.asked.clear()
    login = user("login", "-u", "ann", "--password-stdin", "secure.example", stdin="secret")
    assert login.code == 1
    assert user("pull", NAME).code == 1
    assert set(proxy.asked) == {"secure.example:443"}


def test_login(user: Wherry, trusts: Callable[..., Path]) -> None:
    login = ("login", "-u", "ann", "--password-stdin", "secure.example")
    assert "not trusted" in user(*login, stdin="x").err
    user.ok(*login, "--tls-verify=false", stdin="x")
    trusts("secure.example")
    user.ok(*login, stdin="x")


def test_loopback(wherry: Wherry, home: Path, servers: Servers, tmp_path: Path) -> None:
    """As with docker it may speak TLS or not, and need not prove who it is; unless somebody asks for that."""
    env = {"HOME": str(home)}
    name = f"{servers.secure}/loop/box:v1"
    busybox.put(wherry.root, name)
    wherry.ok("push", name, env=env)
    assert "not trusted" in wherry("pull", "--tls-verify", name, env=env).err
    wherry.ok("pull", name.replace(servers.secure, servers.plain), env=env)
    folder = home / ".config" / "containers" / "certs.d" / servers.secure
    folder.mkdir(parents=True)
    shutil.copy(servers.authority.certificate, folder / "ca.crt")
    wherry.ok("pull", "--tls-verify", name, env=env)
    shutil.copy(Authority(tmp_path / "other").certificate, folder / "ca.crt")
    assert "not trusted" in wherry("pull", name, env=env).err


def test_registries_conf_as_skopeo_reads_it(user: Wherry, home: Path, trusts: Callable[..., Path]) -> None:
    """Names of a registry that does not exist come from two that do."""
    trusts("secure.example")
    digest = _digest(user, NAME)
    (home / ".config" / "containers" / "registries.conf").write_text("""
        [[registry]]
        prefix = "gone.example/moved"
        location = "secure.example/team"

        [[registry]]
        prefix = "gone.example"
        location = "nowhere.example"
        [[registry.mirror]]
        location = "unknown.example"
        [[registry.mirror]]
        location = "plain.example"
        insecure = true

        [[registry]]
        prefix = "*.bad.example"
        blocked = true

        [aliases]
        "shortbox" = "gone.example/moved/box"
    """)
    for name in ("gone.example/moved/box:v1", f"gone.example/team/box@{digest}", "shortbox:v1"):
        # skopeo takes whole names alone.
        assert name == "shortbox:v1" or json.loads(_skopeo(user, name).stdout)
        assert digest in user.ok("pull", name)
    assert (
        "info: gone.example/moved/box:v1 comes from secure.example/team/box:v1 ("
        in user("pull", "gone.example/moved/box:v1").err
    )
    passed = user("pull", "gone.example/team/box:v1").err
    assert "warning: the mirror unknown.example is passed over: " in passed
    assert "info: gone.example/team/box:v1 comes from plain.example/team/box:v1 (" in passed
    blocked = user("pull", "a.bad.example/x:v1")
    assert (blocked.code, "a.bad.example/x:v1 is blocked: " in blocked.err) == (1, True)
    assert "blocked" in _skopeo(user, "a.bad.example/x:v1").stderr
    with Store.open(str(user.root)) as store:
        names = {str(name.reference) for name in store.images.all_names()}
    assert {"gone.example/moved/box:v1", "docker.io/library/shortbox:v1"} <= names


def test_a_proxy_that_wants_a_password(user: Wherry, trusts: Callable[..., Path], proxy: Proxy) -> None:
    trusts("secure.example")
    proxy.authorization = "Basic bWU6cGFzc0B3b3Jk"  # me:pass@word
    refused = user("push", NAME)
    assert refused.code == 1
    assert refused.err.startswith(
        f"error: {NAME}: cannot reach secure.example through the proxy: it asks for a user and a password"
    )
    plain = user("pull", "--tls-verify=false", "plain.example/team/box:v1")
    assert "cannot reach plain.example through the proxy: it asks for a user and a password" in plain.err
    wrong = user("push", NAME, env=proxy.environment("me:wrong-one"))
    assert (wrong.code, "wrong-one" in wrong.err) == (1, False)
    user.ok("push", NAME, env=proxy.environment("me:pass%40word"))
    assert _skopeo(user, NAME).returncode == 1
    user.ok(
        "pull", "--tls-verify=false", "plain.example/team/box:v1", env=proxy.environment("me:pass%40word")
    )
