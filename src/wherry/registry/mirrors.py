"""Which places a name is asked at: `Registries` applied to one reference (containers-registries.conf(5))."""

from __future__ import annotations

from wherry.base.errors import Denied, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import reference as references
from wherry.oci.reference import Reference
from wherry.registry.certificates import Trust
from wherry.registry.config import Alias, Registries, Table
from wherry.registry.hosts import host_of


class Source(NamedTuple):
    """`reference` is the image's name there. `insecure` None: as its host is usually spoken to.

    `file` has said so, where that is another name than the image's own.
    """

    reference: Reference
    insecure: bool | None = None
    file: str = ""


def sources(registries: Registries, reference: Reference, push: bool = False) -> list[Source]:
    """The places in their order, the registry itself last; it alone for a push.

    Denied where the name is blocked.
    """
    alias = None if push else registries.alias
    if alias:
        reference = _meant(alias, reference)
    table = find(registries, reference)
    if table is None:
        return [Source(reference, file=alias.file if alias else "")]
    if table.blocked:
        raise Denied(f"{reference.familiar} is blocked: {table.file} forbids {table.prefix}")
    if push:
        return [Source(reference, table.insecure)]
    mirrors = [
        Source(_moved(reference, table, mirror.location), mirror.insecure, table.file)
        for mirror in table.mirrors
        if mirror.when == "all" or (mirror.when == "digest-only") == bool(reference.digest)
    ]
    usable = [source for source in mirrors if not _is_blocked(registries, source.reference)]
    return [*usable, Source(_moved(reference, table, table.location), table.insecure, table.file)]


def _meant(alias: Alias, reference: Reference) -> Reference:
    """What an alias says, with the tag and the digest of the name that it is for."""
    try:
        meant = references.parse(alias.name)
        if meant.tag or meant.digest or not references.has_host(alias.name):
            raise WherryError("neither a host alone nor a tag")
    except WherryError:
        raise WherryError(
            f"{alias.file}: the alias {alias.name!r} is no whole name",
            hint="it has a host, and neither a tag nor a digest: registry.example.com/team/app",
        ) from None
    return meant._replace(tag=reference.tag, digest=reference.digest)


def hint(registries: Registries) -> str:
    """What to try where a name is not found that other tools may find; "" where there is nothing."""
    if not registries.short or registries.alias or not registries.searched:
        return ""
    return (
        f"a name without a host is Docker Hub's, other registries are not searched: write"
        f" {registries.searched[0]}/{registries.short}"
    )


def trust(registries: Registries, source: Source | None = None) -> Trust:
    """The TLS of all hosts that are met on the way to a source, with what is said of that one's name."""
    own = host_of(source.reference.registry) if source else ""

    def insecure(host: str) -> bool | None:
        if registries.verify is not None:
            return not registries.verify
        if source and host == own:
            return source.insecure
        table = find_host(registries, host)
        return table.insecure if table else None

    return Trust(insecure)


def find(registries: Registries, reference: Reference) -> Table | None:
    """The table with the longest prefix that the name has."""
    fitting = [table for table in registries.tables if _length(reference, table.prefix)]
    return max(fitting, key=lambda table: len(table.prefix), default=None)


def find_host(registries: Registries, host: str) -> Table | None:
    """The table for a whole registry; None where there is none."""
    fitting = [
        table
        for table in registries.tables
        if host_of(table.prefix) == host or (table.prefix.startswith("*.") and _is_below(host, table.prefix))
    ]
    return max(fitting, key=lambda table: len(table.prefix), default=None)


def _length(reference: Reference, prefix: str) -> int:
    """Characters of the name that the prefix stands for; 0 where the name does not begin with it.

    It has to end where a part of the name does. `*.host` stands for the whole host, without its port.
    """
    if prefix.startswith("*."):
        return len(reference.registry.partition(":")[0]) if _is_below(reference.registry, prefix) else 0
    name = _read_as(prefix, reference)
    return len(prefix) if name.startswith(prefix) and name[len(prefix) :][:1] in ("", ":", "/", "@") else 0


def _read_as(prefix: str, reference: Reference) -> str:
    """The name as a prefix may begin it: one with a digest says nothing of a tag."""
    return str(reference._replace(tag="") if "@" in prefix else reference)


def _is_below(host: str, wildcard: str) -> bool:
    """Whether `a.b.example.com[:port]` is meant by `*.example.com`."""
    return host.partition(":")[0].endswith(wildcard[1:])


def _moved(reference: Reference, table: Table, location: str) -> Reference:
    """The name with `location` in the place of the table's prefix."""
    if not location:
        return reference
    text = location + _read_as(table.prefix, reference)[_length(reference, table.prefix) :]
    try:
        if not references.has_host(text):
            raise WherryError("a host, and no repository of it")
        return references.parse(text)
    except WherryError:
        raise WherryError(
            f"{table.file}: {location} in place of {table.prefix} makes {text}, which is no image's name"
        ) from None


def _is_blocked(registries: Registries, reference: Reference) -> bool:
    table = find(registries, reference)
    return table is not None and table.blocked
