"""Findings as JSON, and the schema of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from pydantic import ConfigDict, Field, TypeAdapter

from portico.core.model.views import View
from portico.stack.doctor.pages import PLACE
from portico.stack.doctor.rule import Finding, Severity

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class FindingView(View):
    """A fault of a stack."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(description="Stable; the name of the page that explains it.")
    severity: Severity
    file: str = Field(description="As it was named, or absolute behind an include.")
    line: int = Field(ge=0, description="0 is the whole file.")
    what: str = Field(description="The fault in this place.")
    why: str = Field(description="What happens because of it.")
    fix: str
    page: str = Field(description="Below the root of Portico's repository.")


FINDINGS: Final = TypeAdapter(list[FindingView])
"""The whole output of `portico doctor --json`."""


def as_json(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [_view(each).model_dump() for each in findings]


def _view(finding: Finding) -> FindingView:
    rule, place = finding.rule, finding.place
    return FindingView(
        code=rule.code,
        severity=rule.severity,
        file=place.file,
        line=place.line,
        what=finding.what,
        why=rule.why,
        fix=rule.fix,
        page=f"{PLACE}/{rule.code}.md",
    )


def json_schema() -> str:
    named = {"$schema": _DIALECT, "title": "portico doctor --json", **FINDINGS.json_schema()}
    return json.dumps(named, indent=2) + "\n"
