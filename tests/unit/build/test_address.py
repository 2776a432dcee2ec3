"""Which texts mean a repository or a URL, and that a copy refuses by name what it cannot fetch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from wherry.base.errors import UsageError, WherryError
from wherry.build.build import build
from wherry.build.options import Options
from wherry.build.remote.address import Repository, file_name, is_commit, repository
from wherry.store.store import Store

HASH = "0123456789" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/r.git", Repository("https://h/r.git")),
        ("https://h/r.git#v1:sub/dir", Repository("https://h/r.git", "v1", "sub/dir")),
        ("https://h/r.git#:sub", Repository("https://h/r.git", "", "sub")),
        ("git@h:o/r.git#main", Repository("git@h:o/r.git", "main")),
        ("ssh://git@h/o/r#main", Repository("ssh://git@h/o/r", "main")),
        ("https://h/r.git?tag=v1&subdir=d", Repository("https://h/r.git", "refs/tags/v1", "d")),
        ("https://h/r.git?keep-git-dir&submodules=0", Repository("https://h/r.git", "", "", "", True, False)),
        (f"https://h/r.git?commit={HASH}", Repository("https://h/r.git", HASH, "", HASH)),
        ("https://h/r.tar.gz", None),
        ("file:///r.git", None),
        ("r.git", None),
        ("ext::sh -c id", None),
        ("./git@h:r", None),
    ],
)
def test_repositories(text: str, expected: Repository | None) -> None:
    assert repository(text) == expected


def test_files_of_this_machine_only_for_those_who_may_name_them(tmp_path: Path) -> None:
    for name in ("HEAD", "objects", "refs"):
        (tmp_path / "r.git" / name).mkdir(parents=True)
    assert repository("file:///r.git#v1", local=True) == Repository("file:///r.git", "v1")
    assert repository(f"{tmp_path}/r.git#v1", local=True) == Repository(f"file://{tmp_path}/r.git", "v1")
    assert repository(f"{tmp_path}/r.git", local=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://h/r.git#--upload-pack=x",
        "https://h/r.git#a b",
        "https://h/r.git?ref=a&ref=b",
        "https://h/r.git?x=1",
        "ssh://me:s3cret@h/r.git",
        "git://me:s3cret@h/r.git",
        "https://[::1/r.git",
        "https://h:99999/r.git",
        "https:///r.git",
    ],
)
def test_what_git_could_take_for_something_else(text: str) -> None:
    with pytest.raises(UsageError):
        repository(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.tar.gz?x=/y", "b.tar.gz"),
        ("https://h/a%20b", "a b"),
        ("https://h/a%2Fb", "b"),
        ("https://h/%2e%2e", "__unnamed__"),
        ("https://h", "__unnamed__"),
    ],
)
def test_names_of_files(url: str, name: str) -> None:
    assert file_name(url) == name


def test_commits() -> None:
    assert is_commit(HASH) and not is_commit(HASH[:7]) and not is_commit(HASH.replace("9", "g"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("COPY https://me:secret@h/f /", r"COPY cannot fetch 'https://xxxxx@h/f'"),
        ("COPY git@h:r.git /", "COPY cannot fetch"),
        ("ADD file:///etc/passwd /", "a file of this machine"),
        ("COPY file:///etc/passwd /", "a file of this machine"),
        ("ADD --checksum=sha256:1 https://me:secret@h/f /", "not a checksum of a file"),
        (f"ADD --checksum=sha256:{HASH}{HASH[:24]} https://me:secret@h/f b /", "for one source"),
        (f"ADD --checksum=sha256:{HASH}{HASH[:24]} b /", "for one source"),
        ("ADD --checksum=1 https://h/r.git?checksum=2 /", "two checksums"),
        ("ADD --keep-git-dir https://h/r.git?keep-git-dir=0 /", "keep-git-dir=false"),
        ("ADD https://h/f https://h/g /file", "more than one source"),
    ],
)
def test_what_cannot_be_fetched_is_refused_by_name(
    store: Store, context: Callable[[Mapping[str, str | bytes]], Path], line: str, message: str
) -> None:
    folder = context({"Dockerfile": f"FROM scratch\n{line}\n"})
    with pytest.raises(WherryError, match=message) as caught:
        build(store, Options(context=str(folder)))
    assert "secret" not in caught.value.message
    assert str(caught.value.where) == "Dockerfile:2"
