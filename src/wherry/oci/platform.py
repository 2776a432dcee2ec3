"""Platforms: `os/architecture[/variant]`, normalised as containerd does (arm64/v8 is arm64)."""

from __future__ import annotations

import os

from wherry.base.errors import Unsupported, WherryError
from wherry.base.tuples import NamedTuple

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i686": ("386", ""),
}


class Platform(NamedTuple):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def normalise(platform: Platform) -> Platform:
    os_name = {"macos": "darwin"}.get(platform.os.lower(), platform.os.lower())
    architecture, variant = _ARCHITECTURES.get(
        platform.architecture.lower(), (platform.architecture.lower(), "")
    )
    variant = platform.variant.lower() or variant
    if (architecture, variant) in {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}:
        variant = ""
    if architecture == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return Platform(os_name, architecture, variant)


def parse(text: str) -> Platform:
    """`linux/arm64/v8`, `linux/amd64`, or an architecture or an os alone."""
    if "," in text:
        raise Unsupported(f"several platforms at once are not supported: {text}", hint="name one of them")
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise WherryError(f"not a platform: {text!r}", hint="write os/architecture, such as linux/amd64")
    if len(parts) == 1:
        here = host()
        if parts[0].lower() in {"linux", "windows", "darwin", "freebsd"}:
            return normalise(Platform(parts[0], here.architecture, here.variant))
        return normalise(Platform(here.os, parts[0]))
    return normalise(Platform(*parts))


def host() -> Platform:
    return normalise(Platform("linux", os.uname().machine))
