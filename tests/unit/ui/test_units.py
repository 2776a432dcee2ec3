from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import WherryError
from wherry.ui import units

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (74_800_000, "74.8MB"),
        (999_400, "999kB"),
        (999_999, "1MB"),
        (1_080_000_000, "1.08GB"),
        (10**30, "1e+12EB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    assert units.size(count) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0B"), (999, "999B"), (1000, "1.00kB"), (29_120_000, "29.12MB"), (999_999, "1.00MB")],
)
def test_sizes_of_transfers(count: int, expected: str) -> None:
    assert units.bytes_of(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "Less than a second"),
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (HOUR - 1, "59 minutes"),
        (HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_ages(seconds: float, expected: str) -> None:
    assert units.age(seconds) == expected


def test_ago() -> None:
    assert units.ago(100, now=220) == "2 minutes ago"
    assert units.ago(0).endswith(" years ago")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("2024-02-29T12:00:00.123456789Z", 1709208000.123456),
        ("2024-02-29T12:00:00+02:00", 1709200800.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
        ("9999-99-99T00:00:00Z", None),
    ],
)
def test_points_in_time_of_image_configs(text: str, expected: float | None) -> None:
    assert units.parse_rfc3339(text) == expected


@given(st.integers(0, 4_000_000_000))
def test_points_in_time_are_read_as_they_are_written(moment: int) -> None:
    assert units.parse_rfc3339(units.rfc3339(moment)) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [("24h", 86400), ("1h30m", 5400), ("1.5s", 1.5), ("300ms", 0.3), ("2h45m10s", 9910), (".5m", 30)],
)
def test_spans(text: str, expected: float) -> None:
    assert units.duration(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "24", "h", "1y", "1h 30m", "-1h", "1hx"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(WherryError, match="not a span"):
        units.duration(text)


def test_moments() -> None:
    assert units.moment("24h", now=100_000) == 13_600
    assert units.moment("1700000000", now=5) == 1_700_000_000
    assert units.moment("2024-02-29T12:00:00Z", now=5) == 1_709_208_000
    with pytest.raises(WherryError, match="not a date"):
        units.moment("2024-02-31", now=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T19:17:58.353332293Z", 1795288678353332293),
        ("2026-11-21T20:17:58.3+01:00", 1795288678300000000),
        ("2026-11-21T19:17:58Z", 1795288678000000000),
        ("1795288678.000000001", 1795288678000000001),
        ("1795288678", 1795288678000000000),
        ("1.5h", 1795283278000000000),
    ],
)
def test_moments_to_the_nanosecond(text: str, expected: int) -> None:
    assert units.nanoseconds(text, 1795288678.0) == expected
