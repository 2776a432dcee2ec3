"""Image names as docker reads and normalises them (distribution's `reference` grammar)."""

from __future__ import annotations

import re

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci.digest import Digest

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")


class Reference(NamedTuple):
    """A full name. `tag` is empty where only a digest was given; `digest` is None where none was."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        """The whole normalised name: `docker.io/library/flask:latest`."""
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """What docker shows: `flask`, `user/app`, `localhost:5000/app`."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        return self.repository.removeprefix("library/")

    @property
    def familiar(self) -> str:
        """The short form with its tag and digest: `flask:latest`."""
        return str(self).replace(self.name, self.familiar_name, 1)

    def with_default_tag(self) -> Reference:
        return self if self.tag or self.digest else self._replace(tag=DEFAULT_TAG)


def parse(text: str) -> Reference:
    """`flask`, `user/app:v1`, `host:5000/app@sha256:...`, `name:tag@digest`; no default tag is added.

    Raises WherryError for what docker refuses too: capitals in a repository, an empty part, 64 hex
    digits alone (they would be taken for an image ID).
    """
    rest, at, digest_text = text.partition("@")
    digest = digests.parse(digest_text) if at else None
    name, tag = _split_tag(rest)
    if digests.is_digest(f"sha256:{text}"):
        raise _invalid(text, "64 hex digits are an image ID, not a name")
    if has_host(name):
        registry, _, path = name.partition("/")
    else:
        registry, path = DEFAULT_REGISTRY, name
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    if not _HOST.fullmatch(registry):
        raise _invalid(text, f"{registry!r} is not a host name")
    if not _PATH.fullmatch(path):
        if path != path.lower():
            raise _invalid(text, "a repository name is written in lower case")
        raise _invalid(text, "the repository may hold a-z, 0-9 and single . _ - / between them")
    if len(path) > 255:
        raise _invalid(text, "the repository is longer than 255 characters")
    if (":" in rest.rpartition("/")[2] or tag) and not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag!r} is not a tag")
    return Reference(registry, path, tag, digest)


def has_host(name: str) -> bool:
    """Whether `name` begins with a registry; `flask` and `user/app` do not."""
    first, slash, _ = name.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())


def is_host(text: str) -> bool:
    """Whether `text` is a registry as it stands in names: a host or an address, with a port or without."""
    return _HOST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def _split_tag(rest: str) -> tuple[str, str]:
    """The last colon starts a tag only behind the last slash: `host:5000/app` has none."""
    head, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    return head + slash + name, tag


def _invalid(text: str, why: str) -> WherryError:
    return WherryError(
        f"invalid image name {text!r}: {why}", hint="a name looks like app, user/app:v1, host:5000/app:v1"
    )
