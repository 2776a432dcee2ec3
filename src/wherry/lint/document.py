"""Findings for programs: JSON in the shape of docker's `--call=check,format=json`, and SARIF 2.1.0."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from wherry.lint.check import Report, every_rule
from wherry.lint.rule import WARNING, Finding


def document(report: Report) -> dict[str, Any]:
    """`warnings` and `advice`; lines count from 1. `buildError` is there where the file cannot be built."""
    found: dict[str, Any] = {
        "warnings": [_plain(item) for item in report.warnings()],
        "advice": [_plain(item) for item in report.advice()],
    }
    if report.error:
        found["buildError"] = {"message": report.error.message}
    return found


def _plain(item: Finding) -> dict[str, Any]:
    last = max(item.where.end_line, item.where.line)
    return {
        "ruleName": item.rule.name,
        "description": item.rule.reason,
        "detail": item.message,
        "fix": item.rule.fix,
        "file": item.where.file,
        "location": {"ranges": [{"start": {"line": item.where.line}, "end": {"line": last}}]},
    }


def sarif(report: Report, path: str, version: str) -> dict[str, Any]:
    """`path` is the Dockerfile's, relative to the working folder."""
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
    results = [_result(item, numbers[item.rule.name], quote(path)) for item in report.findings]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _level(severity: str) -> str:
    return "warning" if severity == WARNING else "note"


def _result(item: Finding, number: int, uri: str) -> dict[str, Any]:
    region = {"startLine": item.where.line, "endLine": max(item.where.end_line, item.where.line)}
    place = {"artifactLocation": {"uri": uri}, "region": region}
    return {
        "ruleId": item.rule.name,
        "ruleIndex": number,
        "level": _level(item.rule.severity),
        "message": {"text": item.message},
        "locations": [{"physicalLocation": place}],
    }
