"""registries.conf: which files count, what stands in them, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.base.errors import WherryError
from wherry.registry import config
from wherry.registry.config import Mirror, Registries

Write = Callable[[str], Registries]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own; its `.config/containers`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)
    folder = tmp_path / ".config" / "containers"
    (folder / "registries.conf.d").mkdir(parents=True)
    return folder


@pytest.fixture
def read(home: Path) -> Write:
    """Reads a text as the user's registries.conf."""

    def written(text: str) -> Registries:
        (home / "registries.conf").write_text(text)
        return config.load()

    return written


def _prefixes(registries: Registries) -> list[str]:
    return [table.prefix for table in registries.tables]


def _table(location: str, more: str = "") -> str:
    return f'[[registry]]\nlocation = "{location}"\n{more}\n'


def test_a_whole_table(read: Write, home: Path) -> None:
    registries = read("""
        unqualified-search-registries = ["quay.io", "docker.io"]
        credential-helpers = ["containers-auth.json", "box"]
        short-name-mode = "enforcing"
        [[registry]]
        prefix = "example.com/team/"
        location = "inside.example/mirrored"
        insecure = true
        blocked = true
        [[registry.mirror]]
        location = "one.example:5000"
        [[registry.mirror]]
        location = "two.example/x"
        insecure = false
        pull-from-mirror = "tag-only"
        [aliases]
        "app" = "example.com/team/app"
    """)
    (table,) = registries.tables
    assert table.prefix == "example.com/team"
    assert table.location == "inside.example/mirrored"
    assert (table.insecure, table.blocked) == (True, True)
    assert table.mirrors == (
        Mirror("one.example:5000", None, "all"),
        Mirror("two.example/x", False, "tag-only"),
    )
    assert table.file == str(home / "registries.conf")
    assert registries.searched == ("quay.io", "docker.io")
    assert registries.helpers == ("containers-auth.json", "box")
    assert registries.aliases["app"] == ("example.com/team/app", table.file)


def test_what_a_table_need_not_say(read: Write) -> None:
    same, wild = read(_table("example.com") + '[[registry]]\nprefix = "*.example.org"\n').tables
    assert (same.prefix, same.location, same.insecure, same.blocked) == (
        "example.com",
        "example.com",
        None,
        False,
    )
    assert (wild.prefix, wild.location) == ("*.example.org", "")


def test_mirrors_by_digest_only(read: Write) -> None:
    text = _table("a.example", 'mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "b.example"')
    assert read(text).tables[0].mirrors == (Mirror("b.example", None, "digest-only"),)


def test_drop_ins_are_laid_over_in_their_order(home: Path) -> None:
    (home / "registries.conf").write_text(
        'unqualified-search-registries = ["one.example"]\n' + _table("a.example") + _table("b.example")
    )
    for name, text in {
        "20-later.conf": _table("a.example", "blocked = true") + '[aliases]\n"x" = "c.example/x"\n"z" = ""',
        "10-early.conf": _table("a.example", "insecure = true")
        + '[aliases]\n"x" = "b.example/x"\n"z" = "b.example/z"',
        "30-other.txt": "this is not read",
    }.items():
        (home / "registries.conf.d" / name).write_text(text)
    registries = config.load()
    assert _prefixes(registries) == ["a.example", "b.example"]
    # A table takes the place of the earlier one whole: nothing of that is left.
    assert (registries.tables[0].insecure, registries.tables[0].blocked) == (None, True)
    assert {short: alias.name for short, alias in registries.aliases.items()} == {"x": "c.example/x"}
    assert registries.searched == ("one.example",)


def test_drop_ins_are_sorted(home: Path) -> None:
    """Not as the folder happens to list them."""
    for number in (3, 9, 1, 7, 5):
        text = f'unqualified-search-registries = ["{number}.example"]'
        (home / "registries.conf.d" / f"{number}.conf").write_text(text)
        assert config.load().searched == ("3.example" if number == 3 else "9.example",)


