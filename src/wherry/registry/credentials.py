"""Credentials of registries as docker and podman keep them: `config.json` and helper programs.

The file is `$REGISTRY_AUTH_FILE`, else `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. What is
not there is looked for where podman has its logins, unless $REGISTRY_AUTH_FILE names the one file. Of a file

    auths         {server: {"auth": base64 of user:password, "identitytoken": ...}}
    credHelpers   {server: NAME}: `docker-credential-NAME` keeps that server's
    credsStore    NAME for all other servers

are read, and the rest is left as it is when a login is written. Nothing here prints a secret, and a
`Credential` shows none when it is printed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from wherry.base.errors import Corrupt, WherryError
from wherry.base.text import one_line
from wherry.base.tuples import NamedTuple
from wherry.oci.reference import DEFAULT_REGISTRY

HUB_KEY = "https://index.docker.io/v1/"
"""The name under which docker keeps the credentials of docker.io."""
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"
"""The user name by which a helper says that its secret is an identity token."""
FILES = "containers-auth.json"
"""Among helpers: the files (containers-registries.conf(5), `credential-helpers`)."""
_HELPER_SECONDS = 60
_MAX_FILE = 4 << 20


class Credential(NamedTuple):
    """A user with a password, or an identity token (OAuth2 refresh token), or a token to be used as it is."""

    user: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def basic(self) -> str:
        """The header of basic authentication (RFC 7617)."""
        from base64 import b64encode

        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()

    def masked(self, text: str) -> str:
        """`text` without the secrets."""
        secrets = (self.password, self.identity_token, self.registry_token, self.basic.partition(" ")[2])
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text

    def __repr__(self) -> str:
        return f"Credential(user={self.user!r})"


class Credentials:
    """One user's credentials, read anew each time they are asked for; `path` is the file that logins go to.

    `helpers` are programs that are asked for every registry, `FILES` among them standing for the files.
    """

    def __init__(self, path: str | None = None, helpers: Sequence[str] = ()) -> None:
        self.path = path or default_path()
        self._own = _File(self.path)
        self._files = (self._own, *(_File(other, True) for other in (() if path else podmans_paths())))
        self._helpers = helpers if FILES in helpers else (*helpers, FILES)

    def get(self, registry: str, repository: str = "") -> Credential | None:
        """What is kept for `registry`, or for a folder of it that `repository` lies in (podman's keys)."""
        for helper in self._helpers:
            if helper != FILES:
                found = _ask_helper(helper, _server(registry))
            else:
                kept = (file.get(registry, repository) for file in self._files)
                found = next((credential for credential in kept if credential), None)
            if found:
                return found
        return None

    def put(self, registry: str, credential: Credential) -> str:
        """Keep a credential; where it is now: the file's path or the helper's name."""
        return self._own.put(registry, credential)

    def erase(self, registry: str) -> bool:
        """Whether there was something to forget."""
        return self._own.erase(registry)

    def elsewhere(self, registry: str) -> str:
        """A file beside `path` that has a credential too, "" for none: its program has to forget that."""
        return next((file.path for file in self._files[1:] if file.get(registry)), "")


class _File:
    """One file, and the helpers that it names. Where it is `others`, it may be one that we cannot read."""

    def __init__(self, path: str, others: bool = False) -> None:
        self.path = path
        self._others = others

    def get(self, registry: str, repository: str = "") -> Credential | None:
        document = self._read()
        helper = self._helper(document, registry)
        if helper:
            found = _ask_helper(helper, _server(registry))
            if found:
                return found
        auths = _object(document, "auths", self.path)
        for wanted in _keys(registry, repository):
            for key, value in auths.items():
                if _normal(key) == wanted and isinstance(value, dict) and (found := self._decode(key, value)):
                    return found
        return None

    def put(self, registry: str, credential: Credential) -> str:
        document = self._read()
        helper = self._helper(document, registry)
        if helper:
            request = {
                "ServerURL": _server(registry),
                "Username": _TOKEN_USER if credential.identity_token else credential.user,
                "Secret": credential.identity_token or credential.password,
            }
            _run_helper(helper, "store", json.dumps(request))
            return helper
        auths = _object(document, "auths", self.path)
        for key in [key for key in auths if _normal(key) == _normal(registry)]:
            del auths[key]
        auths[_server(registry)] = _encode(credential)
        document["auths"] = auths
        self._write(document)
        return self.path

    def erase(self, registry: str) -> bool:
        document = self._read()
        helper = self._helper(document, registry)
        known = False
        if helper:
            known = _ask_helper(helper, _server(registry)) is not None
            _run_helper(helper, "erase", _server(registry))
        auths = _object(document, "auths", self.path)
        doomed = [key for key in auths if _normal(key) == _normal(registry)]
        for key in doomed:
            del auths[key]
        if doomed:
            document["auths"] = auths
            self._write(document)
        return known or bool(doomed)

    def _helper(self, document: dict[str, Any], registry: str) -> str:
        helpers = _object(document, "credHelpers", self.path)
        chosen = [name for key, name in helpers.items() if _normal(key) == _normal(registry)]
        name = chosen[0] if chosen else document.get("credsStore") or ""
        if not isinstance(name, str) or "/" in name:
            raise Corrupt(f"{self.path}: {name!r} is not the name of a credential helper")
        return name

    def _decode(self, key: str, value: dict[str, Any]) -> Credential | None:
        from base64 import b64decode

        fields = {name: value.get(name) or "" for name in _FIELDS}
        if not all(isinstance(field, str) for field in fields.values()):
            raise Corrupt(f"{self.path}: the entry of {key} has a field that is no string")
        user, password = fields["username"], fields["password"]
        if fields["auth"]:
            try:
                user, _, password = b64decode(fields["auth"], validate=True).decode().partition(":")
            except ValueError:
                raise Corrupt(
                    f"{self.path}: the entry of {key} is damaged", hint=f"run `wherry login {key}` again"
                ) from None
            password = password.rstrip("\0")
        found = Credential(user, password, fields["identitytoken"], fields["registrytoken"])
        return found if any(found) else None

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                raw = file.read(_MAX_FILE)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            if self._others:
                return {}
            raise WherryError(f"cannot read {self.path}: {error.strerror}") from None
        try:
            document = json.loads(raw or b"{}")
        except (ValueError, RecursionError) as error:
            raise Corrupt(f"{self.path} is not JSON: {str(error)[:100]}") from None
        if not isinstance(document, dict):
            raise Corrupt(f"{self.path} is not a JSON object")
        return document

    def _write(self, document: dict[str, Any]) -> None:
        """In one move, readable by its owner alone; behind a link, what it points to is replaced."""
        path = os.path.realpath(self.path)
        unfinished = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.new"
        data = json.dumps(document, indent="\t").encode() + b"\n"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            # Others may write to the folder, as to /tmp: what lies there is neither followed nor filled.
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(unfinished, path)
            except BaseException:
                os.unlink(unfinished)
                raise
        except OSError as error:
            raise WherryError(f"cannot write {self.path}: {error.strerror}") from None


_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")


def default_path() -> str:
    if path := os.environ.get("REGISTRY_AUTH_FILE"):
        return path
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return f"{folder}/config.json"


def podmans_paths() -> tuple[str, ...]:
    """Where podman keeps its logins (containers-auth.json(5)); none where a file was named to us."""
    if os.environ.get("REGISTRY_AUTH_FILE"):
        return ()
    running = os.environ.get("XDG_RUNTIME_DIR")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return (
        f"{running}/containers/auth.json" if running else f"/run/containers/{os.getuid()}/auth.json",
        f"{config}/containers/auth.json",
    )


def _encode(credential: Credential) -> dict[str, str]:
    entry = {"auth": credential.basic.partition(" ")[2]}
    if credential.identity_token:
        entry["identitytoken"] = credential.identity_token
    return entry


def _server(registry: str) -> str:
    """The key under which docker keeps `registry`."""
    return HUB_KEY if registry in _HUB_NAMES or registry == DEFAULT_REGISTRY else registry


def _normal(key: str) -> str:
    """A key of `auths` without what older dockers wrote around the host: `https://host/v1/`."""
    bare = key.partition("://")[2] or key
    host, slash, rest = bare.rstrip("/").partition("/")
    if "://" in key or rest in ("v1", "v2"):
        slash = rest = ""
    return (DEFAULT_REGISTRY if host in _HUB_NAMES else host) + slash + rest


def _keys(registry: str, repository: str) -> list[str]:
    """`host/a/b`, `host/a`, `host`: the most exact one wins (containers-auth.json(5))."""
    parts = repository.split("/") if repository else []
    paths = ["/".join([registry, *parts[:count]]) for count in range(len(parts), -1, -1)]
    return [_normal(path) for path in paths]


def _object(document: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise Corrupt(f"{path}: {key!r} is not an object")
    return dict(value)


def _ask_helper(name: str, server: str) -> Credential | None:
    answer = _run_helper(name, "get", server, may_miss=True)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError):
        raise Corrupt(f"docker-credential-{name} did not answer with a credential") from None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise Corrupt(f"docker-credential-{name} did not answer with a credential")
    return Credential(identity_token=secret) if user == _TOKEN_USER else Credential(user, secret)


def _run_helper(name: str, verb: str, text: str, may_miss: bool = False) -> str | None:
    """The helper's standard output; None where it has no such credential and `may_miss`."""
    import subprocess

    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, verb], input=text.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        raise WherryError(
            f"the credential helper {program} is not installed",
            hint=f"install it, or take it out of credsStore and credHelpers in {default_path()}",
        ) from None
    except subprocess.TimeoutExpired:
        raise WherryError(f"the credential helper {program} gave no answer in time") from None
    except OSError as error:
        raise WherryError(f"cannot run the credential helper {program}: {error.strerror}") from None
    answer = done.stdout.decode(errors="replace")
    if done.returncode == 0:
        return answer
    if "credentials not found" in answer.lower() and (may_miss or verb == "erase"):
        return None
    # A failing `get` prints no secret: its output is the reason.
    raise WherryError(f"the credential helper {program} failed: {one_line(answer)[:200] or done.returncode}")
