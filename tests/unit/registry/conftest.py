"""A registry to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import faulty
from wherry.testing.registry import Registry


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def server(shared_server: Registry) -> Registry:
    """An empty one, as if it were new."""
    return faulty.reset(shared_server)
