"""Which manifest of an index is for a platform: containerd's rules (its package `platforms`, `Only`)."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.oci.descriptor import Descriptor
from wherry.oci.platform import Platform

_ATTESTATION = "vnd.docker.reference.type"


def runnable(platform: Platform) -> list[Platform]:
    """What a machine of `platform` can run, best first: older variants, and the 32-bit kind behind 64."""
    os, architecture, variant = platform
    if architecture == "amd64":
        newest = int(variant[1:]) if variant[1:].isdigit() else 1
        older = [Platform(os, "amd64", f"v{number}") for number in range(newest, 1, -1)]
        return [*older, Platform(os, "amd64"), Platform(os, "386")]
    if architecture == "arm64":
        own = [platform, Platform(os, "arm64")] if variant else [platform]
        return [*own, Platform(os, "arm", "v8"), *_arm(os, 7)]
    if architecture == "arm" and variant[1:].isdigit():
        return _arm(os, int(variant[1:]))
    return [platform]


def choose(manifests: Sequence[Descriptor], platform: Platform) -> Descriptor | None:
    """The manifest to take on `platform`; None where there is none for it.

    Attestations (buildx puts them beside the images) are no images. An index whose entries name no platform
    at all stands for any.
    """
    images = [item for item in manifests if _ATTESTATION not in dict(item.annotations)]
    for wanted in runnable(platform):
        for item in images:
            if item.platform == wanted:
                return item
    if images and all(item.platform is None for item in images):
        return images[0]
    return None


def offered(manifests: Sequence[Descriptor]) -> list[str]:
    """The platforms that an index has images for, to be shown."""
    names = (str(item.platform) for item in manifests if item.platform)
    return sorted({name for name in names if "unknown" not in name})


def _arm(os: str, newest: int) -> list[Platform]:
    return [Platform(os, "arm", f"v{number}") for number in range(newest, 4, -1)]
