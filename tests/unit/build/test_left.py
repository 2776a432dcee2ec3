"""What a failed process left is kept without the secrets that it was lent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.build.left import take, withhold
from wherry.snapshot.overlay import Mounted

SECRET = b"s3cr3t\xff-value"


def test_a_secret_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "d" / "deep").mkdir(parents=True)
    (tmp_path / "d" / "deep" / "middle").write_bytes(b"a" * 5_000_000 + SECRET + b"b" * 5_000_000)
    (tmp_path / "whole").write_bytes(SECRET)
    (tmp_path / "link").symlink_to(os.fsdecode(b"/x/" + SECRET))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / os.fsdecode(b"a" + SECRET)).mkdir()
    (tmp_path / "folder" / os.fsdecode(b"a" + SECRET) / "inner").touch()
    (tmp_path / "attribute").touch()
    os.setxattr(tmp_path / "attribute", "user.note", b"=" + SECRET)
    os.link(tmp_path / "whole", tmp_path / "other-name")
    (tmp_path / "innocent").write_bytes(SECRET[:-1])
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert withhold(str(tmp_path), [b"\n" + SECRET + b"\n", b"", b"abc"]) == (
        "/attribute",
        "/d/deep/middle",
        "/folder/a***",
        "/link",
        "/other-name",
        "/whole",
    )
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"d", "d/deep", "folder", "innocent", "empty", "pipe", "loop"}


def test_lines_of_a_secret_count_where_they_are_its_own(tmp_path: Path) -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nshort\n-----END PRIVATE KEY-----\n"
    for name, content in {
        "body": b"x MIGHAgEAMBMGByqGSM49 y",
        "library": b"-----BEGIN PRIVATE KEY-----\n",
        "other": b"short",
        "again": key.strip(),
    }.items():
        (tmp_path / name).write_bytes(content)
    assert withhold(str(tmp_path), [key]) == ("/again", "/body")


def test_without_secrets_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert withhold("/does/not/exist", []) == ()
    assert withhold("/does/not/exist", [b"", b" \n", b"abc"]) == ()


@pytest.mark.parametrize("has_upper", [True, False])
def test_changes_are_taken_or_else_the_whole_tree(tmp_path: Path, has_upper: bool) -> None:
    mounted = Mounted(f"{tmp_path}/in/root", f"{tmp_path}/in/upper", f"{tmp_path}/in/work")
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "root").mkdir(parents=True)
    if has_upper:
        (tmp_path / "in" / "upper").mkdir()
    name = "upper" if has_upper else "root"
    (tmp_path / "in" / name / "file").write_bytes(SECRET)
    (tmp_path / "in" / name / "kept").touch()
    assert take(mounted, f"{tmp_path}/out", [SECRET]) == (f"{tmp_path}/out/{name}", ("/file",))
    assert os.listdir(tmp_path / "out" / name) == ["kept"]
