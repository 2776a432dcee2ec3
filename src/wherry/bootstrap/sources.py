"""The machine's own apt sources: read, narrowed to one suite of the distribution, written again.

Both of apt's formats are read (sources.list(5)): one line a source, and deb822 stanzas. They are read
anew in every run and are in no file of wherry's. User names and passwords in them never reach an image.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit, urlunsplit

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple

# Suites of one release. Backports and proposed updates are left out: docker's images have neither.
_SUFFIXES = ("", "-updates", "-security")

# The option names of the one-line format, as the fields of deb822.
_FIELDS = {
    "arch": "Architectures",
    "lang": "Languages",
    "target": "Targets",
    "pdiffs": "PDiffs",
    "by-hash": "By-Hash",
    "allow-insecure": "Allow-Insecure",
    "allow-weak": "Allow-Weak",
    "allow-downgrade-to-insecure": "Allow-Downgrade-To-Insecure",
    "trusted": "Trusted",
    "signed-by": "Signed-By",
    "check-valid-until": "Check-Valid-Until",
    "valid-until-min": "Valid-Until-Min",
    "valid-until-max": "Valid-Until-Max",
    "check-date": "Check-Date",
    "date-max-future": "Date-Max-Future",
    "inrelease-path": "InRelease-Path",
}


class Source(NamedTuple):
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    """The other deb822 fields, in order; a multi-line value keeps its line ends and indents."""


class Machine(NamedTuple):
    """`distribution` and `codename` of os-release (`debian`, `bookworm`); `sources` as apt reads them."""

    distribution: str
    codename: str
    sources: tuple[Source, ...]


def machine() -> Machine:
    """This machine; WherryError where it is not one that has apt."""
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    folder = _apt_folder()
    files = [folder["LIST"], *sorted(glob.glob(glob.escape(folder["PARTS"]) + "/*"))]
    sources = [source for file in files for source in read(file)]
    foreign = _archives_of_others(release.get("ID", ""))
    return Machine(
        release.get("ID", ""),
        release.get("VERSION_CODENAME", ""),
        tuple(source for source in sources if not foreign.intersection(_slashed(source.uris))),
    )


def _apt_folder() -> dict[str, str]:
    """Where apt looks for its sources: `LIST`, a file, and `PARTS`, a folder."""
    command = ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise WherryError(
            "base images are made from a Debian or Ubuntu machine's packages, and this machine has no apt",
            hint="take a base image from a registry: wherry pull",
        ) from None
    return dict(re.findall(r"^(\w+)='(.*)'$", text, re.MULTILINE))


def _archives_of_others(distribution: str) -> set[str]:
    """URIs of archives that say of themselves that they are not the distribution's (docker's, hashicorp's).

    Known only for sources of which apt has lists; another archive may use the distribution's suite names.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    known = (line.partition(" ")[::2] for line in text.splitlines())
    return {uri for uri, origin in known if origin and origin.lower() != distribution}


def _slashed(uris: Iterable[str]) -> set[str]:
    return {uri.rstrip("/") + "/" for uri in uris}


def read(path: str) -> list[Source]:
    """The binary package sources in one file; none where it does not exist or is of another kind."""
    if not path.endswith((".list", ".sources")):
        return []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WherryError(f"cannot read the apt sources in {path}: {error.strerror}") from None
    return list(parse_deb822(text) if path.endswith(".sources") else parse_lines(text))


_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)")


def parse_lines(text: str) -> Iterator[Source]:
    """`deb [signed-by=/key.gpg] http://host/debian bookworm main`; anything else is passed over."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line.partition("#")[0].strip())
        if found and not found["uri"].startswith("cdrom:"):
            yield Source(
                (found["uri"],),
                (found["suite"],),
                tuple(found["components"].split()),
                tuple(_options(found["options"] or "")),
            )


def _options(text: str) -> Iterator[tuple[str, str]]:
    for name, value in re.findall(r"""([\w-]+)=("[^"]*"|\S+)""", text):
        yield _FIELDS.get(name.lower(), name.title()), value.strip('"').replace(",", " ")


def parse_deb822(text: str) -> Iterator[Source]:
    """Stanzas between empty lines; comments, disabled ones and those of source packages are passed over."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = dict(_fields(stanza))
        plain = {name.lower(): value for name, value in fields.items()}
        wanted = "deb" in plain.get("types", "").split() and plain.get("enabled", "yes").lower() in _YES
        if wanted and "uris" in plain and "suites" in plain:
            yield Source(
                tuple(uri for uri in plain["uris"].split() if not uri.startswith("cdrom:")),
                tuple(plain["suites"].split()),
                tuple(plain.get("components", "").split()),
                tuple((name, value) for name, value in fields.items() if name.lower() not in _OWN),
            )


_OWN = {"types", "uris", "suites", "components", "enabled"}
_YES = {"yes", "true", "with", "on", "enable", "1"}


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE):
        yield found[1], found[2].rstrip()


def choose(here: Machine, suite: str) -> tuple[Source, ...]:
    """The distribution's sources of `suite`.

    Where the machine has another suite of the same distribution, its archives with the name changed: an
    archive carries all living suites.
    """
    if found := _of_release(here.sources, suite, suite):
        return found
    if found := _of_release(here.sources, here.codename, suite):
        return found
    raise NotFound(
        f"this machine's apt sources have no suite {suite!r}",
        hint="they have "
        + (", ".join(_all_suites(here.sources)) or "none at all: see /etc/apt/sources.list"),
    )


def _all_suites(sources: Iterable[Source]) -> list[str]:
    return sorted({suite for source in sources for suite in source.suites})


def _of_release(sources: Iterable[Source], release: str, suite: str) -> tuple[Source, ...]:
    """Sources of `release`, asked for `suite` instead; of unstable there are no updates."""
    suffixes = ("",) if suite in ("sid", "unstable", "experimental") else _SUFFIXES
    renamed = {release + suffix: suite + suffix for suffix in suffixes}
    chosen = []
    for source in sources:
        suites = tuple(renamed[name] for name in source.suites if name in renamed)
        if suites and "main" in source.components:
            chosen.append(source._replace(suites=suites))
    return tuple(chosen) if any(suite in source.suites for source in chosen) else ()


def render(sources: Iterable[Source]) -> str:
    """deb822 text."""
    return "\n".join(map(_stanza, sources))


def _stanza(source: Source) -> str:
    fields = [
        ("Types", "deb"),
        ("URIs", " ".join(source.uris)),
        ("Suites", " ".join(source.suites)),
        ("Components", " ".join(source.components)),
        *source.options,
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields)


def without_login(source: Source) -> Source:
    return source._replace(uris=tuple(map(_bare_uri, source.uris)))


def _bare_uri(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def keyrings(sources: Iterable[Source]) -> list[str]:
    """Files on this machine whose keys sign the sources."""
    values = [value for source in sources for name, value in source.options if name.lower() == "signed-by"]
    words = [word for value in values if "\n" not in value for word in re.split(r"[\s,]+", value)]
    return sorted({word for word in words if os.path.isabs(word)})
