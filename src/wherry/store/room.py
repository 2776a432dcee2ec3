"""How much room the build cache may take, in the words of `docker buildx prune`."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple


class Room(NamedTuple):
    """Bytes. `reserved` is never taken away; beyond it, no more than `most` is kept, and as little as leaves
    `free` on the disk. `reserved` alone is what is kept."""

    reserved: int | None = None
    most: int | None = None
    free: int | None = None

    def excess(self, used: int, free: int) -> int:
        """How many of `used` bytes are too many where `free` are left on the disk."""
        bounds = [] if self.most is None else [self.most]
        if self.free is not None:
            bounds.append(used - max(self.free - free, 0))
        kept = min(bounds, default=0)
        return max(used - max(kept, self.reserved or 0), 0)
