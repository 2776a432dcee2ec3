"""Runs commands and tells what they took. Started by measure.py as a program of its own, and kept small.

The kernel counts the memory that a process had before its exec as the new program's own: a command must
not be started by a large process if its peak is to be known.

Reads one JSON list a line, [command, environment]; answers [exit code, seconds, bytes, standard error].
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    for line in sys.stdin:
        command, environment = json.loads(line)
        errors = os.memfd_create("errors")
        null = os.open("/dev/null", os.O_RDWR)
        actions = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ]
        begun = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - begun
        size = os.fstat(errors).st_size
        text = os.pread(errors, 300, max(0, size - 300)).decode(errors="replace")
        print(
            json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss * 1024, text]), flush=True
        )
        os.close(errors)
        os.close(null)


main()
