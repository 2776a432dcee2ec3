"""What a user writes for a platform."""

from __future__ import annotations

import pytest

from wherry.base.errors import Unsupported, WherryError
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("aarch64", Platform("linux", "arm64")),
    ],
)
def test_words_are_normalised(text: str, platform: Platform) -> None:
    assert platforms.parse(text) == platform


def test_several_platforms_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="several platforms"):
        platforms.parse("linux/amd64,linux/arm64")


@pytest.mark.parametrize("text", ["", "/", "linux//v7", "linux/arm/v7/x"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(WherryError, match="not a platform"):
        platforms.parse(text)
