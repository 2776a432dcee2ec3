"""Many clients of a web server at once, in a process of their own: `load.py PORT PATH CLIENTS REQUESTS`.

Each client opens a new connection for each of its requests, as browsers of many users do, and leaves at its
first one that fails. A line is printed when all have had an answer, and at the end, as JSON, how often each
answer came. An answer is its text, where it is short, else its digest; or what went wrong.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Barrier, Lock, Thread
from typing import NamedTuple

_SHORT = 1000
"""Bytes of an answer that is told in its own words."""

_PATIENCE = 60
"""Seconds without a byte after which a request has failed: the machine may be busy."""


_BEGUN = b"begun\n"


class Answers(NamedTuple):
    """`right`: how many were as expected; `wrong`: what else came, and how often."""

    right: int
    wrong: dict[str, int]


class Load:
    """Clients at work, each of which has had an answer; `answers` waits for their end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def answers(self, expected: bytes | re.Pattern[str]) -> Answers:
        assert self._process.stdout
        out = self._process.stdout.read()
        assert self._process.wait() == 0
        counts: dict[str, int] = json.loads(out)
        pattern = expected if isinstance(expected, re.Pattern) else re.compile(re.escape(_told(expected)))
        wrong = {text: count for text, count in counts.items() if not pattern.fullmatch(text)}
        return Answers(sum(counts.values()) - sum(wrong.values()), wrong)


@contextmanager
def put_on(port: int, path: str = "/", clients: int = 8, requests: int = 50) -> Iterator[Load]:
    """`clients` at once, each of which asks 127.0.0.1:`port` so often."""
    command = [sys.executable, __file__, str(port), path, str(clients), str(requests)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout
    try:
        assert process.stdout.readline() == _BEGUN
        yield Load(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main(port: int, path: str, clients: int, requests: int) -> None:
    counts: Counter[str] = Counter()
    lock = Lock()
    begun = Barrier(clients + 1)

    def client() -> None:
        for number in range(requests):
            answer, right = _ask(port, path)
            with lock:
                counts[answer] += 1
            if number == 0:
                begun.wait()
            if not right:
                break

    threads = [Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    begun.wait()
    print(_BEGUN.decode(), end="", flush=True)
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


def _ask(port: int, path: str) -> tuple[str, bool]:
    """What came, and whether it is an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        return (_told(body), True) if answer.status == 200 else (f"status {answer.status}", False)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}", False
    finally:
        connection.close()


def _told(body: bytes) -> str:
    return body.decode("latin-1") if len(body) <= _SHORT else hashlib.sha256(body).hexdigest()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
