"""Which image of an index is for a platform: containerd's rules (its package `platforms`, `Only`)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wherry.oci.descriptor import Descriptor
from wherry.oci.platform import Platform

_ATTESTATION = "vnd.docker.reference.type"
_UNKNOWN = "unknown"
_ARM64 = re.compile(r"v([89])(?:\.(\d))?")
_IN_ALL_BUT_NANO_SERVER = "win32k"
"""A feature that Windows' hosts have without saying so."""


def runnable(platform: Platform) -> list[Platform]:
    """What a machine of `platform` can run, best first: older variants, and the 32-bit kind behind 64."""
    variants: list[tuple[str, str]] = []
    if platform.architecture == "amd64":
        newest = int(platform.variant[1:]) if platform.variant[1:].isdigit() else 1
        variants = [("amd64", f"v{number}" if number > 1 else "") for number in range(newest, 0, -1)]
        variants.append(("386", ""))
    elif platform.architecture == "arm64":
        variants = [("arm64", variant) for variant in _arm64(platform.variant)] + _arm(8)
    elif platform.architecture == "arm" and platform.variant[1:].isdigit():
        variants = _arm(int(platform.variant[1:]))
    found = [platform]
    for architecture, variant in variants:
        found.append(platform._replace(architecture=architecture, variant=variant))
    return list(dict.fromkeys(found))


def suits(wanted: Platform, offered: Platform | None) -> bool:
    """Whether an image for `offered` is one for `wanted` itself, not for what it runs besides (containerd's
    `OnlyStrict`). It may need no feature of the operating system that was not asked for. A version of Windows
    is taken by its first numbers: 10.0.17763 is 10.0.17763.1935 too.
    """
    if offered is None or offered[:3] != wanted[:3]:
        return False
    if not set(offered.os_features) - {_IN_ALL_BUT_NANO_SERVER} <= set(wanted.os_features):
        return False
    if wanted.os != "windows" or not wanted.os_version or not offered.os_version:
        return True
    return f"{offered.os_version}.".startswith(f"{wanted.os_version}.")


def best(offered: Sequence[Platform | None], platform: Platform) -> int | None:
    """Which of the platforms `offered` is the one for `platform`, by its number; None where none is.

    Of several that are equally good it is the first, for Windows the one of the newest version. Where none is
    named at all the first stands for any.
    """
    for wanted in runnable(platform):
        fitting = [number for number, item in enumerate(offered) if suits(wanted, item)]
        if fitting and wanted.os == "windows":
            return max(fitting, key=lambda number: (_newness(offered[number]), -number))
        if fitting:
            return fitting[0]
    return 0 if offered and not any(offered) else None


def choose(manifests: Sequence[Descriptor], platform: Platform) -> Descriptor | None:
    """The manifest to take on `platform`; None where there is none for it.

    An index whose entries name no platform at all stands for any.
    """
    images = [item for item in manifests if not is_attestation(item)]
    number = best([item.platform for item in images], platform)
    return None if number is None else images[number]


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index's entry is what buildx puts beside the images, and no image."""
    return _ATTESTATION in dict(entry.annotations) or (
        entry.platform is not None and _UNKNOWN in (entry.platform.os, entry.platform.architecture)
    )


def offered(manifests: Sequence[Descriptor]) -> list[str]:
    """The platforms that an index has images for, to be shown."""
    return sorted({str(item.platform) for item in manifests if item.platform and not is_attestation(item)})


def _newness(platform: Platform | None) -> tuple[int, ...]:
    numbers = platform.os_version.split(".") if platform else ()
    return tuple(int(number) if number.isdecimal() and number.isascii() else 0 for number in numbers)


def _arm64(variant: str) -> list[str]:
    """v9.x is as good as v8.(x+5) (Arm's architecture reference manual, A2.1)."""
    parsed = _ARM64.fullmatch(variant or "v8")
    if parsed is None:
        return []
    minor = int(parsed[2] or 0)
    nines = [f"v9.{number}" if number else "v9" for number in range(minor, -1, -1)]
    if parsed[1] == "9":
        minor = min(minor + 5, 9)
    eights = [f"v8.{number}" if number else "" for number in range(minor, -1, -1)]
    return [*(nines if parsed[1] == "9" else ()), *eights]


def _arm(newest: int) -> list[tuple[str, str]]:
    return [("arm", f"v{number}") for number in range(newest, 4, -1)]
