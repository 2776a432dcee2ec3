"""Folders that were moved out of their place in the store for a while, and come back after a kill.

Where nothing can be mounted, a step's cache is moved into its root filesystem. The step's scratch folder then
has a file `lent` that says where from; whoever sweeps that scratch folder brings the caches home first.
"""

from __future__ import annotations

import os

from wherry.base.tuples import NamedTuple

_NAME = "lent"


class Loan(NamedTuple):
    home: str
    """Where the folder belongs."""
    place: str
    """Where it was put: below the scratch folder, whose content is not to be trusted."""
    inode: int


def write_down(scratch: str, loans: list[Loan]) -> None:
    import json

    with open(f"{scratch}/{_NAME}", "w", encoding="utf-8") as file:
        json.dump(loans, file)


def bring_home(scratch: str) -> None:
    """What is still where it was put goes back; a cache that a killed step has moved elsewhere is lost."""
    import json

    try:
        with open(f"{scratch}/{_NAME}", encoding="utf-8") as file:
            loans = [Loan(*loan) for loan in json.load(file)]
    except (OSError, ValueError, TypeError):
        return  # nothing was lent, or the kill came while it was written down
    for loan in loans:
        try:
            # A link in the step's tree may lead anywhere: it must be the folder that was lent.
            if os.lstat(loan.place).st_ino == loan.inode:
                os.rename(loan.place, loan.home)
        except OSError:
            pass  # not there, or another has made a new one meanwhile
