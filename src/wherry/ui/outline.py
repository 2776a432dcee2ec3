"""Outlines and targets as docker prints them: tables for people, JSON for programs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from wherry.base.errors import Location
from wherry.base.text import one_line
from wherry.build.outline import Loan, Outline, Parameter, Target
from wherry.ui import table

_DEFAULT = "(default)"


def outline_text(found: Outline) -> str:
    """The target, then a table for each kind of parameter there is; an empty line behind each."""
    parts: list[str] = []
    if found.name or found.description:
        head = [("TARGET:", found.name or _DEFAULT)]
        head += [("DESCRIPTION:", one_line(found.description))] if found.description else []
        parts.append(table.align(head, minimum=0, gap=1))
    if found.parameters:
        rows = [(item.name, one_line(item.value), one_line(item.description)) for item in found.parameters]
        parts.append(table.align([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows], minimum=0))
    for title, loans in (("SECRET", found.secrets), ("SSH", found.agents)):
        if loans:
            lines = [(one_line(item.name), "true" if item.required else "") for item in loans]
            parts.append(table.align([(title, "REQUIRED"), *lines], minimum=0))
    return "".join(f"{part}\n" for part in parts)


def targets_text(found: Sequence[Target]) -> str:
    rows = [(_shown(target), one_line(target.description)) for target in found]
    return table.align([("TARGET", "DESCRIPTION"), *rows], minimum=0, gap=1)


def _shown(target: Target) -> str:
    return " ".join(filter(None, (target.name, _DEFAULT if target.is_default else "")))


def outline_document(found: Outline, source: bytes) -> dict[str, Any]:
    """What is empty or false is left out; `sources` has the Dockerfile in base64; lines count from 1."""
    return _filled(
        name=found.name,
        description=found.description,
        args=[_parameter(item) for item in found.parameters],
        secrets=[_loan(item) for item in found.secrets],
        ssh=[_loan(item) for item in found.agents],
        sources=[_encoded(source)],
    )


def targets_document(found: Sequence[Target], source: bytes) -> dict[str, Any]:
    return {"targets": [_target(item) for item in found], "sources": [_encoded(source)]}


def _parameter(item: Parameter) -> dict[str, Any]:
    return {
        "name": item.name,
        **_filled(description=item.description, value=item.value, location=_location(item.where)),
    }


def _loan(item: Loan) -> dict[str, Any]:
    return {"name": item.name, **_filled(required=item.required, location=_location(item.where))}


def _target(item: Target) -> dict[str, Any]:
    return _filled(
        name=item.name,
        default=item.is_default,
        description=item.description,
        base=item.base,
        platform=item.platform,
        location=_location(item.where),
    )


def _filled(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _location(where: Location) -> dict[str, Any]:
    last = max(where.end_line, where.line)
    return {"ranges": [{"start": {"line": where.line}, "end": {"line": last}}]}


def _encoded(source: bytes) -> str:
    return base64.b64encode(source).decode("ascii")
