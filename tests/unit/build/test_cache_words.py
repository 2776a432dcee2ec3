"""--cache-from and --cache-to as they are written."""

from __future__ import annotations

import pytest

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.build.carry import spec
from wherry.build.carry.spec import Place, Target
from wherry.oci import reference as references
from wherry.oci.digest import Digest

NAME = references.parse("localhost:5000/cache:v1")
DIGEST = Digest(f"sha256:{'a' * 64}")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("localhost:5000/cache:v1", Place(NAME)),
        ("type=registry,ref=localhost:5000/cache:v1", Place(NAME)),
        ("TYPE=registry,REF=localhost:5000/cache:v1", Place(NAME)),
        ("type=registry,ref=app", Place(references.parse("app:latest"))),
        ("type=local,src=/c", Place(folder="/c")),
        ("type=local,src=/c,tag=main", Place(folder="/c", tag="main")),
        (f"type=local,src=/c,digest={DIGEST}", Place(folder="/c", digest=DIGEST)),
        ('type=local,"src=/a,b"', Place(folder="/a,b")),
    ],
)
def test_where_a_cache_is_read(text: str, place: Place) -> None:
    assert spec.source(text) == place


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("type=inline", Target()),
        ("type=local,dest=/c", Target(Place(folder="/c", tag="latest"))),
        ("type=local,dest=/c,tag=main,mode=max", Target(Place(folder="/c", tag="main"), whole=True)),
        ("type=registry,ref=localhost:5000/cache:v1,mode=min", Target(Place(NAME))),
        (
            "type=registry,ref=localhost:5000/cache:v1,oci-mediatypes=true,image-manifest=true",
            Target(Place(NAME)),
        ),
        (
            "type=registry,ref=localhost:5000/cache:v1,compression=zstd,compression-level=19,ignore-error=true",
            Target(Place(NAME), compression="zstd", level=19, may_fail=True),
        ),
        (
            "type=local,dest=/c,compression=uncompressed",
            Target(Place(folder="/c", tag="latest"), False, "uncompressed"),
        ),
    ],
)
def test_where_a_cache_is_written(text: str, target: Target) -> None:
    assert spec.target(text) == target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=gha", "--cache-from: the cache type gha is not supported"),
        ("type=s3,bucket=x", "the cache type s3 is not supported"),
        ("type=inline", "the cache type inline is not supported"),
        ("src=/c", "type= is missing"),
        ("type=local", "src is missing"),
        ("type=local,src=", "src is missing"),
        ("type=local,dest=/c", "unknown option 'dest'"),
        ("type=local,src=/c,digest=1", "'1' is no sha256 digest"),
        ("type=registry", "ref is missing"),
        ("type=registry,ref=NO", "NO"),
        ("NO", "NO"),
        ("type=registry,ref", "'ref' is not of the form key=value"),
    ],
)
def test_sources_that_mean_nothing(text: str, reason: str) -> None:
    with pytest.raises(WherryError, match=reason) as caught:
        spec.source(text)
    assert isinstance(caught.value, UsageError | Unsupported)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=azblob,name=x", "--cache-to: the cache type azblob is not supported"),
        ("/folder", "'/folder' is not of the form key=value"),
        ("type=inline,mode=max", "the type inline has no mode"),
        ("type=inline,ref=x", "unknown option 'ref'"),
        ("type=local,dest=/c,mode=all", "mode=all: it is min or max"),
        ("type=local,dest=/c,compression=estargz", "compression=estargz: it is gzip or zstd or uncompressed"),
        ("type=local,dest=/c,compression-level=3", "a level needs a compression"),
        ("type=local,dest=/c,compression=uncompressed,compression-level=3", "a level needs a compression"),
        ("type=local,dest=/c,compression=gzip,compression-level=10", "gzip has 0 to 9"),
        ("type=local,dest=/c,compression=zstd,compression-level=x", "zstd has 0 to 22"),
        ("type=local,dest=/c,ignore-error=maybe", "ignore-error=maybe: it is true or false"),
        ("type=local,dest=/c,oci-mediatypes=false", "oci-mediatypes=false: it is true"),
        ("type=local,dest=/c,image-manifest=false", "image-manifest=false: it is true"),
        ("type=local,dest=/c,force-compression=true", "unknown option 'force-compression'"),
        (f"type=registry,ref=app@{DIGEST}", "a digest cannot be chosen"),
    ],
)
def test_targets_that_mean_nothing(text: str, reason: str) -> None:
    with pytest.raises(WherryError, match=reason):
        spec.target(text)
