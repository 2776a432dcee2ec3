"""Which registries there are to this machine: `registries.conf`, version 2, as podman and skopeo read it.

The file is `$CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else
`/etc/containers/registries.conf`. The `*.conf` files of `registries.conf.d` beside the last two are laid over
it in the order of their names, those of /etc first; where the user has a file of his own, those of /etc are
left out. Of what stands in them

    [[registry]]      prefix, location, insecure, blocked, mirror-by-digest-only
    [[registry.mirror]]   location, insecure, pull-from-mirror
    [aliases]
    credential-helpers

is obeyed (containers-registries.conf(5)). Names without a host are Docker Hub's, as with docker: so
`unqualified-search-registries` and `short-name-mode`, which are about guessing a host, are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import reference as references

WHEN = ("all", "digest-only", "tag-only")
"""For which names a mirror is asked: `pull-from-mirror`."""


class Mirror(NamedTuple):
    location: str
    insecure: bool | None
    when: str


class Table(NamedTuple):
    """One `[[registry]]`: what holds for the names that begin with `prefix`. `location` may be empty.

    `insecure` is None where the table does not say. `file` is where it stands.
    """

    prefix: str
    location: str
    insecure: bool | None
    blocked: bool
    mirrors: tuple[Mirror, ...]
    file: str


class Alias(NamedTuple):
    """What a short name means. `file` is where that is said."""

    name: str
    file: str


class Registries(NamedTuple):
    """All of it. `verify` is what the user said on the command line: it wins over every table's `insecure`.

    `searched` are registries others search for a name without a host. `short` is such a name, as the
    user wrote it, without tag and digest. `helpers` are asked for credentials (`Credentials`).
    """

    tables: tuple[Table, ...] = ()
    aliases: Mapping[str, Alias] = {}
    searched: tuple[str, ...] = ()
    verify: bool | None = None
    short: str = ""
    helpers: tuple[str, ...] = ()

    @property
    def alias(self) -> Alias | None:
        """What the name that is asked for means, where somebody has said so."""
        return self.aliases.get(self.short)


def load(verify: bool | None = None, written: str = "") -> Registries:
    """The configuration of this machine and user, for an image whose name the user has `written` so.

    WherryError where a file of it cannot be understood.
    """
    tables: dict[str, Table] = {}
    aliases: dict[str, Alias] = {}
    searched: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    for path in _files(os.environ):
        part = _File(path)
        tables.update(part.tables())
        for short, alias in part.aliases():
            aliases.pop(short, None)
            if alias.name:
                aliases[short] = alias
        searched = part.words("unqualified-search-registries") or searched
        helpers = part.words("credential-helpers") or helpers
    name = written.partition("@")[0]
    name = name if ":" not in name.rpartition("/")[2] else name.rpartition(":")[0]
    short = "" if references.has_host(name) else name
    return Registries(tuple(tables.values()), aliases, searched, verify, short, helpers)


def _files(environ: Mapping[str, str]) -> list[str]:
    """In the order in which they are laid over each other; those that are there."""
    own = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config/containers/registries.conf")
    of_system = "/etc/containers/registries.conf"
    chosen = environ.get("CONTAINERS_REGISTRIES_CONF")
    if chosen and not os.path.exists(chosen):
        raise WherryError(f"there is no {chosen}", hint="CONTAINERS_REGISTRIES_CONF names it: correct that")
    has_own = not chosen and os.path.exists(own)
    main = chosen or (own if has_own else of_system)
    folders = [f"{own}.d"] if has_own else [f"{of_system}.d", f"{own}.d"]
    return [
        path
        for path in (main, *(path for folder in folders for path in _drop_ins(folder)))
        if os.path.exists(path)
    ]


def _drop_ins(folder: str) -> list[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    return sorted(entry.path for entry in entries if entry.name.endswith(".conf") and entry.is_file())


class _File:
    """One file; every method raises WherryError for what is not as it should be."""

    def __init__(self, path: str) -> None:
        from wherry.base import toml

        self._path = path
        self._document = toml.read(path)
        if "registries" in self._document:
            raise WherryError(
                f"{path} has the old form of registries.conf, [registries.search] and so on",
                hint="write [[registry]] tables: containers-registries.conf(5)",
            )

    def tables(self) -> Iterator[tuple[str, Table]]:
        for entry in self._list(self._document, "registry"):
            table = self._table(entry)
            yield table.prefix, table

    def aliases(self) -> Iterator[tuple[str, Alias]]:
        found = self._document.get("aliases", {})
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
            raise self._mistake("[aliases] must be short names with the names that they mean")
        for short, name in found.items():
            yield short, Alias(name, self._path)

    def words(self, key: str) -> tuple[str, ...]:
        found = self._document.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self._mistake(f"{key} must be a list of words in quotes")
        return tuple(found)

    def _table(self, entry: dict[str, Any]) -> Table:
        location = self._location(entry)
        prefix = self._place(entry, "prefix") or location
        if not prefix:
            raise self._mistake("a [[registry]] has neither a prefix nor a location")
        if not location and not prefix.startswith("*."):
            location = prefix
        if "*" in prefix.removeprefix("*.") or (prefix.startswith("*.") and "/" in prefix):
            raise self._mistake(f"a * in a prefix stands alone before a host: not {prefix!r}")
        by_digest = self._flag(entry, "mirror-by-digest-only")
        mirrors = tuple(self._mirror(prefix, item, by_digest) for item in self._list(entry, "mirror"))
        insecure, blocked = self._flag(entry, "insecure"), self._flag(entry, "blocked")
        return Table(prefix, location, insecure, bool(blocked), mirrors, self._path)

    def _mirror(self, prefix: str, entry: dict[str, Any], by_digest: bool | None) -> Mirror:
        location = self._location(entry)
        if not location:
            raise self._mistake(f"a mirror of {prefix} has no location")
        when = entry.get("pull-from-mirror") or ""
        if when and by_digest:
            raise self._mistake(f"{prefix} has both mirror-by-digest-only and a mirror with pull-from-mirror")
        if when not in ("", *WHEN):
            raise self._mistake(f"pull-from-mirror of {location} must be one of {', '.join(WHEN)}")
        when = when or ("digest-only" if by_digest else "all")
        return Mirror(location, self._flag(entry, "insecure"), when)

    def _location(self, entry: dict[str, Any]) -> str:
        found = self._place(entry, "location")
        if found and not references.has_host(found + "/"):
            raise self._mistake(f"the location {found!r} does not begin with a host")
        return found

    def _place(self, entry: dict[str, Any], key: str) -> str:
        found = entry.get(key) or ""
        if not isinstance(found, str):
            raise self._mistake(f"a {key} must be a word in quotes")
        if "://" in found:
            raise self._mistake(f"the {key} {found!r} must be without {found.partition('://')[0]}://")
        return found.rstrip("/")

    def _flag(self, entry: dict[str, Any], key: str) -> bool | None:
        found = entry.get(key)
        if found is not None and not isinstance(found, bool):
            raise self._mistake(f"{key} must be true or false")
        return found

    def _list(self, entry: dict[str, Any], key: str) -> list[dict[str, Any]]:
        found = entry.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._mistake(f"{key} must be tables: [[registry]], [[registry.mirror]]")
        return found

    def _mistake(self, message: str) -> WherryError:
        return WherryError(f"{self._path}: {message}", hint="its form is in containers-registries.conf(5)")
