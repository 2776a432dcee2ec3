"""What a monitor has to say when nobody is there to hear it: `monitor.log` in the container's folder."""

from __future__ import annotations

import os
from contextlib import suppress


def complain(text: str) -> None:
    """The monitor's standard error is that file. On a full disk it goes unsaid."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))
