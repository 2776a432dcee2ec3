"""Which texts mean a repository or a URL, and what they say. Pure: nobody is asked.

A repository is `https://host/path.git`, `ssh://`, `git://` or `user@host:path`, with `#ref:folder` or a
query behind it (`?ref=`, `tag=`, `branch=`, `subdir=`, `checksum=`, `keep-git-dir=`, `submodules=`), as the
Dockerfile frontend has them. `file://` is one too, for those who may name files of this machine.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from wherry.base.errors import UsageError
from wherry.base.tuples import NamedTuple
from wherry.build.legible import redacted

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TRUE, _FALSE = ("", "1", "t", "true"), ("0", "f", "false")
_GITHUB = "github.com/"
UNNAMED = "__unnamed__"
"""What a URL's file is called where its path names none, as the Dockerfile frontend calls it."""


class Repository(NamedTuple):
    """`url` as git takes it; `ref` is a branch, a tag, a commit or "" for HEAD; `folder` a path in it.

    `checksum` is the beginning of the commit's hash; `keep_git_dir` is None where nothing is said.
    """

    url: str
    ref: str = ""
    folder: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True


class Account(NamedTuple):
    """What stands before the `@` of a URL."""

    user: str
    password: str


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def is_commit(ref: str) -> bool:
    """Whether `ref` is a whole hash, which means the same for ever."""
    return _COMMIT.fullmatch(ref) is not None


def file_name(url: str) -> str:
    """The last part of a URL's path, which is what ADD calls the file; no header has a say in it."""
    name = unquote(urlsplit(url).path, errors="surrogateescape").rstrip("/").rpartition("/")[2]
    return UNNAMED if name in ("", ".", "..") or "\0" in name else name


def without_account(url: str) -> tuple[str, Account | None]:
    """An HTTP URL as it may be shown and asked, and who asks."""
    parts = _split(url)
    given, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = given.partition(":")
    account = Account(unquote(user), unquote(password))
    if not "".join(account).isprintable():
        raise UsageError(f"the user or the password in {redacted(url)!r} has a control character")
    return parts._replace(netloc=host).geturl(), account


def repository(text: str, *, local: bool = False) -> Repository | None:
    """The repository that `text` means, None where it means none.

    `local`: a `file://` URL, or a path to a bare repository with `#`, may be one too.
    """
    if local and text.startswith(_GITHUB):
        # docker's oldest form, for build contexts alone
        return _with_fragment_of(f"https://{text}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        if _SCP.fullmatch(text.partition("#")[0]):
            return _with_fragment_of(text)
        return _bare(text) if local else None
    name = scheme[1].lower()
    if name not in ("http", "https", "ssh", "git") and not (local and name == "file"):
        return None
    parts = _split(text)
    if name in ("http", "https") and not parts.path.endswith(".git"):
        return None
    plain = parts._replace(query="", fragment="").geturl()
    found = _with_fragment(Repository(plain), parts.fragment)
    return _checked(_with_query(found, parts, text), text)


def _split(url: str) -> SplitResult:
    """Parts that can be asked for: a host there is, and a port is a number."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme == "file" or (bool(parts.hostname) and (parts.port or 1) > 0)
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"not a URL that can be asked: {redacted(url)!r}")
    return parts


def _with_fragment_of(text: str) -> Repository:
    url, _, fragment = text.partition("#")
    return _checked(_with_fragment(Repository(url), fragment), text)


def _bare(text: str) -> Repository | None:
    """`path/to/repo.git#ref`: only with its `#`, since a folder alone is a folder."""
    import os

    path, hash_sign, fragment = text.partition("#")
    if not hash_sign or not all(os.path.exists(f"{path}/{name}") for name in ("HEAD", "objects", "refs")):
        return None
    return _checked(_with_fragment(Repository(f"file://{os.path.abspath(path)}"), fragment), text)


def _with_fragment(found: Repository, fragment: str) -> Repository:
    ref, _, folder = fragment.partition(":")
    return found._replace(ref=ref, folder=folder)


def _with_query(found: Repository, parts: SplitResult, text: str) -> Repository:
    given: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if given.setdefault(key, value) != value:
            raise UsageError(f"{redacted(text)!r} has {key!r} more than once")
    for key, value in given.items():
        found = _with_parameter(found, key, value, text)
    if found.checksum and not found.ref:
        found = found._replace(ref=found.checksum)
    return found


def _with_parameter(found: Repository, key: str, value: str, text: str) -> Repository:
    if key in ("ref", "tag", "branch"):
        prefix = {"ref": "", "tag": "refs/tags/", "branch": "refs/heads/"}[key]
        return found._replace(ref=_same(found.ref, prefix + value.removeprefix(prefix), "ref", text))
    if key == "subdir":
        return found._replace(folder=_same(found.folder, value, key, text))
    if key in ("checksum", "commit"):
        return found._replace(checksum=value)
    if key == "keep-git-dir":
        return found._replace(keep_git_dir=_flag(key, value, text))
    if key == "submodules":
        return found._replace(submodules=_flag(key, value, text))
    raise UsageError(
        f"{redacted(text)!r} has the unknown parameter {key!r}",
        hint="ref, tag, branch, subdir, checksum, keep-git-dir and submodules are known",
    )


def _same(before: str, value: str, what: str, text: str) -> str:
    if before and before != value:
        raise UsageError(f"{redacted(text)!r} gives two values for its {what}: {before!r} and {value!r}")
    return value


def _flag(key: str, value: str, text: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise UsageError(f"{redacted(text)!r}: {key} is true or false, not {value!r}")
    return value.lower() in _TRUE


def _checked(found: Repository, text: str) -> Repository:
    """Nothing of it may be taken for an option, or for a second line, by git."""
    for part in (found.url, found.ref, found.folder):
        if part.startswith("-") or not part.isprintable():
            raise UsageError(f"not the address of a git repository: {redacted(text)!r}")
    if found.url.startswith(("ssh:", "git:")) and urlsplit(found.url).password is not None:
        raise UsageError(
            f"{redacted(text)!r} has a password, which {found.url[:3]}:// does not take",
            hint="ssh uses the keys of an agent or of ~/.ssh; a password goes into an https:// URL",
        )
    if any(character in found.ref for character in " ~^:?*[\\") or ".." in found.ref:
        raise UsageError(f"{found.ref!r} is not a branch, a tag or a commit of a git repository")
    return found
