"""What `-o` takes, and what it refuses by name."""

from __future__ import annotations

import pytest

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.layer.packing import Form
from wherry.oci import reference as references
from wherry.oci.platform import Platform
from wherry.output.annotations import Annotation
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
        ("type=cacheonly", Spec("cacheonly")),
        ("type=registry,name=a", Spec("image", names=(references.parse("a:latest"),), push=True)),
        ("type=image,push=true,unpack=false", Spec("image", push=True)),
        ("type=image,push-by-digest=true", Spec("image", push=True, by_digest=True)),
        ("type=registry,store=false", Spec("image", push=True, store=False)),
        ("type=registry,registry.insecure=true", Spec("image", push=True, insecure=True)),
        ("type=oci,dest=a,compression=zstd", Spec("oci", "a", form=Form("zstd"))),
        (
            "type=oci,dest=a,compression=zstd,compression-level=19,force-compression=true,oci-mediatypes=1",
            Spec("oci", "a", form=Form("zstd", 19, True, True)),
        ),
        ("type=image,oci-mediatypes=false", Spec("image", form=Form(oci=False))),
        ("type=image,rewrite-timestamp=true", Spec("image", rewrites=True)),
        ("type=tar,dest=a,platform-split=false", Spec("tar", "a", split=False)),
        (
            "type=image,annotation.Key.a=v,annotation-index.b=w=1,annotation-manifest[linux/arm64/v8].c=x",
            Spec(
                "image",
                annotations=(
                    Annotation("manifest", "Key.a", "v"),
                    Annotation("index", "b", "w=1"),
                    Annotation("manifest", "c", "x", Platform("linux", "arm64")),
                ),
            ),
        ),
        (
            'type=oci,dest=a,"annotation-manifest-descriptor.a=b,c"',
            Spec("oci", "a", annotations=(Annotation("manifest-descriptor", "a", "b,c"),)),
        ),
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
        ("type=moby", "moby"),
        ("type=local,dest=a,name=b", "name"),
        ("type=tar,dest=a,compression=gzip", "compression"),
        ("type=docker,dest=a,annotation.a=b", "annotation"),
        ("type=oci,dest=a,push=true", "push"),
        ("type=cacheonly,dest=a", "dest"),
        ("type=image,unpack=true", "unpack"),
        ("type=image,name-canonical=1", "name-canonical"),
        ("type=image,oci-artifact=true", "oci-artifact"),
        ("type=image,dangling-name-prefix=x", "dangling-name-prefix"),
        ("type=image,compression=estargz", "estargz"),
        ("type=docker,dest=x,tar=false", "docker archive is a tar"),
        ("type=docker,context=remote", "context"),
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
        "type=oci,dest=a,compression-level=3",
        "type=oci,dest=a,compression=gzip,compression-level=10",
        "type=oci,dest=a,compression=gzip,compression-level=-1",
        "type=oci,dest=a,force-compression=true",
        "type=oci,dest=a,compression=zstd,oci-mediatypes=false",
        "type=image,annotation.a=b,oci-mediatypes=false",
        "type=image,push=maybe",
        "type=image,store=false",
        "type=docker,compression=gzip",
        "type=image,annotation-nothing.a=b",
        "type=image,annotation-index[linux/amd64].a=b",
        "type=image,annotation.=b",
        "type=image,name=UPPER",
        "type=image,name=a@sha256:" + "0" * 64,
    ],
)
def test_wrong_words(text: str) -> None:
    with pytest.raises(WherryError) as caught:
        parse(text)
    assert isinstance(caught.value, UsageError) or "UPPER" in text
