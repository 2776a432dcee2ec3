"""Why files of a step differ from one execution to the next, and what mends it; docs/reproducible.md says it
at greater length.
"""

from __future__ import annotations

import re

_TIME = r"\b\d\d:\d\d:\d\d\b|\b(19|20)\d\d-\d\d-\d\d\b|\b1[6-9]\d{8}\b"
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_OF_PATHS = (
    (r"var/log/.*", "a log of the step: rm -rf /var/log/* in the same RUN"),
    (
        r"etc/machine-id|var/lib/dbus/machine-id",
        "a random ID: rm -f /var/lib/dbus/machine-id; truncate -s 0 /etc/machine-id",
    ),
    (
        r"etc/ssh/ssh_host_.*",
        "keys made at random: rm them in the same RUN, and make them when the image runs",
    ),
    (r"var/cache/ldconfig/aux-cache", "inodes and times, for ldconfig alone: rm it in the same RUN"),
    (
        r"var/lib/apt/lists/.*",
        "lists of packages as they are now: rm -rf /var/lib/apt/lists/* in the same RUN",
    ),
    (r"var/cache/.*", "a cache: rm it in the same RUN, or RUN --mount=type=cache"),
    (r"(root|home/[^/]*)/\.(cache|npm|m2|gradle|cargo)(/.*)?", "a tool's cache: RUN --mount=type=cache"),
    (r"etc/(g?shadow|passwd)-?", "the salt of a password is random; shadow has the day of the last change"),
)
"""Regular expressions for the whole path; a known file has a known reason."""

_OF_DIFFERENCES = (
    (r"^time ", "files have the times that the step gave them: leave --timestamps=keep out"),
    (
        "compiled Python code",
        "an order of constants that is left to luck: PYTHONHASHSEED=0, or PYTHONDONTWRITEBYTECODE=1",
    ),
    ("source in compiled Python", "python -m compileall --invalidation-mode checked-hash records no time"),
    ("time in its gzip header", "gzip puts the time in: gzip -n"),
    (
        "time of its member",
        "an archive has the times of its files: tar --mtime=@$SOURCE_DATE_EPOCH, zip -X, ar D",
    ),
    ("order of its members", "the order in which a folder is listed: tar --sort=name"),
    (_ID, "a random ID is written into it"),
    (_TIME, "the time is written into it: many tools take SOURCE_DATE_EPOCH, see ARG SOURCE_DATE_EPOCH"),
    (r"/tmp/|/var/tmp/|/dev/shm/", "the name of a temporary folder is written into it: give it a fixed one"),
    ("build ID", "a linker's digest of what differs elsewhere: -Wl,--build-id=none, go -ldflags=-buildid="),
)
"""Regular expressions that are searched in what is said to differ."""


def cause(path: str, what: str) -> str:
    """What mostly makes such a file differ, and the cure; "" where that is not known."""
    of_path = (text for known, text in _OF_PATHS if re.fullmatch(known, path))
    of_difference = (text for known, text in _OF_DIFFERENCES if re.search(known, what))
    return next(of_path, "") or next(of_difference, "")
