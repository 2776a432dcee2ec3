"""docker's words for mounts, and what comes of them together."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.container.options.mounting import Inheritance, Volume, check_source, inherit, resolve
from wherry.container.options.mountwords import parse_inheritance, parse_mount, parse_tmpfs, parse_volume


def a_bind(source: str, target: str = "/b", **fields: object) -> Volume:
    return Volume("bind", source, target, copy=False, must_exist=True)._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "volume"),
    [
        ("type=bind,source=/a,target=/b", a_bind("/a")),
        ("type=BIND,src=/a/,dst=/b/", a_bind("/a")),
        ("TYPE=bind,Source=/a,destination=/b,readonly", a_bind("/a", read_only=True)),
        ("type=bind,source=/a,target=/b,ro=true", a_bind("/a", read_only=True)),
        ("type=bind,source=/a,target=/b,readonly=0", a_bind("/a")),
        ('type=bind,"source=/a,b",target=/b', a_bind("/a,b")),
        ("type=bind,source=/a,target=/b,bind-propagation=rprivate,consistency=cached", a_bind("/a")),
        ("type=bind,source=/a,target=/b,bind-nonrecursive", a_bind("/a", recursive=False)),
        ("type=bind,source=/a,target=/b,bind-recursive=disabled", a_bind("/a", recursive=False)),
        ("type=bind,source=/a,target=/b,bind-recursive=enabled", a_bind("/a")),
        ("type=bind,source=/a,target=/b,ro,bind-recursive=readonly", a_bind("/a", read_only=True)),
        ("source=data,target=/b", Volume("volume", "data", "/b")),
        ("target=/b", Volume("volume", "", "/b", anonymous=True)),
        ("type=volume,source=data,target=/b,volume-nocopy", Volume("volume", "data", "/b", copy=False)),
        ("source=data,target=/b,volume-driver=local", Volume("volume", "data", "/b")),
        ("source=data,target=/b,volume-subpath=x/./y", Volume("volume", "data", "/b", subpath="x/y")),
        (
            "source=data,target=/b,volume-label=a=b,volume-label=c",
            Volume("volume", "data", "/b", labels=(("a", "b"), ("c", ""))),
        ),
        ("type=tmpfs,target=/t", Volume("tmpfs", "", "/t", copy=False, options=("noexec",))),
        (
            "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770,readonly",
            Volume("tmpfs", "", "/t", True, False, options=("noexec", "ro", f"size={64 << 20}", "mode=1770")),
        ),
    ],
)
def test_mount(word: str, volume: Volume) -> None:
    assert parse_mount(word) == volume


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("", "no target"),
        ("type=bind,target=/b", "needs a source"),
        ("type=bind,source=a,target=/b", "absolute path"),
        ("type=bind,source=/a", "no target"),
        ("type=bind,source=/a,target=/", "cannot be /"),
        ("type=bind,source=/a,target=b", "absolute"),
        ("type=bind,source=/a,target=/b,frob=1", "no key 'frob'"),
        ("type=bind,source=/a,target=/b,target", "needs a value"),
        ("type=bind,source=/a,target=/b,readonly=perhaps", "neither true nor false"),
        ("type=bind,source=/a,target=/b,volume-nocopy", "does not go with"),
        ("type=volume,source=a1,target=/b,bind-propagation=private", "does not go with"),
        ("type=bind,source=/a,target=/b,tmpfs-size=1", "does not go with"),
        ("type=bind,source=/a,target=/b,consistency=none", "consistency"),
        ("type=bind,source=/a,target=/b,bind-propagation=odd", "no propagation"),
        ("type=bind,source=/a,target=/b,bind-recursive=readonly", "needs readonly"),
        ("type=bind,source=/a,target=/b,bind-recursive=odd", "enabled, disabled or readonly"),
        ('type=bind,"source=/a', "unexpected end"),
        ("type=tmpfs,source=/a,target=/b", "no source"),
        ("type=tmpfs,target=/b,tmpfs-size=big", "tmpfs-size"),
        ("type=tmpfs,target=/b,tmpfs-mode=9", "mode"),
        ("source=/a,target=/b", "volume name"),
        ("target=/b,volume-subpath=x", "has a name"),
        ("source=data,target=/b,volume-subpath=../x", "inside a volume"),
        ("source=data,target=/b,volume-subpath=/x", "inside a volume"),
        ("target=/b,readonly", "anonymous"),
    ],
)
def test_mount_refused(word: str, part: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_mount(word)
    assert part in error.value.message


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("type=npipe,source=a,target=/b", "'npipe'"),
        ("type=image,source=a,target=/b", "'image'"),
        ("type=bind,source=/a,target=/b,bind-propagation=rshared", "rshared"),
        ("type=bind,source=/a,target=/b,ro,bind-recursive=writable", "bind-recursive=writable"),
        ("source=data,target=/b,volume-driver=nfs", "local"),
        ("source=data,target=/b,volume-opt=type=nfs", "volume-opt"),
    ],
)
def test_mount_unsupported(word: str, part: str) -> None:
    with pytest.raises(Unsupported) as error:
        parse_mount(word)
    assert part in error.value.message


def test_relative_source_of_a_bind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_mount("type=bind,source=.,target=/b").source == str(tmp_path)
    assert parse_mount("type=bind,source=./x,target=/b").source == f"{tmp_path}/x"


def test_source_that_must_be_there(tmp_path: Path) -> None:
    check_source(a_bind(str(tmp_path)))
    check_source(Volume("bind", f"{tmp_path}/none", "/b"))
    with pytest.raises(WherryError, match=f"does not exist: {tmp_path}/none"):
        check_source(a_bind(f"{tmp_path}/none"))


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("/t", ("noexec",)),
        ("/t:", ("noexec",)),
        ("/t:exec", ()),
        ("/t:exec,noexec,rw,ro", ("noexec", "ro")),
        ("/t:size=64m,size=1g,mode=700,uid=5,gid=6", ("noexec", "size=1g", "mode=700", "uid=5", "gid=6")),
        ("/t:nosuid,nodev,defaults,rprivate,relatime,nr_inodes=9k", ("noexec", "nr_inodes=9k")),
    ],
)
def test_tmpfs(word: str, options: tuple[str, ...]) -> None:
    assert parse_tmpfs(word) == Volume("tmpfs", "", "/t", "ro" in options, copy=False, options=options)


@pytest.mark.parametrize("word", ["/t:size=x", "/t:mode=8", "t", "/", "/t:uid=-1", "/t:size=1,mode="])
def test_tmpfs_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse_tmpfs(word)


@pytest.mark.parametrize("word", ["/t:dev", "/t:suid", "/t:shared", "/t:size", "/t:frob=1"])
def test_tmpfs_unsupported(word: str) -> None:
    with pytest.raises(Unsupported, match=word.partition(":")[2].partition("=")[0]):
        parse_tmpfs(word)


@pytest.mark.parametrize("modes", ["ro,ro", "ro,rw", "z,Z", "cached,delegated", "private,rprivate"])
def test_two_options_of_one_kind(modes: str) -> None:
    with pytest.raises(UsageError, match="beside it"):
        parse_volume(f"/a:/b:{modes}")


def test_options_of_a_volume() -> None:
    assert parse_volume("/a:/b:ro,z,rprivate,cached").read_only
    for word in ("shared", "rslave", "frob"):
        with pytest.raises(Unsupported, match=word):
            parse_volume(f"/a:/b:{word}")


def test_inheritances() -> None:
    assert parse_inheritance("web") == parse_inheritance("web:rw") == Inheritance("web")
    assert parse_inheritance("web:ro,z") == Inheritance("web", read_only=True)
    for word in ("", ":ro", "web:nocopy", "web:rshared", "web:ro,rw", "web:x"):
        with pytest.raises(UsageError):
            parse_inheritance(word)


def test_own_mounts_come_before_inherited_ones() -> None:
    theirs = [
        Volume("volume", "data", "/data"),
        Volume("volume", "f" * 64, "/other", anonymous=True),
        Volume("tmpfs", "", "/tmp"),
        Volume("bind", "/x", "/x", read_only=True),
    ]
    mine = Volume("bind", "/host", "/data")
    data, other, bind = resolve([mine], inherit(theirs, read_only=False), ["/data", "/other", "/x"])
    assert data == mine
    assert (other.source, other.anonymous, other.copy, other.read_only) == ("f" * 64, True, False, False)
    assert bind.read_only
    assert all(volume.read_only for volume in inherit(theirs, read_only=True))
