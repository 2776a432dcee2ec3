"""The account of a build: how each of its steps went, and why. Kept beside its plan, for `wherry explain`.

Values alone: this is on the way of a build with nothing to do. Why a step was executed is found out in
`misses.py`, before it is, and in `comparing.py` behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wherry.base import values
from wherry.base.events import Tally
from wherry.base.tuples import NamedTuple
from wherry.oci.digest import Digest

if TYPE_CHECKING:
    from wherry.build.solve import Outcome
    from wherry.build.times import Times

EXECUTED, EXACT, OBSERVED, FAILED, BASE = "executed", "exact", "observed", "failed", "base"

NEW = "new"
"""No result of such a step is known; `changes` say what is other than in the last build, if there is one."""
FILES = "files"
"""Other files are copied than the last time: what was copied then is the layer `before`."""
DIFFERS = "differs"
"""What it looked at differs from what it found the last time: `differences`."""
UNOBSERVED = "unobserved"
"""Its result holds on its own layers alone, since it is not known what it looked at: `text` says why."""
NOTHING_COPIED = "nothing was copied or mounted below it, so it was not observed"
"""A reason that says nothing of the step itself."""
REFUSED = "refused"
"""There may be a result, and it was not wanted: `text` says why."""
REMOVED = "removed"
"""It has been executed before, and what it gave is not in the store any more."""
LOST = "lost"
"""The layers that its last result was made on are not in the store any more: nothing can be compared."""
FAILED_BEFORE = "failed before"
"""It has been executed in the last build, and failed."""
OTHER_MODE = "mode"
"""Its result was made in another mode (docs/modes.md), which can change it."""


class Difference(NamedTuple):
    """A path that is not as it was, and in what: see `snapshot/differences.py`, `ways`.

    `tree` is 0 for the step's root filesystem; n for what its input n - 1 shows.
    """

    path: str
    how: tuple[str, ...]
    tree: int = 0


class Change(NamedTuple):
    """What of a step is other than in the last build: `what` is ENV, USER, ..., `name` which one of several.

    None stands for what is not there.
    """

    what: str
    name: str = ""
    old: str | None = None
    new: str | None = None


class Miss(NamedTuple):
    """Why no result held: `cause` is one of those above. `more` differences are not listed."""

    cause: str
    text: str = ""
    differences: tuple[Difference, ...] = ()
    more: int = 0
    changes: tuple[Change, ...] = ()
    before: Digest | None = None


class Went(NamedTuple):
    """How a step went: `result` is one of the words above, "" where the build did not come to it.

    `seconds` is how long it was executed, now or when the result was made that is reused; `layer` is what it
    gave. Of a result that was observed: of `copied` files below it, it read `read`, some of them by `names`.
    `miss` says why it was executed, `unobserved` why it is not known what it looked at. Of FROM, `changes`
    say that its image is another one.
    """

    result: str = ""
    seconds: float = 0.0
    layer: Digest | None = None
    copied: int = 0
    read: int = 0
    names: tuple[str, ...] = ()
    miss: Miss | None = None
    unobserved: str = ""
    changes: tuple[Change, ...] = ()


class Account(NamedTuple):
    """`seconds` is what the whole build took; `steps` are those of its plan. `epoch` is the time of files in
    layers, in seconds since 1970; `timestamps` says so where they keep their own (`Times.word`)."""

    seconds: float
    steps: tuple[Went, ...]
    epoch: int = 0
    timestamps: str = ""


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


def written(account: Account) -> dict[str, Any]:
    """The account as JSON, for `values.decode`. Most steps say little: the rest is left out."""
    defaults = Went._field_defaults
    steps = [
        {name: values.encode(item) for name, item in went._asdict().items() if item != defaults[name]}
        for went in account.steps
    ]
    document: dict[str, Any] = values.encode(account._replace(steps=()))
    return document | {"steps": steps}


def with_step(account: Account, number: int, went: Went) -> Account:
    """The account with another line for one step."""
    return account._replace(steps=(*account.steps[:number], went, *account.steps[number + 1 :]))


def account(outcomes: Sequence[Outcome | None], seconds: float, times: Times) -> Account:
    """Of all steps of a plan; None where the build did not come to one."""
    steps = tuple(outcome.went if outcome else Went() for outcome in outcomes)
    return Account(seconds, steps, times.epoch, times.word)
