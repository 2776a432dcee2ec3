"""Settings of the user: `$XDG_CONFIG_HOME/wherry/config.toml` (else `~/.config/wherry/config.toml`).

    host_ca = true          # --host-ca for every build and run
    isolation = "userns"    # --isolation for every build and run
    snapshotter = "copy"    # --snapshotter for every build and run
    runtime = "crun"        # --runtime for every build and run
    network = "private"     # --network for every build
    refresh = "7d"          # --refresh for every build
    store_size = "20GB"     # after a build the store is brought below that; see cli/trimming.py
    listener = "python"     # RUN is observed without the compiled part, for every build

`WHERRY_<KEY>` in the environment overrides a key; a flag of the command line overrides both. A key that
does not exist, or a value of the wrong type, is an error: a typing mistake must not pass for a setting.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from wherry.base.errors import WherryError
from wherry.base.tuples import NamedTuple

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


ISOLATIONS = ("auto", "root", "userns", "single-id", "chroot")
"""The modes of runtime/modes.py, and the choice of the best one."""

SNAPSHOTTERS = ("auto", "overlay", "copy")
"""The ways of snapshot/snapshotter.py to make a root filesystem, and the choice of the best one."""

NETWORKS = ("default", "host", "none", "private")
"""What `build --network` takes."""

LISTENERS = ("auto", "python")
"""What hears the system calls of RUN: the compiled listener where there is one, or the Python one."""

_CHOICES = {
    "isolation": ISOLATIONS,
    "snapshotter": SNAPSHOTTERS,
    "network": NETWORKS,
    "listener": LISTENERS,
}

Value = bool | str


class Settings(NamedTuple):
    """Every setting is true or false, or a word."""

    host_ca: bool = False
    isolation: str = "auto"
    snapshotter: str = "auto"
    runtime: str = "native"
    network: str = "default"
    refresh: str = ""
    store_size: str = ""
    listener: str = "auto"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force, before flags."""
    return Settings(**(_from_file(_path(environ)) | _from_environment(environ)))  # type: ignore[arg-type]


def _path(environ: Mapping[str, str]) -> str:
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not folder.startswith("/"):  # the XDG specification: relative paths are to be ignored
        folder = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return f"{folder}/wherry/config.toml"


def _from_file(path: str) -> dict[str, Value]:
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise WherryError(f"cannot read {path}: {error.strerror}") from None
    from wherry.base import toml

    text, values = toml.parse(raw, path)
    for key, value in values.items():
        if key not in Settings._fields:
            raise toml.mistake(f"unknown setting {key!r}", path, text, _line_of(key, text), hint=_known())
        if wanted := _expected(key, value):
            raise toml.mistake(f"the setting {key} must be {wanted}", path, text, _line_of(key, text))
    return values


def _line_of(key: str, text: str) -> int:
    """Where a key of the top level is; tomllib does not tell."""
    for number, line in enumerate(text.split("\n"), 1):
        name = line.lstrip(" \t[").partition("=")[0].partition("]")[0].partition(".")[0].strip(" \t\"'")
        if name == key:
            return number
    return 1


def _from_environment(environ: Mapping[str, str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key in Settings._fields:
        name = f"WHERRY_{key.upper()}"
        value = environ.get(name)
        if value is None:
            continue
        if _kind(key) is str:
            found[key] = value or _default(key)
            if wanted := _expected(key, found[key]):
                raise WherryError(f"{name} must be {wanted}, not {value!r}")
            continue
        if value.lower() not in _TRUE | _FALSE:
            raise WherryError(f"{name} must be 1 or 0, not {value!r}")
        found[key] = value.lower() in _TRUE
    return found


def _expected(key: str, value: object) -> str:
    """What the setting must be; empty where `value` is that."""
    if type(value) is not _kind(key):
        return "true or false" if _kind(key) is bool else "a word in quotes"
    if value and (form := _misread(key, str(value))):
        return form
    choices = _CHOICES.get(key)
    return f"one of {', '.join(choices)}" if choices and value not in choices else ""


def _misread(key: str, text: str) -> str:
    """The form that the setting must have; empty where `text` has it, or all is well with any word."""
    if key == "refresh":
        from wherry.base import ages

        return "an age: 12h, 7d" if ages.parse(text) is None else ""
    if key == "store_size":
        from wherry.base import sizes

        return "a size: 500MB, 20GB" if sizes.parse(text) is None else ""
    return ""


def _default(key: str) -> Value:
    default: Value = Settings._field_defaults[key]
    return default


def _kind(key: str) -> type:
    return type(_default(key))


def _known() -> str:
    return f"the settings are {', '.join(Settings._fields)}"
