"""config.json as docker and podman write it, and credential helpers that are real programs."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from wherry.base.errors import Corrupt, WherryError
from wherry.registry.credentials import HUB_KEY, Credential, Credentials, default_path


def _auth(user: str, password: str) -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


def _file(tmp_path: Path, document: object) -> Credentials:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return Credentials(str(path))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`docker-credential-box`, which keeps each server's answer in a file; its folder."""
    box = tmp_path / "box"
    box.mkdir()
    program = tmp_path / "docker-credential-box"
    program.write_text(
        "#!/bin/sh\n"
        f"cd {box}\n"
        "input=$(cat)\n"
        'case "$1" in\n'
        "get) file=$(echo $input | tr /: __)\n"
        '  [ -f "$file" ] && exec cat "$file"; echo "credentials not found in native keychain"; exit 1;;\n'
        'store) echo "$input" > stored;;\n'
        'erase) echo "$input" > erased;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return box


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("localhost:5000", "localhost:5000"),
        ("https://localhost:5000/v1/", "localhost:5000"),
        ("http://localhost:5000", "localhost:5000"),
        ("localhost:5000/v2/", "localhost:5000"),
        (HUB_KEY, "docker.io"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("https://registry-1.docker.io", "docker.io"),
    ],
)
def test_keys_in_all_their_forms(tmp_path: Path, key: str, registry: str) -> None:
    credentials = _file(tmp_path, {"auths": {key: _auth("ann", "pass:word")}})
    assert credentials.get(registry) == Credential("ann", "pass:word")
    assert credentials.get("other.example") is None


def test_the_most_exact_key_wins(tmp_path: Path) -> None:
    auths = {"r.example": _auth("all", "1"), "r.example/team": _auth("team", "2")}
    credentials = _file(tmp_path, {"auths": auths})
    assert credentials.get("r.example", "team/app") == Credential("team", "2")
    assert credentials.get("r.example", "teams/app") == Credential("all", "1")


def test_tokens_in_the_file(tmp_path: Path) -> None:
    auths = {"a": _auth("x", "y") | {"identitytoken": "i"}, "b": {"registrytoken": "r"}, "c": {}}
    credentials = _file(tmp_path, {"auths": auths})
    assert credentials.get("a") == Credential("x", "y", identity_token="i")
    assert credentials.get("b") == Credential(registry_token="r")
    assert credentials.get("c") is None


def test_put_keeps_the_rest_and_hides_the_file(tmp_path: Path) -> None:
    before = {"HttpHeaders": {"X": "1"}, "auths": {"other": _auth("o", "p"), "https://r.example/v1/": {}}}
    credentials = _file(tmp_path, before)
    assert credentials.put("r.example", Credential("ann", "päss")) == credentials.path
    document = json.loads(Path(credentials.path).read_text())
    assert document["HttpHeaders"] == {"X": "1"}
    assert set(document["auths"]) == {"other", "r.example"}
    assert credentials.get("r.example") == Credential("ann", "päss")
    assert Path(credentials.path).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["config.json"]


def test_put_makes_the_folder_and_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real" / "config.json")
    Credentials(str(tmp_path / "link")).put("docker.io", Credential("ann", "pw"))
    assert (tmp_path / "link").is_symlink()
    assert set(json.loads((tmp_path / "real" / "config.json").read_text())["auths"]) == {HUB_KEY}


def test_put_fills_nothing_that_others_have_laid_there(tmp_path: Path) -> None:
    """$REGISTRY_AUTH_FILE may lie in /tmp, where others make files too."""
    path, theirs = tmp_path / "auth.json", tmp_path / "theirs"
    theirs.write_text("")
    os.link(theirs, f"{path}.{os.getpid()}.new")
    Credentials(str(path)).put("example.com", Credential("me", "secret"))
    assert theirs.read_text() == ""
    assert "example.com" in path.read_text()


def test_erase(tmp_path: Path) -> None:
    credentials = _file(tmp_path, {"auths": {"https://r.example/v1/": _auth("a", "b"), "s": _auth("c", "d")}})
    assert credentials.erase("r.example")
    assert not credentials.erase("r.example")
    assert credentials.get("s") == Credential("c", "d")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"auths": [1]},
        {"auths": {"r": {"auth": "%%%"}}},
        {"auths": {"r": {"auth": 5}}},
        {"credsStore": "../evil"},
        {"credHelpers": {"r": 7}},
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, document: Any) -> None:
    with pytest.raises(Corrupt, match=r"config\.json"):
        _file(tmp_path, document).get("r")


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Corrupt, match="not JSON"):
        Credentials(str(tmp_path / "config.json")).get("r")


def test_helpers_are_asked_first(tmp_path: Path, helper: Path) -> None:
    (helper / "r.example").write_text('{"ServerURL": "r.example", "Username": "ann", "Secret": "s"}')
    (helper / "t.example").write_text('{"ServerURL": "t.example", "Username": "<token>", "Secret": "i"}')
    (helper / "https___index.docker.io_v1_").write_text('{"Username": "hub", "Secret": "h"}')
    credentials = _file(tmp_path, {"credsStore": "box", "auths": {"f.example": _auth("file", "f")}})
    assert credentials.get("r.example") == Credential("ann", "s")
    assert credentials.get("t.example") == Credential(identity_token="i")
    assert credentials.get("docker.io") == Credential("hub", "h")
    assert credentials.get("f.example") == Credential("file", "f")
    assert credentials.get("none.example") is None


