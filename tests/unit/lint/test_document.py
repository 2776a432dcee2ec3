"""Findings for programs: JSON as docs/schemas/check.json says, and SARIF as its standard does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from wherry.dockerfile import parser
from wherry.lint import document
from wherry.lint.check import Report, check, every_rule
from wherry.lint.subject import Surroundings

CHECK = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "check.json").read_bytes())
SARIF = json.loads(Path(__file__).with_name("sarif.json").read_bytes())

FILES = {
    "clean": b'FROM a@sha256:0\nUSER a\nCMD ["a"]\n',
    "every example": "".join(rule.bad for rule in every_rule() if not rule.bad.startswith("# ")).encode(),
    "an error": b"FROM a as b\nRUNN x\n",
    "an error of a word": b"FROM a as b\nLABEL c=${d?\xff}\n",
    "no FROM": b"ARG a\n",
    "bytes": b"FROM a as b\nLABEL c=$\xff$d\xc3\xa9\nCOPY --from=\xff a b\n",
}


def reported(text: bytes) -> Report:
    return check(parser.parse(text, "Docker\udcfffile"), Surroundings(), advice=True)


def through_json(plain: dict[str, Any]) -> dict[str, Any]:
    """As another program reads it: UTF-8 and nothing else."""
    found: dict[str, Any] = json.loads(json.dumps(plain, ensure_ascii=False).encode())
    return found


@pytest.mark.parametrize("kind", FILES)
def test_json_is_what_its_schema_says(kind: str) -> None:
    report = reported(FILES[kind])
    found = through_json(document.document(report))
    jsonschema.validate(found, CHECK)
    assert len(found["warnings"]) + len(found["advice"]) == len(report.findings)
    assert ("buildError" in found) == kind.startswith(("an error", "no FROM"))


@pytest.mark.parametrize("kind", FILES)
def test_sarif_is_what_the_standard_says(kind: str) -> None:
    report = reported(FILES[kind])
    found = through_json(document.sarif(report, "a b/Docker\udcfffile", "1"))
    jsonschema.validate(found, SARIF)
    (run,) = found["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result, finding in zip(run["results"], report.findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule.name
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "a%20b/Docker%FFfile"
        assert place["region"]["startLine"] <= place["region"]["endLine"]


def test_sarif_tells_why_a_file_cannot_be_built() -> None:
    (run,) = document.sarif(reported(FILES["an error"]), "Dockerfile", "1")["runs"]
    assert run["results"][0]["ruleId"] == "FromAsCasing"
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (told,) = invocation["toolExecutionNotifications"]
    assert told["message"] == {"text": "unknown instruction: RUNN"}
    assert told["locations"][0]["physicalLocation"]["region"] == {"startLine": 2, "endLine": 2}
    (clean,) = document.sarif(reported(FILES["clean"]), "Dockerfile", "1")["runs"]
    assert "invocations" not in clean