def test_which_files_count(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own file leaves the system's out; the variable names the file, with all drop-ins."""
    own = str(home / "registries.conf")
    drop_in = home / "registries.conf.d" / "a.conf"
    drop_in.write_text(_table("drop.example"))
    assert str(drop_in) in config._files({"HOME": str(tmp_path)})
    (home / "registries.conf").write_text(_table("own.example"))
    assert config._files({"HOME": str(tmp_path)}) == [own, str(drop_in)]
    chosen = tmp_path / "chosen.conf"
    chosen.write_text(_table("chosen.example"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(chosen))
    prefixes = _prefixes(config.load())
    assert {"chosen.example", "drop.example"} <= set(prefixes)
    assert "own.example" not in prefixes
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "gone.conf"))
    with pytest.raises(WherryError, match=r"there is no .*gone\.conf"):
        config.load()


def test_what_was_said_on_the_command_line_is_kept(read: Write) -> None:
    assert (read("").verify, config.load(False).verify, config.load(True).verify) == (None, False, True)


@pytest.mark.parametrize(
    ("written", "short"),
    [
        ("flask", "flask"),
        ("flask:v1", "flask"),
        ("team/flask@sha256:" + "0" * 64, "team/flask"),
        ("team/flask:v1", "team/flask"),
        ("docker.io/library/flask", ""),
        ("localhost/flask", ""),
        ("example.com:5000/flask", ""),
        ("", ""),
    ],
)
def test_short_names(read: Write, written: str, short: str) -> None:
    read('[aliases]\n"flask" = "example.com/flask"\n')
    registries = config.load(written=written)
    assert registries.short == short
    assert (registries.alias is not None) == (short == "flask")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[registry]]\nblocked = true", "neither a prefix nor a location"),
        ('[[registry]]\nprefix = "a*.example"', r"a \* in a prefix stands alone before a host"),
        ('[[registry]]\nprefix = "*.example/x"', r"a \* in a prefix stands alone before a host"),
        ('[[registry]]\nlocation = "https://a.example"', "must be without https://"),
        ('[[registry]]\nlocation = "team/app"', "does not begin with a host"),
        ("[[registry]]\nlocation = 5", "a location must be a word in quotes"),
        (_table("a.example", 'insecure = "yes"'), "insecure must be true or false"),
        (
            _table("a.example", "[[registry.mirror]]\ninsecure = true"),
            r"a mirror of a\.example has no location",
        ),
        (
            _table("a.example", '[[registry.mirror]]\nlocation = "b.example"\npull-from-mirror = "never"'),
            "must be one of all, digest-only, tag-only",
        ),
        (
            _table(
                "a.example",
                "mirror-by-digest-only = true\n"
                '[[registry.mirror]]\nlocation = "b.example"\npull-from-mirror = "all"',
            ),
            "has both mirror-by-digest-only and",
        ),
        ('registry = "a.example"', "must be tables"),
        ("registry = [1]", "must be tables"),
        ("aliases = 1", r"\[aliases\] must be short names"),
        ("[aliases]\nx = 1", r"\[aliases\] must be short names"),
        ('unqualified-search-registries = "quay.io"', "must be a list of words"),
        ("[registries.search]\nregistries = []", "the old form"),
    ],
)
def test_mistakes_name_the_file(read: Write, home: Path, text: str, message: str) -> None:
    with pytest.raises(WherryError, match=message) as caught:
        read(text)
    assert str(home / "registries.conf") in caught.value.message


def test_what_is_no_toml_is_shown(read: Write, home: Path) -> None:
    with pytest.raises(WherryError, match="not TOML") as caught:
        read('[[registry]]\nlocation = "a.example\n')
    assert str(caught.value.where) == f"{home}/registries.conf:2"
    assert '>>> location = "a.example' in caught.value.excerpt


def test_what_cannot_be_read(home: Path) -> None:
    (home / "registries.conf").mkdir()
    with pytest.raises(WherryError, match=r"cannot read .*registries\.conf: Is a directory"):
        config.load()
