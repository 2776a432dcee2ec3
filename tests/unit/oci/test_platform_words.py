"""What a user writes for a platform, and what documents say."""

from __future__ import annotations

import pytest

from wherry.base.errors import Corrupt, Unsupported, WherryError
from wherry.oci import config as configs
from wherry.oci import descriptor
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("aarch64", Platform("linux", "arm64")),
        ("s390x", Platform("linux", "s390x")),
        ("linux/new", Platform("linux", "new")),
        ("linux/arm64/v9.0", Platform("linux", "arm64", "v9")),
        ("windows(10.0.17763)/amd64", Platform("windows", "amd64", "", "10.0.17763")),
        ("windows(+b+a+b)/arm/v7", Platform("windows", "arm", "v7", "", ("a", "b"))),
        ("windows(10.0+win32k)/x86_64/v1", Platform("windows", "amd64", "", "10.0", ("win32k",))),
    ],
)
def test_words_are_normalised(text: str, platform: Platform) -> None:
    assert platforms.parse(text) == platform == platforms.parse(str(platform))


def test_several_platforms_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="several platforms"):
        platforms.parse("linux/amd64,linux/arm64")


@pytest.mark.parametrize("text", ["", "/", "linux//v7", "linux/arm/v7/x", "arm46", "foo"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(WherryError, match="not a platform"):
        platforms.parse(text)


def test_documents_keep_what_an_image_needs_of_its_system() -> None:
    windows = Platform("windows", "amd64", "", "10.0.17763.1935", ("win32k",))
    document = windows.to_json()
    assert document == {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0.17763.1935",
        "os.features": ["win32k"],
    }
    assert platforms.from_json(document) == windows
    config = configs.parse(configs.ImageConfig(windows).encode())
    assert config.platform == windows and config.other == ()
    entry = descriptor.Descriptor("t", digests.of(b""), 0, platform=windows)
    parsed = descriptor.parse(descriptor.make_index((entry,), {"b": "1", "a": "2"}).raw)
    assert isinstance(parsed, descriptor.Index) and parsed.manifests == (entry,)
    assert parsed.annotations == (("a", "2"), ("b", "1"))


@pytest.mark.parametrize("field", ["os", "architecture", "variant", "os.version", "os.features"])
def test_fields_of_the_wrong_type_are_refused(field: str) -> None:
    with pytest.raises(Corrupt, match="platform"):
        platforms.from_json({field: {"a": 1}})
    with pytest.raises(Corrupt, match="platform"):
        platforms.from_json({"os.features": [1]})
