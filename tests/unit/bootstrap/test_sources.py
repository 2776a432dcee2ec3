from __future__ import annotations

from pathlib import Path

import pytest

from wherry.base.errors import NotFound
from wherry.bootstrap import sources
from wherry.bootstrap.sources import Machine, Source

DEB822 = """\
# a comment
Types: deb deb-src
# another one
URIs: http://user:secret@one.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://one.example/debian
Suites: bookworm
Components: main

Types: deb
Enabled: no
URIs: http://two.example/debian
Suites: bookworm
Components: main

types: deb
uris: http://three.example/debian-security
suites: bookworm-security
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""

LINES = """\
# deb http://zero.example/debian bookworm main
deb http://one.example/debian bookworm main non-free # for the radio
deb-src http://one.example/debian bookworm main
deb [arch=amd64,arm64 signed-by=/etc/keys/a.gpg] http://two.example/debian bookworm-security main

deb cdrom:[Debian 12]/ bookworm main
deb http://flat.example/ ./
nonsense
"""


def test_deb822_stanzas() -> None:
    first, second = sources.parse_deb822(DEB822)
    assert first.uris == ("http://user:secret@one.example/debian",)
    assert first.suites == ("bookworm", "bookworm-updates", "bookworm-backports")
    assert first.components == ("main", "contrib")
    assert first.options == (("Signed-By", "/usr/share/keyrings/debian-archive-keyring.gpg"),)
    assert second.uris == ("http://three.example/debian-security",)
    assert "mQINBF" in dict(second.options)["signed-by"]


def test_one_line_sources() -> None:
    found = list(sources.parse_lines(LINES))
    assert [source.uris[0] for source in found] == [
        "http://one.example/debian",
        "http://two.example/debian",
        "http://flat.example/",
    ]
    assert found[0].components == ("main", "non-free")
    assert found[1].options == (("Architectures", "amd64 arm64"), ("Signed-By", "/etc/keys/a.gpg"))
    assert found[2].components == ()


def test_what_is_rendered_reads_the_same() -> None:
    read = [*sources.parse_deb822(DEB822), *sources.parse_lines(LINES)]
    assert list(sources.parse_deb822(sources.render(read))) == read


def test_a_login_is_in_no_rendered_source_for_the_image() -> None:
    text = sources.render(map(sources.without_login, sources.parse_deb822(DEB822)))
    assert "http://one.example/debian" in text
    assert "secret" not in text
    assert "user" not in text


def test_files_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.sources.save").write_text(DEB822)
    (tmp_path / "b.list").write_text(LINES)
    assert sources.read(str(tmp_path / "a.sources.save")) == []
    assert sources.read(str(tmp_path / "missing.list")) == []
    assert len(sources.read(str(tmp_path / "b.list"))) == 3


def machine(*listed: Source) -> Machine:
    return Machine("debian", "bookworm", listed)


ARCHIVE = Source(
    ("http://one.example/debian",), ("bookworm", "bookworm-updates", "bookworm-backports"), ("main",)
)
SECURITY = Source(("http://one.example/debian-security",), ("bookworm-security",), ("main",))
OTHER = Source(("http://other.example/deb",), ("bookworm",), ("stable",))
PGDG = Source(("http://pg.example/",), ("bookworm-pgdg",), ("main",))


def test_the_suites_of_one_release_are_chosen() -> None:
    chosen = sources.choose(machine(ARCHIVE, SECURITY, OTHER, PGDG), "bookworm")
    assert [source.suites for source in chosen] == [("bookworm", "bookworm-updates"), ("bookworm-security",)]


def test_another_release_is_asked_of_the_same_archives() -> None:
    chosen = sources.choose(machine(ARCHIVE, SECURITY), "trixie")
    assert [source.suites for source in chosen] == [("trixie", "trixie-updates"), ("trixie-security",)]
    assert chosen[0].uris == ARCHIVE.uris


def test_unstable_has_no_updates() -> None:
    chosen = sources.choose(machine(ARCHIVE, SECURITY), "sid")
    assert [source.suites for source in chosen] == [("sid",)]


def test_a_machine_without_fitting_sources_says_what_it_has() -> None:
    with pytest.raises(NotFound) as caught:
        sources.choose(machine(PGDG, SECURITY), "bookworm")
    assert "bookworm" in caught.value.message
    assert "bookworm-pgdg" in caught.value.hint


def test_keyrings_are_files_only() -> None:
    key = Source((), (), (), (("Signed-By", "/a.gpg,/b.asc /c.gpg"),))
    block = Source((), (), (), (("Signed-By", "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n /x"),))
    fingerprint = Source((), (), (), (("Signed-By", "6D33866EDD8FFA41C0143AEDDCC9EFBF77E11517"),))
    assert sources.keyrings([key, block, fingerprint]) == ["/a.gpg", "/b.asc", "/c.gpg"]
