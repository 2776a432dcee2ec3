"""Against docker-registry with a token server: who may do what, for which scopes tokens are asked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, registry, tokenserver
from support.cli import Wherry
from support.tokenserver import TokenServer

pytestmark = pytest.mark.needs("docker-registry", "openssl", busybox.PROGRAM)

USERS = {"ann": "pass:word of ann", "bob": "pass of bob"}


class Guarded(NamedTuple):
    host: str
    tokens: TokenServer


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    scratch = tmp_path_factory.mktemp("guarded")
    with (
        tokenserver.serve(scratch, USERS) as tokens,
        registry.serve(str(scratch / "content"), str(scratch), tokens.settings) as host,
    ):
        yield Guarded(host, tokens)


@pytest.fixture
def guarded(_guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    _guarded.tokens.log.clear()
    _guarded.tokens.public.clear()
    _guarded.tokens.shared.clear()
    return _guarded


@pytest.fixture
def ann(wherry: Wherry, guarded: Guarded) -> Wherry:
    wherry.ok("login", "-u", "ann", "--password-stdin", guarded.host, stdin=USERS["ann"])
    return wherry


@pytest.fixture
def stranger(tmp_path: Path) -> Wherry:
    return Wherry(tmp_path / "stranger", tmp_path / "nothing")


def _scopes(tokens: TokenServer) -> set[str]:
    return {scope for item in tokens.log for scope in item.scopes}


def test_whoever_is_logged_in_may_push(ann: Wherry, stranger: Wherry, guarded: Guarded) -> None:
    host, tokens = guarded
    name = f"{host}/ann/own:v1"
    busybox.put(ann.root, name)
    tokens.log.clear()
    ann.ok("push", name)
    assert {item.user for item in tokens.log} == {"ann"}
    assert _scopes(tokens) <= {"repository:ann/own:pull,push", "repository:ann/own:pull"}
    result = stranger("pull", name)
    assert result.code == 1
    assert result.err.startswith(
        f"error: {host} denies access to {name}: it does not exist, or asks for a login"
    )
    assert f"wherry login {host}" in result.err
    tokens.public.add("ann/own")
    tokens.log.clear()
    stranger.ok("pull", name)
    assert {(item.user, *item.scopes) for item in tokens.log} == {("", "repository:ann/own:pull")}
    assert len(tokens.log) <= 2


def test_a_wrong_password(wherry: Wherry, guarded: Guarded, tmp_path: Path) -> None:
    result = wherry("login", "-u", "ann", "--password-stdin", guarded.host, stdin="not hers")
    assert (result.code, result.out) == (1, "")
    assert "refused the credentials: incorrect username or password" in result.err
    assert not (tmp_path / "docker" / "config.json").exists()


def test_a_user_without_the_right(ann: Wherry, guarded: Guarded) -> None:
    """The server gives a token that allows less than was asked for, as the specification has it."""
    name = f"{guarded.host}/bob/private:v1"
    busybox.put(ann.root, name)
    for command in ("push", "pull"):
        result = ann(command, name)
        assert result.code == 1
        assert f"denies access to {name}" in result.err
    assert len(guarded.tokens.log) < 10


def test_tokens_that_have_run_out(ann: Wherry, guarded: Guarded) -> None:
    """Its clock is wrong, or a cache keeps them too long: the next one may do."""
    name = f"{guarded.host}/ann/late:v1"
    busybox.put(ann.root, name)
    guarded.tokens.stale = 1
    ann.ok("push", name)
    guarded.tokens.stale = 1
    ann.ok("pull", name)
    guarded.tokens.stale = 100
    guarded.tokens.log.clear()
    result = ann("pull", name)
    guarded.tokens.stale = 0
    assert (result.code, f"denies access to {name}" in result.err) == (1, True)
    assert len(guarded.tokens.log) < 5


def test_layers_are_mounted_with_the_right_to_read_them(ann: Wherry, guarded: Guarded) -> None:
    first, second = f"{guarded.host}/ann/first:v1", f"{guarded.host}/ann/second:v1"
    busybox.put(ann.root, first)
    ann.ok("push", first)
    ann.ok("tag", first, second)
    guarded.tokens.log.clear()
    out = ann.ok("push", second)
    assert "Pushed" not in out
    allowed = {"repository:ann/second:pull,push", "repository:ann/second:pull", "repository:ann/first:pull"}
    assert "repository:ann/first:pull" in _scopes(guarded.tokens) <= allowed


def test_an_identity_token_is_all_that_is_needed(wherry: Wherry, guarded: Guarded, tmp_path: Path) -> None:
    """What docker keeps for registries that give one: then there is no password on the disk."""
    folder = tmp_path / "docker"
    folder.mkdir()
    entry = {"auth": tokenserver.basic("00000000-0000-0000-0000-000000000000", ""),
             "identitytoken": guarded.tokens.identity("ann")}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"auths": {guarded.host: entry}}))
    name = f"{guarded.host}/ann/identity:v1"
    busybox.put(wherry.root, name)
    wherry.ok("push", name)
    assert {(item.user, item.method) for item in guarded.tokens.log} == {("ann", "POST")}


@pytest.mark.needs("skopeo")
def test_skopeo_and_wherry_share_a_login(ann: Wherry, guarded: Guarded, tmp_path: Path) -> None:
    name = f"{guarded.host}/ann/both:v1"
    image_id = busybox.put(ann.root, name)
    ann.ok("push", name)
    command = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"]
    authfile = ["--authfile", str(tmp_path / "docker" / "config.json")]
    done = subprocess.run([*command, *authfile], capture_output=True, check=True)
    assert json.loads(done.stdout)["config"]["digest"] == image_id
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_login_keeps_an_identity_token_and_no_password(
    wherry: Wherry, guarded: Guarded, tmp_path: Path
) -> None:
    """Where the token server gives one, as docker does."""
    guarded.tokens.offline = True
    wherry.ok("login", "-u", "ann", "--password-stdin", guarded.host, stdin=USERS["ann"])
    guarded.tokens.offline = False
    kept = json.loads((tmp_path / "docker" / "config.json").read_text())["auths"][guarded.host]
    assert kept["auth"] == tokenserver.basic("ann", "")
    assert guarded.tokens.identities[kept["identitytoken"]] == "ann"
    name = f"{guarded.host}/ann/kept:v1"
    busybox.put(wherry.root, name)
    guarded.tokens.log.clear()
    wherry.ok("push", name)
    assert {(item.user, item.method) for item in guarded.tokens.log} == {("ann", "POST")}
