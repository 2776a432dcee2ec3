"""Values of flags: mounts, durations, sizes, ports, modes."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.dockerfile import modes, mounts, values
from wherry.dockerfile.errors import DockerfileError, did_you_mean
from wherry.dockerfile.mounts import Mount
from wherry.dockerfile.ports import exposed

MOUNTS = [
    ("type=bind,target=/x", Mount("bind", target="/x")),
    ("target=/x", Mount("bind", target="/x")),
    ("source=a,dst=/x,rw", Mount("bind", "a", "/x", read_only=False)),
    ("src=a,destination=/x,from=stage", Mount("bind", "a", "/x", "stage")),
    ("TYPE=BIND,Target=/x,readonly=false", Mount("bind", target="/x", read_only=False)),
    ("type=bind,target=/x,readwrite=false", Mount("bind", target="/x")),
    ("type=cache,target=/x", Mount("cache", target="/x", read_only=False)),
    ("type=cache,target=/x,ro", Mount("cache", target="/x")),
    ("target=/x,type=cache", Mount("cache", target="/x", read_only=False)),
    (
        "type=cache,id=i,target=/x,sharing=LOCKED,mode=0700,uid=1000,gid=0,from=f,source=/s",
        Mount("cache", "/s", "/x", "f", False, "i", "locked", mode=0o700, uid=1000, gid=0),
    ),
    ("type=tmpfs,target=/x,size=64m", Mount("tmpfs", target="/x", read_only=False, size=64 << 20)),
    ("type=secret,id=s", Mount("secret", id="s")),
    ("type=secret,id=s,env=TOKEN,required", Mount("secret", id="s", env="TOKEN", required=True)),
    ("required=true,type=secret,target=/s", Mount("secret", target="/s", required=True)),
    ("type=secret,source=s,mode=400,required=0", Mount("secret", "s", mode=0o400)),
    ("type=ssh", Mount("ssh")),
    ("type=ssh,id=default,required,uid=1", Mount("ssh", id="default", required=True, uid=1)),
    ('type=bind,"target=/a,b"', Mount("bind", target="/a,b", unexpanded="")),
]


@pytest.mark.parametrize(("text", "mount"), MOUNTS)
def test_mounts(text: str, mount: Mount) -> None:
    found = mounts.mount(text)
    assert mounts.expanded(found, lambda word: word) == mount


WRONG_MOUNTS = [
    ("", "unexpected key '' in ''"),
    ("type=volume", "unsupported mount type 'volume'"),
    ("type=cache,target", "invalid field 'target' must be a key=value pair"),
    ("type=cache,targt=/x", "unexpected key 'targt' in 'type=cache,targt=/x'"),
    ("type=cache,sharing=all", "unsupported sharing value 'all'"),
    ("type=bind,sharing=shared", "unexpected key 'sharing' for mount type 'bind'"),
    ("type=bind,mode=700", "unexpected key 'mode' for mount type 'bind'"),
    ("type=tmpfs,uid=0", "unexpected key 'uid' for mount type 'tmpfs'"),
    ("type=cache,size=1g", "unexpected key 'size' for mount type 'cache'"),
    ("type=cache,required", "unexpected key 'required' for mount type 'cache'"),
    ("type=cache,env=X", "unexpected key 'env' for mount type 'cache'"),
    ("type=cache,mode=8", "invalid value for mode: 8"),
    ("type=cache,mode=-1", "invalid value for mode: -1"),
    ("type=cache,uid=x", "invalid value for uid: x"),
    ("type=cache,uid=4294967296", "invalid value for uid: 4294967296"),
    ("type=cache,ro=maybe", "invalid value for ro: maybe"),
    ("type=tmpfs,size=x", "invalid size 'x'"),
    ("type=secret", "invalid secret mount"),
    ("type=secret,id=a,source=b", "both source and id can't be set"),
    ("type=secret,id=a,from=b", "secret mount should not have a from"),
    ("from=$x", "'from' doesn't support variable expansion"),
    ('type=bind,"target=/x', "a double quote out of place"),
    ('type=bind,target="/x"', "a double quote out of place"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_MOUNTS)
def test_wrong_mounts(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=re.escape(message)):
        mounts.mount(text)


def test_a_mounts_origin_is_known_before_its_variables_are() -> None:
    found = mounts.mount("from=build,type=$type,source=$dir,mode=${mode}")
    assert found.origin == "build"
    assert found.unexpanded
    with pytest.raises(DockerfileError, match="unsupported mount type 'nope'"):
        mounts.expanded(found, {"$type": "nope", "$dir": "/d", "${mode}": "1", "build": "build"}.__getitem__)
    known = {"$type": "cache", "$dir": "/d", "${mode}": "1", "build": "build"}
    assert mounts.expanded(found, known.__getitem__) == Mount("cache", "/d", "", "build", False, mode=1)


DEVICES = [
    ("a", ("a", False)),
    ("vendor.com/class=dev", ("vendor.com/class=dev", False)),
    ("required,vendor.com/class=dev", ("vendor.com/class=dev", True)),
    ("name=a,required=false", ("a", False)),
]


@pytest.mark.parametrize(("text", "device"), DEVICES)
def test_devices(text: str, device: tuple[str, bool]) -> None:
    assert mounts.device(text) == device


@pytest.mark.parametrize("text", ["a,b", "name=a,name=b", "a,requird=1", "a,required=x"])
def test_wrong_devices(text: str) -> None:
    with pytest.raises(DockerfileError):
        mounts.device(text)


DURATIONS = [
    ("0", 0),
    ("1ns", 1),
    ("1us", 1_000),
    ("1µs", 1_000),
    ("1μs", 1_000),
    ("10ms", 10_000_000),
    ("1s", 10**9),
    ("1.5s", 1_500_000_000),
    (".5s", 500_000_000),
    ("1.s", 10**9),
    ("1m30s", 90 * 10**9),
    ("1h1m1s1ms", 3_661_001_000_000),
    ("+1s", 10**9),
    ("-1s", -(10**9)),
    ("0.1ns", 0),
    ("2562047h", 2562047 * 3600 * 10**9),
]


@pytest.mark.parametrize(("text", "nanoseconds"), DURATIONS)
def test_durations(text: str, nanoseconds: int) -> None:
    assert values.duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "1", "s", ".s", "1 s", "1x", "1s2", "--1s", "9999999h", "1" * 40 + "s", "１s"]
)
def test_wrong_durations(text: str) -> None:
    with pytest.raises(DockerfileError, match="invalid duration"):
        values.duration(text)


SIZES = [
    ("0", 0),
    ("1024", 1024),
    ("1k", 1024),
    ("1KB", 1024),
    ("1KiB", 1024),
    ("1.5m", 3 << 19),
    ("2 g", 2 << 30),
    ("1t", 1 << 40),
]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes(text: str, size: int) -> None:
    assert values.size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1x", "1e3", "9" * 40, "99999p", "."])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(DockerfileError, match="invalid size"):
        values.size(text)


PORTS = [
    ("", ()),
    ("80", ("80/tcp",)),
    ("80/udp", ("80/udp",)),
    ("80/TCP 80/tcp 81/SCTP", ("80/tcp", "81/sctp")),
    ("90-92/udp", ("90/udp", "91/udp", "92/udp")),
    ("8080:80", ("80/tcp",)),
    ("127.0.0.1:8080:80/udp", ("80/udp",)),
    ("[::1]:8080:80", ("80/tcp",)),
    ("80/", ("80/tcp",)),
    ("0 65535", ("0/tcp", "65535/tcp")),
]


@pytest.mark.parametrize(("words", "ports"), PORTS)
def test_ports(words: str, ports: tuple[str, ...]) -> None:
    assert exposed(words.split()) == ports


@pytest.mark.parametrize(
    "word", ["x", "-1", "65536", "90-80", "80-", "80/icmp", "80/tcp/udp", "999999", "$PORT", "８０"]
)
def test_wrong_ports(word: str) -> None:
    with pytest.raises(DockerfileError, match=r"invalid (port|proto)"):
        exposed([word])


WHO = st.text("ugoa", max_size=3)
WHAT = st.one_of(st.text("rwxX", max_size=3), st.sampled_from(["u", "g", "o"]))
ACTIONS = st.lists(st.tuples(st.sampled_from("+-="), WHAT).map("".join), min_size=1, max_size=2).map("".join)
CLAUSES = st.tuples(st.text("ugoa", min_size=1, max_size=3), ACTIONS).map("".join)


@given(st.lists(CLAUSES, min_size=1, max_size=3).map(",".join), st.integers(0, 0o777), st.booleans())
def test_symbolic_modes_do_what_chmod_does(
    tmp_path_factory: pytest.TempPathFactory, text: str, mode: int, folder: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "chmod"
    if folder:
        path.mkdir()
    else:
        path.touch()
    try:
        path.chmod(mode)
        subprocess.run(["chmod", "--", text, path], check=True)
        assert modes.parse(text).apply(mode, folder=folder) == path.stat().st_mode & 0o7777
    finally:
        path.rmdir() if folder else path.unlink()


MODES = [
    ("755", 0o600, 0o755),
    ("0755", 0o600, 0o755),
    ("00755", 0o600, 0o755),
    ("4755", 0o600, 0o4755),
    ("07777", 0, 0o7777),
    ("0", 0o777, 0),
    ("u+s", 0o755, 0o4755),
    ("g+s", 0o755, 0o2755),
    ("a+s", 0o755, 0o6755),
    ("u-s", 0o6755, 0o2755),
    ("u=rwx", 0o4000, 0o700),
    ("+t", 0o755, 0o1755),
    ("o+t", 0o755, 0o1755),
    ("-t", 0o1755, 0o755),
    ("+x", 0o644, 0o755),
    ("=r", 0o777, 0o444),
    ("u+rw,g+r,o=", 0o001, 0o640),
]


@pytest.mark.parametrize(("text", "before", "after"), MODES)
def test_modes(text: str, before: int, after: int) -> None:
    assert modes.parse(text).apply(before, folder=False) == after


@pytest.mark.parametrize(
    "text", ["", "8", "64a", "17777", "x", "u", "u+y", "u+r,", ",u+r", "u+ug", "-1", "u r"]
)
def test_wrong_modes(text: str) -> None:
    with pytest.raises(DockerfileError, match="invalid chmod parameter"):
        modes.parse(text)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("COPPY", "did you mean COPY?"),
        ("copy", "did you mean COPY?"),
        ("RNU", "did you mean RUN?"),
        ("X", ""),
        ("", ""),
        ("y" * 100_000, ""),
    ],
)
def test_hints(word: str, hint: str) -> None:
    assert did_you_mean(word, ("COPY", "RUN", "FROM")) == hint
