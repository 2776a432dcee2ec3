"""The time that stands in everything a build makes, so that the same inputs give the same image.

`SOURCE_DATE_EPOCH` (seconds since 1970; reproducible-builds.org) when it is set, else 1980-01-01, the
earliest time that zip archives can hold. Copied files get it; what a RUN wrote is limited to it. With
`--timestamps=keep` both keep their own, limited to `SOURCE_DATE_EPOCH` where that is set.
"""

from __future__ import annotations

import os
import time

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple

SECOND = 1_000_000_000

FIXED, KEEP = "fixed", "keep"

DEFAULT_EPOCH = 315532800


class Times(NamedTuple):
    """What times files in layers get. `epoch`, in seconds since 1970, is that of what has none of its own;
    `is_given`: whether the user has set it."""

    epoch: int = DEFAULT_EPOCH
    is_given: bool = False
    keeps: bool = False

    @property
    def fixed(self) -> int:
        """`epoch` in nanoseconds."""
        return self.epoch * SECOND

    @property
    def limit(self) -> int | None:
        """The latest time, in seconds, that what a RUN wrote may have; None where it may have any."""
        return self.epoch if self.is_given or not self.keeps else None

    def of(self, mtime: int) -> int:
        """The time of a copied file whose own is `mtime`; both in nanoseconds, and this in whole seconds."""
        if not self.keeps:
            return self.fixed
        seconds = mtime // SECOND
        return (min(seconds, self.epoch) if self.is_given else seconds) * SECOND

    @property
    def word(self) -> str:
        """For recipes: nothing where times are fixed."""
        return "" if not self.keeps else "limit" if self.is_given else "keep"


def times(build_argument: str | None, timestamps: str) -> Times:
    """For `--timestamps`; the epoch as below."""
    is_given = bool(os.environ.get("SOURCE_DATE_EPOCH", "") if build_argument is None else build_argument)
    return Times(epoch(build_argument), is_given, timestamps == KEEP)


def epoch(build_argument: str | None = None) -> int:
    """Seconds; a `--build-arg SOURCE_DATE_EPOCH` goes before the variable of that name."""
    text = build_argument if build_argument is not None else os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return DEFAULT_EPOCH
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > 2**33:
        raise WherryError(f"SOURCE_DATE_EPOCH is {text!r}", hint="it is a whole number of seconds since 1970")
    return int(text)


def rfc3339(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
