"""One JSON object a line for each event, for programs that watch a build.

`event` is the kind in lower case, the rest are the fields of base/events.py. Output is bytes: `data` is
base64, as in BuildKit's rawjson.
"""

from __future__ import annotations

import json
from threading import Lock
from types import TracebackType
from typing import TextIO

from wherry.base.events import Emit, Event, Output


class RawJson:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()

    def __enter__(self) -> Emit:
        return self._emit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _emit(self, event: Event) -> None:
        fields = event._asdict()
        if isinstance(event, Output):
            from base64 import b64encode

            fields["data"] = b64encode(event.data).decode()
        line = json.dumps({"event": type(event).__name__.lower(), **fields}, separators=(",", ":"))
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()
