"""Findings for programs: JSON in the shape of docker's `--call=check,format=json`, and SARIF 2.1.0.

The JSON is described by docs/schemas/check.json, the SARIF by the OASIS standard (its sections are named).
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from wherry.base.errors import Location, WherryError
from wherry.lint.check import Report, every_rule
from wherry.lint.rule import WARNING, Finding


def document(report: Report) -> dict[str, Any]:
    """`warnings` and `advice`; lines count from 1. `buildError` is there where the file cannot be built."""
    found: dict[str, Any] = {
        "warnings": [_plain(item) for item in report.warnings()],
        "advice": [_plain(item) for item in report.advice()],
    }
    if report.error:
        found["buildError"] = {"message": _unicode(report.error.message)}
    return found


def _plain(item: Finding) -> dict[str, Any]:
    last = max(item.where.end_line, item.where.line)
    return {
        "ruleName": item.rule.name,
        "description": item.rule.reason,
        "detail": _unicode(item.message),
        "fix": item.rule.fix,
        "file": _unicode(item.where.file),
        "location": {"ranges": [{"start": {"line": item.where.line}, "end": {"line": last}}]},
    }


def sarif(report: Report, path: str, version: str) -> dict[str, Any]:
    """`path` is the Dockerfile's, relative to the working folder.

    That a file cannot be built is no finding of a rule: it is what the run has to tell of itself (3.20.21).
    """
    rules = every_rule()
    numbers = {rule.name: number for number, rule in enumerate(rules)}
    driver = {
        "name": "wherry",
        "version": version,
        "rules": [
            {
                "id": rule.name,
                "shortDescription": {"text": rule.reason},
                "help": {"text": rule.fix},
                "defaultConfiguration": {"level": _level(rule.severity)},
            }
            for rule in rules
        ],
    }
    uri = quote(os.fsencode(path))
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "results": [_result(item, numbers[item.rule.name], uri) for item in report.findings],
    }
    if report.error:
        run["invocations"] = [_failure(report.error, uri)]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }


def _level(severity: str) -> str:
    return "warning" if severity == WARNING else "note"


def _result(item: Finding, number: int, uri: str) -> dict[str, Any]:
    return {
        "ruleId": item.rule.name,
        "ruleIndex": number,
        "level": _level(item.rule.severity),
        "message": {"text": _unicode(item.message)},
        "locations": [_location(item.where, uri)],
    }


def _failure(error: WherryError, uri: str) -> dict[str, Any]:
    notification: dict[str, Any] = {"level": "error", "message": {"text": _unicode(error.message)}}
    if error.where:
        notification["locations"] = [_location(error.where, uri)]
    return {"executionSuccessful": False, "toolExecutionNotifications": [notification]}


def _location(where: Location, uri: str) -> dict[str, Any]:
    region = {"startLine": where.line, "endLine": max(where.end_line, where.line)}
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}


def _unicode(text: str) -> str:
    """Bytes that are not UTF-8 have no place in JSON: U+FFFD stands for each, as in `wherry parse`."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
