"""One path of a layer, as a value: what a tar header says, plus the content's digest and place.

Paths are relative to the root, without leading or trailing slash (`etc/passwd`); the root itself is `""`.
Names are `str` with surrogate escapes (`os.fsdecode`), so every byte sequence that Linux allows survives.
"""

from __future__ import annotations

from wherry.base.tuples import NamedTuple

FILE = "f"
DIRECTORY = "d"
SYMLINK = "l"
HARDLINK = "h"
CHARACTER = "c"
BLOCK = "b"
FIFO = "p"
WHITEOUT = "w"
"""`path` is removed by this layer (tar: an empty `.wh.<name>`; OCI image-spec, layer.md, "Whiteouts")."""
OPAQUE = "o"
"""All that lower layers have in the folder `path` is hidden (tar: `<path>/.wh..wh..opq`)."""


class Entry(NamedTuple):
    path: str
    kind: str
    mode: int = 0
    """Permission bits and setuid, setgid, sticky: 0o7777 at most."""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    """Nanoseconds since 1970."""
    size: int = 0
    """Bytes of content; 0 for all but regular files."""
    link: str = ""
    """A symlink's target as it is written, or the path (as above) of the file that a hard link shares."""
    device: tuple[int, int] = (0, 0)
    """Major and minor number of a device node."""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    """Sorted by name; never overlay's own (`trusted.overlay.*`, `user.overlay.*`)."""
    digest: bytes = b""
    """sha256 of a regular file's content, 32 bytes; empty where it is not known yet."""
    offset: int = -1
    """Where the content begins in the layer's uncompressed tar stream; -1 where there is none."""


def is_same(one: Entry, other: Entry) -> bool:
    """Whether all but the `offset`, the last field, is the same."""
    return one[:-1] == other[:-1]
