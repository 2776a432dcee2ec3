"""What a step removed, told beside the folder of its changes: where no overlay wrote whiteouts into that."""

from __future__ import annotations


class Told:
    """Complete once the root filesystem is put away. Paths are of what lower layers have."""

    def __init__(self) -> None:
        self.removed: dict[str, list[str]] = {}
        """Names, by folder."""
        self.replaced: set[str] = set()
        """Folders that are other ones now: nothing of lower layers is to be seen in them."""
        self.alike: set[int] = set()
        """Inodes, in a whole tree, all of whose names are names of one file of lower layers."""

    def remove(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self.removed.setdefault(folder, []).append(name)
