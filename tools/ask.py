"""ask.py URL: print what a server answers, waiting for it to come up."""

from __future__ import annotations

import sys
import time
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

PATIENCE = 30
"""Seconds."""


def main(url: str) -> int:
    opener = build_opener(ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with opener.open(url, timeout=5) as answer:
                print(answer.read().decode().rstrip())
            return 0
        except (URLError, OSError) as error:
            if time.monotonic() > end:
                print(f"wherry: {url} does not answer: {error}", file=sys.stderr)
                return 1
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
