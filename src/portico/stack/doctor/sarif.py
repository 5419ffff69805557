"""Findings as SARIF 2.1.0 (OASIS), which code review shows beside the lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from portico import __version__
from portico.stack.doctor.diagnose import RULES
from portico.stack.doctor.rule import Finding, Rule, Severity

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final[dict[Severity, str]] = {
    "error": "error",
    "warning": "warning",
    "advice": "note",
    "hint": "note",
}


def sarif(findings: Sequence[Finding]) -> dict[str, object]:
    driver = {
        "name": "portico doctor",
        "semanticVersion": __version__,
        "rules": [_rule(each) for each in RULES],
    }
    run = {"tool": {"driver": driver}, "results": [_result(each) for each in findings]}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _result(finding: Finding) -> dict[str, object]:
    place = finding.place
    region = {"region": {"startLine": place.line}} if place.line else {}
    location = {"artifactLocation": {"uri": _uri(place.file)}, **region}
    return {
        "ruleId": finding.rule.code,
        "ruleIndex": RULES.index(finding.rule),
        "level": _LEVELS[finding.rule.severity],
        "message": {"text": f"{finding.what}. {finding.rule.why} {finding.rule.fix}"},
        "locations": [{"physicalLocation": location}],
    }


def _uri(path: str) -> str:
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)
