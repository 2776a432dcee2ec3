"""Who a USER instruction or `--user` names: docker's look-up rules on the image's passwd and group files.

The rules are those of moby/sys/user (GetExecUser): a name or a number is first looked for in the files; a
number that no line has is taken as it is, with group 0; a group given after a colon replaces the user's own
and drops its supplementary groups. Unlike there, a line whose number is not a number is passed over, and
does not become user 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.runtime.spec import User

HIGHEST_ID = 2**31 - 1


def find(user: str, passwd: bytes, group: bytes, more: Sequence[str] = ()) -> User:
    """The user that `user` ("", "name", "1000", "name:group", "1000:1000", ...) means; `more` are groups to
    be in besides.

    `groups` starts with the primary group, as docker passes it since CVE-2022-36109. NotFound for a name
    that the files do not have; WherryError for a number out of range.
    """
    user_text, colon, group_text = user.partition(":")
    account = _account(user_text or "0", passwd)
    if account is None:
        uid, gid, home, name = _number(user_text or "0", "user", "passwd"), 0, "/", ""
    else:
        uid, gid, home, name = account
    groups = _groups(group)
    others: list[int] = []
    if colon and group_text:
        gid = _group_id(group_text, groups)
    else:
        others = [item.gid for item in groups if name and name in item.members]
    others += [_group_id(word, groups) for word in more]
    return User(uid, gid, tuple(dict.fromkeys((gid, *others))), home, name)


def _group_id(text: str, groups: list[_Group]) -> int:
    for item in groups:
        if text in (item.name, str(item.gid)):
            return item.gid
    return _number(text, "group", "group")


class _Account(NamedTuple):
    uid: int
    gid: int
    home: str
    name: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def _account(wanted: str, passwd: bytes) -> _Account | None:
    """The first line of /etc/passwd that has the name or the number."""
    for fields in _lines(passwd, least=4):
        name, _, uid, gid, *rest = fields
        if wanted not in (name, uid) or not _is_id(uid) or not _is_id(gid):
            continue
        home = rest[1] if len(rest) > 1 else ""
        return _Account(int(uid), int(gid), home or "/", name)
    return None


def _groups(group: bytes) -> list[_Group]:
    return [
        _Group(fields[0], int(fields[2]), tuple(fields[3].split(",")) if len(fields) > 3 else ())
        for fields in _lines(group, least=3)
        if _is_id(fields[2])
    ]


def _lines(content: bytes, least: int) -> list[list[str]]:
    lines = (line.strip() for line in content.decode("utf-8", "surrogateescape").split("\n"))
    split = (line.split(":") for line in lines if line and not line.startswith("#"))
    return [fields for fields in split if len(fields) >= least]


def _is_id(text: str) -> bool:
    # Python refuses to read numbers of thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= HIGHEST_ID


def _number(text: str, kind: str, file: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise NotFound(
            f"unable to find {kind} {text}: no matching entries in {file} file",
            hint=f"give a number, or create the {kind} in an earlier RUN",
        )
    if not _is_id(text):
        raise WherryError(f"{kind} {text} is out of range: ids go from 0 to {HIGHEST_ID}")
    return int(text)
