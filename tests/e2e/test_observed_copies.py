"""COPY and WORKDIR on a parent that has changed: what they looked at decides, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cli import Wherry
from support.progress import words

Make = Callable[[Mapping[str, str | bytes]], Path]


def dockerfile(first: str, *more: str) -> dict[str, str]:
    lines = ["FROM scratch", f"COPY {first} /base/", *more]
    return {"Dockerfile": "\n".join(lines) + "\n", "one/a": "1", "two/a": "2", "app/main.py": "print()\n"}


def test_what_is_copied_elsewhere_in_the_parent_copies_nothing_again(wherry: Wherry, context: Make) -> None:
    words(wherry, context(dockerfile("one", "WORKDIR /app", "COPY app .")))
    found = words(wherry, context(dockerfile("two", "WORKDIR /app", "COPY app .")))
    assert found == {
        "COPY two /base/": "DONE",
        "WORKDIR /app": "CACHED, REUSED",
        "COPY app .": "CACHED, REUSED",
    }


def test_what_was_reused_is_found_at_once_the_next_time(wherry: Wherry, context: Make) -> None:
    words(wherry, context(dockerfile("one", "COPY app /app")))
    words(wherry, context(dockerfile("two", "COPY app /app")))
    assert set(words(wherry, context(dockerfile("two", "COPY app /app"))).values()) == {"CACHED"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("COPY app /app", "COPY --chown=7 app /app"),
        ("COPY one /elsewhere", "COPY one/a /app"),
    ],
)
def test_a_target_that_changed_is_seen(wherry: Wherry, context: Make, before: str, after: str) -> None:
    """The layer has the folders above its files, with their modes and owners."""
    copy = "COPY one /app/x/"
    words(wherry, context(dockerfile("one", before, copy)))
    changed = context(dockerfile("one", after, copy))
    if after == "COPY one/a /app":
        assert "not a folder" in wherry("build", changed).err
    else:
        assert words(wherry, changed)[copy] == "DONE"


def test_a_name_that_only_the_parent_knows_is_looked_up_again(wherry: Wherry, context: Make) -> None:
    def passwd(uid: int) -> str:
        return f"COPY <<EOF /etc/passwd\napp:x:{uid}:{uid}::/:\nEOF"

    copy = "COPY --chown=app one /data"
    words(wherry, context(dockerfile("one", passwd(1000), copy)))
    assert words(wherry, context(dockerfile("two", passwd(1000), copy)))[copy] == "CACHED, REUSED"
    assert words(wherry, context(dockerfile("one", passwd(1001), copy)))[copy] == "DONE"


def test_a_link_on_the_way_to_the_target_is_followed_again(wherry: Wherry, context: Make) -> None:
    folder = context(dockerfile("one", "COPY links /", "COPY app /to/x"))
    (folder / "links").mkdir()
    (folder / "links/to").symlink_to("one")
    words(wherry, folder)
    (folder / "links/to").unlink()
    (folder / "links/to").symlink_to("two")
    assert words(wherry, folder)["COPY app /to/x"] == "DONE"


def test_bytecode_in_the_parent_is_looked_at_for_its_source_s_time(wherry: Wherry, context: Make) -> None:
    """A source must not get the time that bytecode of another one records (snapshot/pyc.py)."""

    def bytecode(time: int) -> bytes:
        return (3495).to_bytes(2, "little") + b"\r\n" + bytes(4) + time.to_bytes(4, "little") + bytes(4)

    folder = context(dockerfile("one", "COPY pyc /app/__pycache__", "COPY app/main.py /app/main.py"))
    (folder / "pyc").mkdir()
    (folder / "pyc/main.cpython-311.pyc").write_bytes(bytecode(1))
    words(wherry, folder)
    (folder / "pyc/main.cpython-311.pyc").write_bytes(bytecode(2))
    assert words(wherry, folder)["COPY app/main.py /app/main.py"] == "DONE"


def test_a_file_in_the_way_is_still_refused(wherry: Wherry, context: Make) -> None:
    words(wherry, context(dockerfile("one", "COPY app /x")))
    result = wherry("build", context(dockerfile("one", "COPY one/a /x", "COPY app /x/")))
    assert result.code == 1
    assert "not a folder" in result.err


def test_what_is_copied_from_a_stage_holds_on_another_base(wherry: Wherry, context: Make) -> None:
    def staged(first: str) -> dict[str, str]:
        files = dockerfile(first, "COPY --from=from /app /app")
        files["Dockerfile"] = "FROM scratch AS from\nCOPY app /app\n" + files["Dockerfile"]
        return files

    words(wherry, context(staged("one")))
    assert words(wherry, context(staged("two")))["COPY --from=from /app /app"] == "CACHED, REUSED"


def test_without_a_cache_nothing_is_reused(wherry: Wherry, context: Make) -> None:
    words(wherry, context(dockerfile("one", "COPY app /app")))
    assert words(wherry, context(dockerfile("two", "COPY app /app")), "--no-cache")["COPY app /app"] == "DONE"
