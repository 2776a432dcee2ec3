"""The account of a build: how each of its steps went, and why. Kept beside its plan, for `wherry explain`.

Values alone: this is on the way of a build with nothing to do. What they say is found out in `records.py` and
`misses.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from wherry.base.events import Tally
from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest

if TYPE_CHECKING:
    from wherry.build.solve import Outcome

EXECUTED, EXACT, OBSERVED, FAILED = "executed", "exact", "observed", "failed"


class Went(NamedTuple):
    """How a step went: `result` is one of the words above, "" where the build did not come to it.

    `seconds` is how long it was executed, now or when the result was made that is reused; `layer` is what it
    gave. Of a result that was observed: of `copied` files below it, it read `read`, some of them by `names`.
    """

    result: str = ""
    seconds: float = 0.0
    layer: Digest | None = None
    copied: int = 0
    read: int = 0
    names: tuple[str, ...] = ()


class Account(NamedTuple):
    """`seconds` is what the whole build took; `steps` are those of its plan."""

    seconds: float
    steps: tuple[Went, ...]


def counts(name: str) -> bool:
    """Whether a step of that name is one of an instruction that does something: FROM and what mounts need
    are not."""
    label, _, instruction = name.partition("] ")
    return label.startswith("[") and label != "[internal" and not instruction.startswith("FROM ")


def tally(names: Iterable[str], account: Account) -> Tally:
    """The steps that count, those that were reused and those that were executed, and what was saved."""
    counted = [went for name, went in zip(names, account.steps, strict=True) if counts(name)]
    reused = [went for went in counted if went.result in (EXACT, OBSERVED)]
    executed, failed = (sum(went.result == word for went in counted) for word in (EXECUTED, FAILED))
    saved = sum(went.seconds for went in reused)
    return Tally(len(counted), len(reused), executed, failed, account.seconds, saved)


def account(outcomes: Sequence[Outcome | None], seconds: float) -> Account:
    """Of all steps of a plan; None where the build did not come to one."""
    return Account(seconds, tuple(outcome.went if outcome else Went() for outcome in outcomes))
