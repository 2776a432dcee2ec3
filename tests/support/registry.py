"""Debian's docker-registry on a loopback port of the system's choice, with its content in a folder."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.programs import search_path

_CONFIGURATION = """\
version: 0.1
log:
  level: info
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {folder}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:0
  secret: only for tests
"""


@contextmanager
def serve(folder: str, scratch: str, extra: str = "") -> Iterator[str]:
    """`127.0.0.1:<port>`, as long as the context lasts; `extra` is appended to the registry's configuration.

    Content that is in `folder` already is served. The server ends with its parent, whatever ends that.
    """
    configuration, log = os.path.join(scratch, "registry.yml"), os.path.join(scratch, "registry.log")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(_CONFIGURATION.format(folder=folder) + extra)
    with open(log, "wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", configuration],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": search_path(), "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        yield _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: str) -> str:
    import time

    for _ in range(3000):  # a minute: the machine may be busy with other tests
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", text):
            return found.group(1)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"docker-registry did not start:\n{text}")
