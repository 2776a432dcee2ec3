"""Instructions as one line: for progress, and for `created_by` of the history in docker's form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from wherry.base.errors import WherryError
from wherry.dockerfile.instructions import Add, Arg, Copy
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform

_PASSWORD = re.compile(r"(\b(?:https?|ssh|git)://)[^/?#\s]*@")
"""A password may have an `@` of its own: the last one before the path counts (WHATWG URL, 4.4)."""
_PLAIN_USER = re.compile(r"(?:ssh|git)://[\w.-]+@")


def redacted(text: str) -> str:
    """`text` without the names and passwords that stand in its URLs."""
    return _PASSWORD.sub(_hidden, text) if "://" in text else text


def _hidden(found: re.Match[str]) -> str:
    # `ssh://git@` says nothing about anybody
    return found[0] if _PLAIN_USER.fullmatch(found[0]) else f"{found[1]}xxxxx@"


def line(original: str) -> str:
    return " ".join(original.split())


def pairs(keyword: str, items: tuple[tuple[str, str], ...]) -> str:
    return " ".join([keyword, *(f"{name}={value}" for name, value in items)])


def words(keyword: str, items: tuple[str, ...]) -> str:
    """`CMD ["python" "app.py"]`."""
    quoted = " ".join('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items)
    return f"{keyword} [{quoted}]"


def arguments(instruction: Arg, values: Mapping[str, str | None]) -> str:
    parts = ["ARG"]
    for argument in instruction.arguments:
        value = values.get(argument.name)
        parts.append(argument.name if value is None else f"{argument.name}={value}")
    return " ".join(parts)


def run(args: tuple[str, ...], build_arguments: Mapping[str, str]) -> str:
    """`RUN |1 VERSION=2 /bin/sh -c make`: the arguments that the process saw stand before it."""
    seen = [f"{name}={value}" for name, value in sorted(build_arguments.items())]
    return " ".join(["RUN", *([f"|{len(seen)}", *seen] if seen else []), *args])


def copy(keyword: str, instruction: Copy | Add) -> str:
    flags = [f"--chown={instruction.chown}"] if instruction.chown else []
    flags += [f"--chmod={instruction.chmod}"] if instruction.chmod else []
    if isinstance(instruction, Copy) and instruction.origin:
        flags.append(f"--from={instruction.origin}")
    if isinstance(instruction, Copy) and instruction.parents:
        flags.append("--parents")
    flags += [f"--exclude={pattern}" for pattern in instruction.excludes]
    inline = [file.name for file in instruction.files]
    return redacted(" ".join([keyword, *flags, *instruction.sources, *inline, instruction.target]))


def target(platform: Platform, variable: Callable[[str], str | None]) -> str:
    """`->arm64` for a step on `platform` whose variables say that it is about another one; else nothing."""
    parts = [variable(f"TARGET{name}") or "" for name in ("OS", "ARCH", "VARIANT")]
    text = variable("TARGETPLATFORM")
    if not (text or any(parts)):
        return ""
    try:
        aimed = platforms.parse(text) if text else platforms.normalise(Platform(parts[0], parts[1], parts[2]))
    except WherryError:
        return ""  # an ENV or ARG of that name, and of the user's own
    if aimed.os and aimed.os != platform.os:
        return f"->{aimed}"
    if not aimed.architecture or aimed.architecture == platform.architecture:
        return ""
    return f"->{'/'.join(filter(None, (aimed.architecture, aimed.variant)))}"
