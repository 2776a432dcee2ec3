"""`--cache-from` and `--cache-to`: the words that say where a cache is, as BuildKit has them."""

from __future__ import annotations

import os

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build.pairs import check, pairs
from wherry.layer import compress
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference

LOCAL, REGISTRY, INLINE = "local", "registry", "inline"
FROM, TO = "--cache-from", "--cache-to"

_ALWAYS = ("oci-mediatypes", "image-manifest")
"""What others can be asked to write instead is old, and not written here."""
_PACKING = ("mode", "compression", "compression-level", *_ALWAYS)
_FROM_KEYS = {LOCAL: ("src", "digest", "tag"), REGISTRY: ("ref",)}
_TO_KEYS = {
    LOCAL: ("dest", "tag", *_PACKING, "ignore-error"),
    REGISTRY: ("ref", *_PACKING, "ignore-error"),
    INLINE: (),
}
_COMPRESSIONS = (compress.GZIP, compress.ZSTD, compress.NONE)
_DEFAULT_TAG = "latest"


class Place(NamedTuple):
    """Where a cache lies: what a registry calls `reference`, or an OCI layout by tag or digest.

    `tls_verify` is that of `Options`.
    """

    reference: Reference | None = None
    folder: str = ""
    tag: str = ""
    digest: Digest | None = None
    tls_verify: bool | None = None

    def __str__(self) -> str:
        return self.reference.familiar if self.reference else self.folder


class Target(NamedTuple):
    """One `--cache-to`. Without a place it is the image itself. `whole`: the results of all stages, not those
    of the image's own steps alone; `compression` is "" for what is at hand; `may_fail`: then the build does
    not."""

    place: Place | None = None
    whole: bool = False
    compression: str = ""
    level: int | None = None
    may_fail: bool = False


def source(text: str, tls_verify: bool | None = None) -> Place:
    """What `--cache-from` says: `type=local,src=DIR`, `type=registry,ref=NAME`, or NAME alone.

    UsageError for words that say nothing, Unsupported for a type that is not done here.
    """
    if "=" not in text:
        return Place(_reference(FROM, text), tls_verify=tls_verify)
    given = _given(FROM, text, _FROM_KEYS)
    if "ref" in given:
        return Place(_reference(FROM, given["ref"]), tls_verify=tls_verify)
    digest = given.get("digest", "")
    if digest and not digests.is_digest(digest):
        raise UsageError(f"{FROM} {text}: {digest!r} is no sha256 digest")
    tag = given.get("tag", "")
    return Place(None, os.path.abspath(given["src"]), tag, Digest(digest) if digest else None)


def target(text: str, tls_verify: bool | None = None) -> Target:
    """What `--cache-to` says: `type=local,dest=DIR`, `type=registry,ref=NAME` or `type=inline`, with `mode`,
    `compression`, `compression-level` and `ignore-error`. Raises as `source`.
    """
    given = _given(TO, text, _TO_KEYS)
    if given["type"] == INLINE:
        return Target()
    mode = _choice(text, given, "mode", ("min", "max"), "min")
    compression = _choice(text, given, "compression", _COMPRESSIONS, "")
    for key in _ALWAYS:
        _choice(text, given, key, ("true",), "true")
    may_fail = _choice(text, given, "ignore-error", ("true", "false"), "false")
    if "dest" in given:
        place = Place(None, os.path.abspath(given["dest"]), given.get("tag") or _DEFAULT_TAG)
    else:
        place = Place(_reference(TO, given["ref"]), tls_verify=tls_verify)
        if place.reference and place.reference.digest:
            raise UsageError(f"{TO} {text}: a digest cannot be chosen, only a tag")
    return Target(
        place,
        mode == "max",
        compression,
        _level(text, compression, given.get("compression-level", "")),
        may_fail == "true",
    )


def _given(flag: str, text: str, known: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The options, all of them such as their type has, and those there that it needs."""
    given = pairs(flag, text)
    kind = given.get("type", "")
    if not kind:
        raise UsageError(f"{flag} {text}: type= is missing", hint=_hint(known))
    if kind not in known:
        raise Unsupported(f"{flag}: the cache type {kind} is not supported", hint=_hint(known))
    if kind == INLINE and "mode" in given:
        hint = "an image carries the results of its own steps; mode=max needs type=registry"
        raise UsageError(f"{flag} {text}: the type inline has no mode", hint=hint)
    check(flag, text, given, ("type", *known[kind]))
    needed = known[kind][:1]
    for key in needed:
        if not given.get(key):
            raise UsageError(f"{flag} {text}: {key} is missing", hint=f"write type={kind},{key}=...")
    return given


def _hint(known: dict[str, tuple[str, ...]]) -> str:
    return f"types: {', '.join(known)}"


def _choice(text: str, given: dict[str, str], key: str, values: tuple[str, ...], default: str) -> str:
    value = given.get(key, default)
    if value not in (*values, default):
        raise UsageError(f"{TO} {text}: {key}={value}: it is {' or '.join(values)}")
    return value


def _level(text: str, compression: str, level: str) -> int | None:
    if not level:
        return None
    highest = compress.LEVELS.get(compression)
    if highest is None:
        raise UsageError(f"{TO} {text}: a level needs a compression", hint="compression=gzip or zstd")
    if not (level.isascii() and level.isdigit() and int(level[:4]) <= highest):
        raise UsageError(f"{TO} {text}: compression-level={level}: {compression} has 0 to {highest}")
    return int(level)


def _reference(flag: str, text: str) -> Reference:
    try:
        return references.parse(text).with_default_tag()
    except WherryError as error:
        raise UsageError(f"{flag} {text}: {error.message}", hint=error.hint) from None
