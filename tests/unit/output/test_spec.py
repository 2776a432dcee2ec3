"""What `-o` takes, and what it refuses by name."""

from __future__ import annotations

import pytest

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.oci import reference as references
from wherry.output.spec import Spec, parse


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("out", Spec("local", "out")),
        ("-", Spec("tar", "-")),
        ("type=local,dest=out", Spec("local", "out")),
        ("type=tar,dest=-", Spec("tar", "-")),
        ("type=oci,dest=a.tar", Spec("oci", "a.tar")),
        ("type=oci,dest=layout,tar=false", Spec("oci", "layout", tar=False)),
        ("TYPE=docker, dest=a.tar", Spec("docker", "a.tar")),
        ("type=docker", Spec("docker")),
        ("type=image", Spec("image")),
        ('type=tar,"dest=a,b.tar"', Spec("tar", "a,b.tar")),
        ("type=image,name=app", Spec("image", names=(references.parse("app:latest"),))),
        (
            '"name=a:1,b/c:2",type=image',
            Spec("image", names=(references.parse("a:1"), references.parse("b/c:2"))),
        ),
    ],
)
def test_parse(text: str, spec: Spec) -> None:
    assert parse(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=registry,name=a", "registry"),
        ("type=cacheonly", "cacheonly"),
        ("type=oci,dest=a,compression=zstd", "compression"),
        ("type=image,push=true", "push"),
        ("type=local,dest=a,name=b", "name"),
    ],
)
def test_what_is_not_done_is_named(text: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dest=a",
        "type=oci",
        "type=tar",
        "type=local",
        "type=local,dest=-",
        "type=oci,dest=-,tar=false",
        "type=oci,dest=a,tar=maybe",
        "type=oci,dest=a,dest=b",
        "type=oci,dest",
        "type=image,name=UPPER",
        "type=image,name=a@sha256:" + "0" * 64,
    ],
)
def test_wrong_words(text: str) -> None:
    with pytest.raises(WherryError) as caught:
        parse(text)
    assert isinstance(caught.value, UsageError) or "UPPER" in text
