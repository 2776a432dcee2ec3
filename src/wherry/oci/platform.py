"""Platforms: `os/architecture[/variant]`, normalised as containerd does (arm64/v8 is arm64).

What an image needs of its operating system stands in brackets: `windows(10.0.17763)/amd64`,
`windows(10.0.17763+win32k)/amd64` (containerd's package `platforms`, `FormatAll`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from wherry.base.errors import Corrupt, Unsupported, WherryError
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
_KNOWN = {
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "wasm",
}  # fmt: skip
"""Architectures that may be written alone; with an operating system before it, any word is one."""

_PLAIN_VARIANTS = {("arm64", "v8"), ("arm64", "8"), ("arm64", "v8.0"), ("amd64", "v1")}
"""What goes without saying."""

_SYSTEM = r"([\w.-]+)\(([\w.-]*)((?:\+[\w.-]+)*)\)"
"""`windows(10.0.17763+win32k)`"""


class Platform(NamedTuple):
    """`os_version` and `os_features`: `os.version` and `os.features` of an index or a config, sorted."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        details = "+".join((self.os_version, *self.os_features))
        system = f"{self.os}({details})" if details else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)

    @property
    def plain(self) -> Platform:
        """Without what it says of the operating system."""
        return Platform(self.os, self.architecture, self.variant)

    def to_json(self) -> dict[str, Any]:
        """As an index has it (OCI image-spec, image-index.md, "platform")."""
        document: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            document["os.version"] = self.os_version
        if self.os_features:
            document["os.features"] = list(self.os_features)
        if self.variant:
            document["variant"] = self.variant
        return document


_LONGEST = 128
"""Characters of a field that anybody may have meant."""


def from_json(value: dict[str, Any]) -> Platform:
    """Of an index's entry or a config; Corrupt where a field has the wrong type or cannot be shown."""
    fields = [value.get(key) or "" for key in ("os", "architecture", "variant", "os.version")]
    features = value.get("os.features") or []
    if not isinstance(features, list) or not all(isinstance(field, str) for field in (*fields, *features)):
        raise Corrupt("a platform's field is not a string")
    if not all(field.isprintable() and len(field) <= _LONGEST for field in (*fields, *features)):
        raise Corrupt(f"a platform's field is not printable, or has more than {_LONGEST} characters")
    system, architecture, variant, version = fields
    return normalise(Platform(system, architecture, variant, version, tuple(features)))


def normalise(platform: Platform) -> Platform:
    os_name = {"macos": "darwin"}.get(platform.os.lower(), platform.os.lower())
    architecture, variant = _ARCHITECTURES.get(
        platform.architecture.lower(), (platform.architecture.lower(), "")
    )
    variant = platform.variant.lower() or variant
    if (architecture, variant) in _PLAIN_VARIANTS:
        variant = ""
    if (architecture, variant) in {("arm64", "9"), ("arm64", "v9.0")}:
        variant = "v9"
    if architecture == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    features = tuple(sorted(set(platform.os_features)))
    return Platform(os_name, architecture, variant, platform.os_version, features)


def parse(text: str) -> Platform:
    """`linux/arm64/v8`, `windows(10.0.17763)/amd64`, or an architecture or an os alone."""
    if "," in text:
        raise Unsupported(f"several platforms at once are not supported: {text}", hint="name one of them")
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise WherryError(f"not a platform: {text!r}", hint="write os/architecture, such as linux/amd64")
    system, version, features = _system(parts[0])
    if len(parts) == 1:
        here = host()
        if system.lower() in {"linux", "windows", "darwin", "freebsd"}:
            return normalise(Platform(system, here.architecture, here.variant, version, features))
        alone = normalise(Platform(here.os, parts[0]))
        if alone.architecture not in _KNOWN | {here.architecture}:
            raise WherryError(
                f"not a platform: {text!r} is neither an operating system nor an architecture",
                hint="write os/architecture, such as linux/amd64",
            )
        return alone
    return normalise(Platform(system, parts[1], "".join(parts[2:]), version, features))


def parse_list(texts: Sequence[str]) -> tuple[Platform, ...]:
    """Of `linux/amd64,linux/arm64`, any number of times; each once. `local` is this machine's."""
    words = (word.strip() for text in texts for word in text.split(","))
    return tuple(dict.fromkeys(host() if word == "local" else parse(word) for word in words))


def host() -> Platform:
    return normalise(Platform("linux", os.uname().machine))


def _system(text: str) -> tuple[str, str, tuple[str, ...]]:
    """Operating system, its version and features."""
    if "(" in text and (found := re.fullmatch(_SYSTEM, text, re.ASCII)):
        return found[1], found[2], tuple(found[3].split("+")[1:])
    return text, "", ()
