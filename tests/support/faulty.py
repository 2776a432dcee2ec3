"""What the tests of faults have in common: a server as good as new, and what is a clear error."""

from __future__ import annotations

import re

from wherry.base.errors import WherryError
from wherry.registry.transport import Retries
from wherry.testing.registry import Registry

QUICK = Retries(attempts=3, first=0.001, longest=0.01)
PASSES = ""
"""An expectation: the fault is got over."""


def reset(server: Registry) -> Registry:
    """A server as if it were new, but for its address: to make one takes longer than most tests."""
    for kept in (server.blobs, server.manifests, server.uploads, server.issued):
        kept.clear()
    server.faults.clear()
    server.log.clear()
    return server


def assert_expected(error: WherryError | None, pattern: str) -> None:
    """That `error` is one sentence for people that names the registry, and says what `pattern` does.

    `^$` in a pattern: it need not fail.
    """
    if error is None:
        assert re.search(pattern, ""), f"it passed, and should have said {pattern!r}"
        return
    assert pattern != PASSES, error
    assert re.search(pattern, error.message), error.message
    text = f"{error.message}\n{error.hint}"
    assert re.search(r"127\.0\.0\.1:\d+", text), text
    assert text.count("\n") == 1
    assert text.replace("\n", "").isprintable()
    assert len(text) < 500
    assert not re.search(r"urllib3|Errno|object at|Traceback|<class|Exception|None", text), text
