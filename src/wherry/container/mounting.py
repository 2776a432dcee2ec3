"""What is mounted in a container, and docker's words for it."""

from __future__ import annotations

import os

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.container.names import NAME


class Volume(NamedTuple):
    """One mount: `kind` is "bind" (`source` is an absolute host path) or "volume" (`source` is its name).

    `copy`: a volume that is empty gets what the image has at `target`. An anonymous volume goes with its
    container; its name is chosen when the container is created.
    """

    kind: str
    source: str
    target: str
    read_only: bool = False
    copy: bool = True
    anonymous: bool = False


def parse_volume(word: str) -> Volume:
    """`host path:target[:options]`, `name:target[:options]` or `target` alone (an anonymous volume).

    A source that begins with `/`, `./` or `../` (or is `.` or `..`) is a host path, taken from the working
    directory; any other is a volume's name.
    """
    parts = word.split(":")
    if len(parts) == 1:
        return Volume("volume", "", _target(parts[0], word), anonymous=True)
    if len(parts) > 3 or not parts[0]:
        raise UsageError(f"invalid volume: {word}", hint="write -v source:/target or -v source:/target:ro")
    read_only, copy = _volume_options(parts[2] if len(parts) == 3 else "", word)
    target = _target(parts[1], word)
    source = parts[0]
    if source in (".", "..") or source.startswith(("/", "./", "../")):
        return Volume("bind", os.path.abspath(source), target, read_only, copy=False)
    if not NAME.fullmatch(source):
        raise UsageError(
            f"invalid volume name in -v {word}: {source!r}",
            hint="a name has letters, digits, _ . -; a host path begins with / or ./",
        )
    return Volume("volume", source, target, read_only, copy)


def _volume_options(text: str, word: str) -> tuple[bool, bool]:
    """Read-only, and whether to copy the image's content. `z`, `Z` (SELinux labels) are not needed here."""
    read_only, copy = False, True
    for option in text.split(",") if text else ():
        if option in ("ro", "rw"):
            read_only = option == "ro"
        elif option == "nocopy":
            copy = False
        elif option not in ("z", "Z", "rprivate", "private"):
            raise Unsupported(
                f"-v {word}: the option {option!r} is not supported", hint="ro, rw and nocopy are"
            )
    return read_only, copy


def _target(path: str, word: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"invalid volume {word}: the path in the container must be absolute")
    normal = "/" + os.path.normpath(path).lstrip("/")
    if normal == "/":
        raise UsageError(f"invalid volume {word}: the target cannot be /")
    return normal