def test_helpers_store_and_erase(tmp_path: Path, helper: Path) -> None:
    credentials = _file(tmp_path, {"credHelpers": {"r.example": "box"}})
    assert credentials.put("r.example", Credential("ann", "secret")) == "box"
    stored = json.loads((helper / "stored").read_text())
    assert stored == {"ServerURL": "r.example", "Username": "ann", "Secret": "secret"}
    credentials.erase("r.example")
    assert (helper / "erased").read_text().strip() == "r.example"
    assert "secret" not in Path(credentials.path).read_text()


def test_helper_that_is_missing_or_talks_nonsense(tmp_path: Path, helper: Path) -> None:
    with pytest.raises(WherryError, match="docker-credential-gone is not installed"):
        _file(tmp_path, {"credsStore": "gone"}).get("r.example")
    (helper / "r.example").write_text("nonsense secret")
    with pytest.raises(Corrupt, match="did not answer with a credential") as caught:
        _file(tmp_path, {"credsStore": "box"}).get("r.example")
    assert "secret" not in str(caught.value)


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_path() == "/home/ann/.docker/config.json"
    monkeypatch.setenv("DOCKER_CONFIG", "/d")
    assert default_path() == "/d/config.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/r.json")
    assert default_path() == "/r.json"


def test_a_credential_shows_no_secret() -> None:
    assert "hush" not in repr(Credential("ann", "hush", "hush", "hush"))
    assert "hush" not in f"{Credential('ann', 'hush')}"


@pytest.mark.parametrize(
    ("repository", "user"),
    [("team/app", "app"), ("team/app/sub", "app"), ("team/apple", "team"), ("other", "all"), ("v1", "all"),
     ("team/v1", "v1")],
)  # fmt: skip
def test_podman_keys_are_folders(tmp_path: Path, repository: str, user: str) -> None:
    auths = {"": "all", "/team": "team", "/team/app": "app", "/team/v1": "v1"}
    credentials = _file(
        tmp_path, {"auths": {f"r.example{key}": _auth(name, "x") for key, name in auths.items()}}
    )
    found = credentials.get("r.example", repository)
    assert found is not None
    assert found.user == user


def test_podman_s_own_files_come_after_docker_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    for number, name in enumerate(("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")):
        monkeypatch.setenv(name, str(tmp_path / name))
        path = tmp_path / name / ("config.json" if number == 0 else "containers/auth.json")
        path.parent.mkdir(parents=True)
        hosts = ["a.example", "b.example", "c.example"][number:]
        path.write_text(json.dumps({"auths": {host: _auth(name, "x") for host in hosts}}))
    credentials = Credentials()
    users = [found.user for host in "abc" if (found := credentials.get(f"{host}.example"))]
    assert users == ["DOCKER_CONFIG"] * 3
    credentials.erase("c.example")
    credentials.erase("b.example")
    users = [found.user for host in "abc" if (found := credentials.get(f"{host}.example"))]
    assert users == ["DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_RUNTIME_DIR"]
    assert credentials.elsewhere("b.example") == f"{tmp_path}/XDG_RUNTIME_DIR/containers/auth.json"
    (tmp_path / "XDG_RUNTIME_DIR/containers/auth.json").unlink()
    assert credentials.elsewhere("c.example") == f"{tmp_path}/XDG_CONFIG_HOME/containers/auth.json"
    assert credentials.elsewhere("d.example") == ""
    assert Credentials(str(tmp_path / "none.json")).get("c.example") is None
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
    assert Credentials().get("c.example") is None, "the variable names the one file"


def test_helpers_of_registries_conf(tmp_path: Path, helper: Path) -> None:
    """Asked in their order; the files have their place among them, the last one where none is said."""
    for host in ("both.example", "helper.example"):
        (helper / host).write_text(json.dumps({"Username": "helper", "Secret": "s"}))
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({"auths": {"both.example": _auth("file", "x"), "file.example": _auth("file", "x")}})
    )
    hosts = ("both.example", "helper.example", "file.example")
    for helpers, users in {
        ("box",): ["helper", "helper", "file"],
        ("containers-auth.json", "box"): ["file", "helper", "file"],
        (): ["file", None, "file"],
    }.items():
        found = [Credentials(str(path), helpers).get(host) for host in hosts]
        assert [credential and credential.user for credential in found] == users


def test_an_identity_token_in_a_helper(tmp_path: Path, helper: Path) -> None:
    credentials = _file(tmp_path, {"credsStore": "box"})
    credentials.put("r.example", Credential("ann", identity_token="i"))
    stored = json.loads((helper / "stored").read_text())
    assert stored == {"ServerURL": "r.example", "Username": "<token>", "Secret": "i"}
