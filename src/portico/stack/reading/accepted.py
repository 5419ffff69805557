"""Tables of programs and sites without what portico.toml does not accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from portico.core.config.findings import Finding
from portico.core.config.shape_findings import shape_findings
from portico.core.model.document import Document
from portico.core.model.units import shown
from portico.stack.model import Gap, Place, Stack

_MAX_PASSES: Final = 20


def accepted(stack: Stack) -> Stack:
    """The same, where a value that no key can have is a gap instead."""
    gaps: list[Gap] = []
    programs = [
        replace(each, table=_kept("apps", each.name, each.table, each.place, gaps))
        for each in stack.programs
    ]
    return replace(stack, programs=tuple(programs), gaps=(*stack.gaps, *gaps))


def _kept(
    kind: str, name: str, table: Mapping[str, object], place: Place, gaps: list[Gap]
) -> Mapping[str, object]:
    from pydantic import ValidationError  # noqa: PLC0415 - slow

    content = json.loads(json.dumps({kind: {name: table}}, default=str))
    for _ in range(_MAX_PASSES):
        try:
            Document.model_validate_json(json.dumps(content))
        except ValidationError as error:
            found = shape_findings(error, content)
            gaps.extend(_removed(finding, content, place) for finding in found)
        else:
            break
    kept: Mapping[str, object] = content.get(kind, {}).get(name, {})
    return kept


def _removed(finding: Finding, content: object, place: Place) -> Gap:
    *above, last = finding.path
    inner: object = content
    for step in above:
        inner = inner[step] if isinstance(inner, (dict, list)) else None  # type: ignore[index]
    value = None
    if isinstance(inner, dict):
        value = inner.pop(last, None)
    elif isinstance(inner, list) and isinstance(last, int) and last < len(inner):
        value = inner.pop(last)
    key = ".".join(map(str, finding.path[2:]))
    return Gap(place, f"{key} = {shown(value)}", f"it is left out: it {finding.what}")
