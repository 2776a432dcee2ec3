"""Which image of an index a machine takes."""

from __future__ import annotations

import pytest

from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import of
from wherry.oci.match import choose, offered, runnable, suits


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
        ("linux/arm64/v8.2", ["linux/arm64", "linux/arm64/v8.1", "linux/arm64/v8.3"], "linux/arm64/v8.1"),
        ("linux/arm64/v9", ["linux/arm64/v8.6", "linux/arm64/v8.5", "linux/arm64/v9.1"], "linux/arm64/v8.5"),
        ("linux/arm64/v9.1", ["linux/arm64/v8.6", "linux/arm64/v9", "linux/arm/v7"], "linux/arm64/v9"),
        ("linux/arm64", ["linux/arm64/v9", "linux/arm64/v8.1"], None),
        ("linux/arm64/strange", ["linux/arm64", "linux/arm64/strange"], "linux/arm64/strange"),
        ("linux/amd64/v2", ["linux/amd64/v3", "linux/386"], "linux/386"),
        ("linux/arm/v4", ["linux/arm/v5"], None),
        ("windows/amd64", ["linux/amd64", "windows(10.0.17763.1)/amd64"], "windows(10.0.17763.1)/amd64"),
        (
            "windows/amd64",
            ["windows(10.0.9999.1)/amd64", "windows(10.0.20348.9)/amd64", "windows(10.0.20348.10)/amd64"],
            "windows(10.0.20348.10)/amd64",
        ),
        (
            "windows(10.0.17763)/amd64",
            ["windows(10.0.20348.9)/amd64", "windows(10.0.17763.1)/amd64", "windows(10.0.177631)/amd64"],
            "windows(10.0.17763.1)/amd64",
        ),
        ("windows(10.0.17763)/amd64", ["windows(10.0.20348.9)/amd64"], None),
        ("windows(10.0.17763)/amd64", ["windows/amd64"], "windows/amd64"),
        ("windows/amd64", ["windows(10.0.17763.1+win32k)/amd64"], "windows(10.0.17763.1+win32k)/amd64"),
        ("linux/amd64", ["linux(+sgx)/amd64", "linux/386"], "linux/386"),
        ("linux(+sgx+tdx)/amd64", ["linux(+sgx)/amd64", "linux/amd64"], "linux(+sgx)/amd64"),
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


@pytest.mark.parametrize("unknown", ["unknown/unknown", "unknown/amd64"])
def test_what_is_for_no_known_platform_is_no_image(unknown: str) -> None:
    """buildx's attestations, where a tool has lost the annotations."""
    (entry,) = _entries(unknown)
    assert choose([entry], platforms.parse("linux/amd64")) is None
    assert choose([entry], platforms.parse(unknown)) is None


@pytest.mark.parametrize(
    ("wanted", "image", "suitable"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v1", True),
        ("linux/amd64", "linux/386", False),
        ("linux/amd64/v3", "linux/amd64/v2", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64", "linux/arm/v7", False),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("windows(10.0)/amd64", "windows(10.0.17763)/amd64", True),
        ("windows(10.0)/amd64", "windows(10.00.17763)/amd64", False),
        ("linux(6)/amd64", "linux(5)/amd64", True),
    ],
)
def test_strict_matching(wanted: str, image: str, suitable: bool) -> None:
    """containerd's `OnlyStrict`: only Windows has versions that keep images from running."""
    assert suits(platforms.parse(wanted), platforms.parse(image)) is suitable


def test_what_is_offered() -> None:
    entries = _entries("linux/arm64", "linux/amd64", "linux/amd64")
    unknown = entries[0]._replace(platform=platforms.Platform("unknown", "unknown"))
    assert offered([*entries, unknown, entries[0]._replace(platform=None)]) == ["linux/amd64", "linux/arm64"]


def test_a_machine_runs_its_own_platform_first() -> None:
    for name in (
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "linux/riscv64",
        "linux/amd64/v3",
        "linux/arm64/v9.2",
    ):
        assert runnable(platforms.parse(name))[0] == platforms.parse(name)
