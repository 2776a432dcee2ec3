"""The time that stands in everything a build makes, so that the same inputs give the same image.

`SOURCE_DATE_EPOCH` (seconds since 1970; reproducible-builds.org) when it is set, else 1980-01-01, the
earliest time that zip archives can hold. Copied files get it; what a RUN wrote is limited to it.
"""

from __future__ import annotations

import os
import time

from wherry.base.errors import WherryError

DEFAULT_EPOCH = 315532800


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
