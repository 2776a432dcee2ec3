"""mmdebstrap's tar stream made into an image's layer: what differs between runs left out, defaults added."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence

from wherry.bootstrap import sources
from wherry.bootstrap.mmdebstrap import EPOCH
from wherry.bootstrap.recipes import File, Recipe
from wherry.bootstrap.sources import Source
from wherry.layer.entry import DIRECTORY, FILE, SYMLINK, Entry
from wherry.layer.reader import read_layer
from wherry.layer.writer import LayerWriter, Readable

_TIME = EPOCH * 1_000_000_000

# What two runs or two machines write differently, and back-up copies, beyond what mmdebstrap leaves out.
# A hostname, hosts and resolv.conf are mounted over by every runtime.
_WITHOUT = (
    "dev/*",
    "etc/.pwd.lock",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/fstab",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/lists/lock",
    "var/lib/dpkg/*-old",
)
_DPKG_OPTIONS = "etc/dpkg/dpkg.cfg.d/99mmdebstrap"

# `RUN --mount=type=cache,target=/var/cache/apt` is written with `rm -f /etc/apt/apt.conf.d/docker-clean`
# before it: the file has that name so that such Dockerfiles keep their downloads here as well.
_APT_CLEAN = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_APT_SMALL = """\
Acquire::Languages "none";
Acquire::GzipIndexes "true";
APT::AutoRemove::SuggestsImportant "false";
"""
_NO_SERVICES = "#!/bin/sh\n# No service is started in an image.\nexit 101\n"

_FILES = (
    File("etc/apt/apt.conf.d/docker-clean", _APT_CLEAN),
    File("etc/apt/apt.conf.d/wherry", _APT_SMALL),
    File("usr/sbin/policy-rc.d", _NO_SERVICES, 0o755),
)


def write(writer: LayerWriter, stream: Readable, recipe: Recipe, chosen: Sequence[Source]) -> None:
    """Every entry of `stream` that belongs in the image, then the files that wherry adds."""
    added = [*_FILES, *recipe.family.files, *_apt_sources(chosen)]
    replaced = {file.path for file in added} | {path for path, _ in recipe.family.links}
    patterns = (*_WITHOUT, *recipe.family.without)
    seen = set()
    for entry, content in read_layer(stream):
        if entry.path not in replaced and not _left_out(entry, patterns):
            entry = _normal(entry)
            seen.add(entry.path)
            writer.add(entry, content if entry.kind == FILE else None)
    for entry, data in (*_folders(replaced, seen), *_files(added), *_links(recipe)):
        writer.add(entry, data)


def _left_out(entry: Entry, patterns: Iterable[str]) -> bool:
    is_log = entry.kind == FILE and entry.path.startswith("var/log/")
    return is_log or any(fnmatch.fnmatchcase(entry.path, pattern) for pattern in patterns)


def _normal(entry: Entry) -> Entry:
    entry = entry._replace(mtime=min(entry.mtime, _TIME), offset=-1)
    if entry.path == _DPKG_OPTIONS:
        return entry._replace(path=os.path.dirname(_DPKG_OPTIONS) + "/wherry")
    return entry


def _apt_sources(chosen: Sequence[Source]) -> Iterator[File]:
    """The machine's sources without logins, for `apt-get` in the image, and the public keys they name."""
    yield File("etc/apt/sources.list.d/wherry.sources", sources.render(map(sources.without_login, chosen)))
    for path in sources.keyrings(chosen):
        # Latin-1 keeps every byte of a binary keyring.
        with open(path, encoding="latin-1", newline="") as file:
            yield File(path.lstrip("/"), file.read())


def _folders(paths: Iterable[str], seen: set[str]) -> Iterator[tuple[Entry, None]]:
    """/dev, which mmdebstrap's stream has not, and the folders of added files that are missing."""
    missing = {"dev"} - seen
    for path in paths:
        while (path := os.path.dirname(path)) and path not in seen:
            missing.add(path)
    for path in sorted(missing):
        yield Entry(path, DIRECTORY, 0o755, mtime=_TIME), None


def _files(added: Iterable[File]) -> Iterator[tuple[Entry, bytes]]:
    for file in added:
        data = file.text.encode("latin-1")
        yield Entry(file.path, FILE, file.mode, mtime=_TIME, size=len(data)), data


def _links(recipe: Recipe) -> Iterator[tuple[Entry, None]]:
    for path, target in recipe.family.links:
        yield Entry(path, SYMLINK, 0o777, mtime=_TIME, link=target), None
