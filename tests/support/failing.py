"""Builds that fail, and the state of their failed step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from support.cli import Wherry


class Failed(NamedTuple):
    """`id` is what the error says to enter the step by, `err` all that the build said."""

    id: str
    err: str


def fail(wherry: Wherry, folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> Failed:
    """Build `folder`, which must fail in a process."""
    result = wherry("build", "--progress", "plain", *flags, folder, env=env)
    assert result.code == 1, result.err
    found = re.search(r"wherry debug ([0-9a-f]{4,12})$", result.err, re.MULTILINE)
    assert found, result.err
    return Failed(found[1], result.err)
