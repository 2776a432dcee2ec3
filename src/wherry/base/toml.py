"""TOML files that users write, with errors that show the line."""

from __future__ import annotations

from typing import Any

from wherry.base.errors import Location, WherryError
from wherry.base.source import excerpt


def read(path: str) -> dict[str, Any]:
    """What stands in the file; WherryError where it cannot be read or is not TOML."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise WherryError(f"cannot read {path}: {error.strerror}") from None
    return parse(raw, path)[1]


def parse(raw: bytes, path: str) -> tuple[str, dict[str, Any]]:
    """The text of a file and its values."""
    import tomllib

    try:
        text = raw.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise WherryError("not UTF-8", where=Location(path, raw[: error.start].count(b"\n") + 1)) from None
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = place.removeprefix("line ").partition(",")[0]
        number = int(line) if line.isdecimal() else text.count("\n") + 1
        raise mistake(f"not TOML: {message}", path, text, number) from None


def mistake(message: str, path: str, text: str, line: int, hint: str = "") -> WherryError:
    """An error that shows line number `line` of a file's `text`."""
    return WherryError(
        message, where=Location(path, line), excerpt=excerpt(text.split("\n"), line), hint=hint
    )
