from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wherry.base import settings
from wherry.base.errors import WherryError
from wherry.base.settings import Settings
from wherry.runtime import modes


def configured(folder: Path, text: str | bytes, **environment: str) -> Settings:
    file = folder / "wherry" / "config.toml"
    file.parent.mkdir()
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings.load({"XDG_CONFIG_HOME": str(folder), **environment})


def test_without_a_file_every_setting_has_its_default(tmp_path: Path) -> None:
    assert settings.load({"XDG_CONFIG_HOME": str(tmp_path)}) == Settings(host_ca=False)


def test_the_file_sets(tmp_path: Path) -> None:
    assert configured(tmp_path, "# mine\nhost_ca = true\n").host_ca is True


def test_the_file_below_home(tmp_path: Path) -> None:
    (tmp_path / ".config").mkdir()
    assert configured(tmp_path / ".config", "host_ca = true").host_ca is True
    assert settings.load({"HOME": str(tmp_path)}).host_ca is True
    assert settings.load({"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}).host_ca is True


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_overrides_the_file(tmp_path: Path, value: str, expected: bool) -> None:
    file = "host_ca = false" if expected else "host_ca = true"
    assert configured(tmp_path, file, WHERRY_HOST_CA=value).host_ca is expected


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("host_ca = true\n\nhostca = true\n", "unknown setting 'hostca'", 3),
        ("[build]\ncache = 1\n", "unknown setting 'build'", 1),
        ("# x\nhost_ca = 'yes'\n", "the setting host_ca must be true or false", 2),
        ("isolation = true\n", "the setting isolation must be a word in quotes", 1),
        ("store_size = 'much'\n", "the setting store_size must be a size: 500MB, 20GB", 1),
        ("\nhost_ca =\n", "not TOML: Invalid value", 2),
        ("host_ca = tru", "not TOML", 1),
        ("a = [", "not TOML", 1),
        (b"# x\n# \xff\n", "not UTF-8", 2),
    ],
)
def test_a_mistake_is_refused_by_file_and_line(
    tmp_path: Path, text: str | bytes, message: str, line: int
) -> None:
    with pytest.raises(WherryError) as caught:
        configured(tmp_path, text)
    assert message in caught.value.message
    assert (">>>" in caught.value.excerpt) is isinstance(text, str)
    assert str(caught.value.where) == f"{tmp_path}/wherry/config.toml:{line}"


def test_a_mistake_in_the_environment_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WherryError, match="WHERRY_HOST_CA must be 1 or 0, not 'maybe'"):
        settings.load({"XDG_CONFIG_HOME": str(tmp_path), "WHERRY_HOST_CA": "maybe"})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "wherry" / "config.toml").mkdir(parents=True)
    with pytest.raises(WherryError, match=r"cannot read .*config\.toml: Is a directory"):
        settings.load({"XDG_CONFIG_HOME": str(tmp_path)})


def test_no_file_costs_no_toml_parser(tmp_path: Path) -> None:
    program = "import sys\nfrom wherry.base import settings\nsettings.load()\nprint('tomllib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_words(tmp_path: Path) -> None:
    assert configured(tmp_path, 'isolation = "root"\n').isolation == "root"
    nowhere = {"XDG_CONFIG_HOME": str(tmp_path / "none")}
    assert settings.load(nowhere | {"WHERRY_ISOLATION": "userns"}).isolation == "userns"
    assert settings.load(nowhere | {"WHERRY_ISOLATION": ""}).isolation == "auto"
    assert settings.load(nowhere | {"WHERRY_SNAPSHOTTER": "copy"}).snapshotter == "copy"


def test_a_word_that_is_no_choice_is_refused(tmp_path: Path) -> None:
    choices = "one of auto, root, userns, single-id, chroot"
    with pytest.raises(WherryError, match=f"the setting isolation must be {choices}"):
        configured(tmp_path, "isolation = 'user'\n")
    with pytest.raises(WherryError, match=f"WHERRY_ISOLATION must be {choices}, not 'user'"):
        settings.load({"XDG_CONFIG_HOME": str(tmp_path / "none"), "WHERRY_ISOLATION": "user"})
    assert settings.ISOLATIONS[1:] == modes.NAMES
