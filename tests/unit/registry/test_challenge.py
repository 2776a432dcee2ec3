"""WWW-Authenticate headers as registries send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.registry.challenge import Challenge, choose, parse


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="Registry Realm"', [Challenge("basic", {"realm": "Registry Realm"})]),
        (
            'Bearer realm="https://auth/token",service="r",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {"realm": "https://auth/token", "service": "r", "scope": "repository:a/b:pull,push"},
                )
            ],
        ),
        (
            'Negotiate, Bearer realm="x", Basic realm="y"',
            [
                Challenge("negotiate", {}),
                Challenge("bearer", {"realm": "x"}),
                Challenge("basic", {"realm": "y"}),
            ],
        ),
        (
            'Negotiate YII==, Basic realm="y"',
            [Challenge("negotiate", {}), Challenge("basic", {"realm": "y"})],
        ),
        ("Digest, NTLM", [Challenge("digest", {}), Challenge("ntlm", {})]),
        ("bearer REALM = plain", [Challenge("bearer", {"realm": "plain"})]),
        (r'Basic realm="a \"b\" c"', [Challenge("basic", {"realm": 'a "b" c'})]),
        ('Bearer realm="x", realm="y"', [Challenge("bearer", {"realm": "x"})]),
        ('realm="before any scheme"', []),
        ("", []),
    ],
)
def test_parse(header: str, expected: list[Challenge]) -> None:
    assert parse([header]) == expected


def test_headers_are_parsed_apart() -> None:
    assert parse(['Basic realm="a"', 'realm="b", Bearer realm="c"']) == [
        Challenge("basic", {"realm": "a"}),
        Challenge("bearer", {"realm": "c"}),
    ]


def test_tokens_come_before_passwords() -> None:
    chosen = choose(parse(['Basic realm="a", Digest realm="b", Bearer realm="c"']))
    assert chosen == Challenge("bearer", {"realm": "c"})
    assert choose(parse(["Digest realm=x"])) is None


@given(st.text(max_size=200))
def test_any_header_is_read_to_some_end(header: str) -> None:
    for challenge in parse([header]):
        assert challenge.scheme == challenge.scheme.lower() != ""
