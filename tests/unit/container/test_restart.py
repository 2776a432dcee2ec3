"""Restart policies, and what they wait."""

from __future__ import annotations

import pytest

from wherry.base.errors import UsageError
from wherry.container.options.restart import Backoff, Restart, parse


@pytest.mark.parametrize(
    ("word", "policy"),
    [
        ("", Restart()),
        ("no", Restart("no")),
        ("always", Restart("always")),
        ("unless-stopped", Restart("unless-stopped")),
        ("on-failure", Restart("on-failure")),
        ("on-failure:0", Restart("on-failure")),
        ("on-failure:7", Restart("on-failure", 7)),
    ],
)
def test_words(word: str, policy: Restart) -> None:
    assert parse(word) == policy


@pytest.mark.parametrize(
    "word", ["never", "Always", "always:3", "no:1", "on-failure:", "on-failure:-1", "on-failure:x", ":3"]
)
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(UsageError, match="invalid restart policy"):
        parse(word)


def test_the_wait_doubles_up_to_a_minute() -> None:
    backoff = Backoff(Restart("always"))
    waits = [backoff.next(0, lasted=1) for _ in range(12)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60]
    assert backoff.restarts == 12


def test_a_long_run_begins_anew() -> None:
    backoff = Backoff(Restart("always"))
    assert [backoff.next(0, lasted) for lasted in (1, 9.9, 10, 1)] == [0.1, 0.2, 0.1, 0.2]


def test_on_failure_counts() -> None:
    backoff = Backoff(Restart("on-failure", 2))
    assert backoff.next(0, 1) is None
    assert [backoff.next(1, 1) is None for _ in range(3)] == [False, False, True]
    assert backoff.restarts == 2


def test_no_policy_is_no_restart() -> None:
    assert Backoff(Restart()).next(1, 1) is None
    assert not Restart()
