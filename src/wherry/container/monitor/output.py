"""What a container writes, as its monitor keeps it."""

from __future__ import annotations

from wherry.container.log import Writer
from wherry.container.monitor.complaints import complain
from wherry.container.options import loglimits
from wherry.container.options.loglimits import LogLimits


class Output:
    """The container's log. A full disk costs log, not the container; it is said once."""

    def __init__(self, path: str, limits: LogLimits) -> None:
        self._writer = Writer(path, limits.size, limits.files) if limits.driver == loglimits.FILE else None
        self._has_failed = False

    def take(self, stream: int, data: bytes) -> None:
        try:
            if self._writer:
                self._writer.write(stream, data)
        except OSError as error:
            self._tell(error)

    def close(self) -> None:
        try:
            if self._writer:
                self._writer.close()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            complain(f"output is missing in the log: {error.strerror}")
