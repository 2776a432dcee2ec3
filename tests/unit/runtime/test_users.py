"""Docker's rules for USER (moby/sys/user), case by case."""

from __future__ import annotations

import pytest

from wherry.base.errors import NotFound, WherryError
from wherry.runtime.spec import User
from wherry.runtime.users import find

PASSWD = (
    b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
# a comment
broken line
evil:x:not-a-number:0::/:/bin/sh
long:x:"""
    + b"9" * 5000
    + b""":0::/:/bin/sh
app:x:1000:1001:App,,,:/home/app:/bin/sh
bare:x:1002:1002
1003:x:2003:2003::/odd:/bin/sh
"""
)
GROUP = b"""\
root:x:0:
wheel:x:10:root,app
www:x:33:
docker:x:999:app
1003:x:3003:
broken:x:none:app
"""


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", User(0, 0, (0, 10), "/root", "root")),
        ("root", User(0, 0, (0, 10), "/root", "root")),
        ("0", User(0, 0, (0, 10), "/root", "root")),
        ("app", User(1000, 1001, (1001, 10, 999), "/home/app", "app")),
        ("1000", User(1000, 1001, (1001, 10, 999), "/home/app", "app")),
        ("app:www", User(1000, 33, (33,), "/home/app", "app")),
        ("app:33", User(1000, 33, (33,), "/home/app", "app")),
        ("app:4444", User(1000, 4444, (4444,), "/home/app", "app")),
        ("app:", User(1000, 1001, (1001, 10, 999), "/home/app", "app")),
        (":www", User(0, 33, (33,), "/root", "root")),
        ("4242", User(4242, 0, (0,), "/", "")),
        ("4242:5", User(4242, 5, (5,), "/", "")),
        ("bare", User(1002, 1002, (1002,), "/", "bare")),
        ("1003", User(2003, 2003, (2003,), "/odd", "1003")),
        ("app:1003", User(1000, 3003, (3003,), "/home/app", "app")),
    ],
)
def test_found(user: str, expected: User) -> None:
    assert find(user, PASSWD, GROUP) == expected


def test_without_files_root_is_root() -> None:
    assert find("", b"", b"") == User(0, 0, (0,), "/", "")


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("app:nobody", "unable to find group nobody: no matching entries in group file"),
        ("evil", "unable to find user evil: no matching entries in passwd file"),
        ("long", "unable to find user long: no matching entries in passwd file"),
        ("١", "unable to find user ١: no matching entries in passwd file"),
    ],
)
def test_not_found(user: str, message: str) -> None:
    with pytest.raises(NotFound) as caught:
        find(user, PASSWD, GROUP)
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize("user", ["-1", "2147483648", "app:2147483648", "app:-5", "9" * 5000])
def test_out_of_range(user: str) -> None:
    with pytest.raises(WherryError, match="out of range"):
        find(user, PASSWD, GROUP)


def test_names_that_are_not_utf8() -> None:
    passwd = b"caf\xe9:x:7:7::/home/caf\xe9:/bin/sh\n"
    assert find("caf\udce9", passwd, b"").home == "/home/caf\udce9"
