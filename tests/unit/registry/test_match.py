"""Which image of an index a machine takes."""

from __future__ import annotations

import pytest

from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import of
from wherry.oci.match import choose, offered, runnable


def _entries(*names: str) -> list[Descriptor]:
    return [
        Descriptor(media.MANIFEST, of(name.encode()), 1, platform=platforms.parse(name)) for name in names
    ]


@pytest.mark.parametrize(
    ("machine", "offers", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386"], "linux/386"),
        ("linux/amd64", ["linux/amd64/v3", "windows/amd64"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm64", ["linux/arm/v5", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/s390x", ["linux/amd64", "linux/s390x"], "linux/s390x"),
        ("linux/s390x", [], None),
    ],
)
def test_choice(machine: str, offers: list[str], chosen: str | None) -> None:
    found = choose(_entries(*offers), platforms.parse(machine))
    assert (found and found.platform) == (platforms.parse(chosen) if chosen else None)


def test_entries_without_platforms_stand_for_any() -> None:
    plain = [entry._replace(platform=None) for entry in _entries("linux/amd64", "linux/arm64")]
    assert choose(plain, platforms.parse("linux/s390x")) == plain[0]
    assert choose([*plain, *_entries("linux/arm64")], platforms.parse("linux/s390x")) is None


def test_attestations_are_no_images() -> None:
    (entry,) = _entries("linux/amd64")
    attestation = entry._replace(annotations=(("vnd.docker.reference.type", "attestation-manifest"),))
    assert choose([attestation], platforms.parse("linux/amd64")) is None
    assert choose([attestation, entry], platforms.parse("linux/amd64")) == entry


def test_what_is_offered() -> None:
    entries = _entries("linux/arm64", "linux/amd64", "linux/amd64")
    unknown = entries[0]._replace(platform=platforms.Platform("unknown", "unknown"))
    assert offered([*entries, unknown, entries[0]._replace(platform=None)]) == ["linux/amd64", "linux/arm64"]


def test_a_machine_runs_its_own_platform_first() -> None:
    for name in ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64", "linux/amd64/v3"):
        assert runnable(platforms.parse(name))[0] == platforms.parse(name)
