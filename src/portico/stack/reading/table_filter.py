"""Tables of programs and sites without what portico.toml does not accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from portico.core.config.findings import Finding
from portico.core.config.shape_findings import shape_findings
from portico.core.model.document import Document
from portico.core.model.value_text import value_text
from portico.stack.model import Gap, Place, Stack

_MAX_PASSES: Final = 20


def without_refused(stack: Stack) -> Stack:
    """The same, where a value that no key can have is a gap instead."""
    gaps: list[Gap] = []
    programs = [
        replace(each, table=_without_unknown("apps", each.name, each.table, each.place, gaps))
        for each in stack.programs
    ]
    sites = [
        replace(each, table=kept)
        for each in stack.sites
        if (kept := _without_unknown("sites", each.name, each.table, each.place, gaps))
    ]
    return replace(stack, programs=tuple(programs), sites=tuple(sites), gaps=(*stack.gaps, *gaps))


def _without_unknown(
    kind: str, name: str, table: Mapping[str, object], place: Place, gaps: list[Gap]
) -> Mapping[str, object]:
    from pydantic import ValidationError  # noqa: PLC0415 - slow

    content = json.loads(json.dumps({kind: {name: table}}, default=str))
    for _ in range(_MAX_PASSES):
        named = _with_names(content)
        try:
            Document.model_validate_json(json.dumps(named))
        except ValidationError as error:
            found = (_remove(each, content, place) for each in shape_findings(error, named))
            gaps.extend(gap for gap in found if gap)
        else:
            break
    kept: Mapping[str, object] = content.get(kind, {}).get(name, {})
    return kept


def _with_names(value: object) -> Any:
    """A copy with a name in the place of each address that joining will replace."""
    if isinstance(value, dict):
        is_address = set(value) == {"address"}
        return "app" if is_address else {key: _with_names(each) for key, each in value.items()}
    return [_with_names(each) for each in value] if isinstance(value, list) else value


def _remove(finding: Finding, content: object, place: Place) -> Gap | None:
    """What is wrong is taken out; the table that it is in where it is a key that is missing."""
    for length in range(len(finding.path), 1, -1):
        *above, last = finding.path[:length]
        inner: Any = content
        try:
            for step in above:
                inner = inner[step]
            value = inner.pop(last)
        except (KeyError, IndexError, TypeError):
            continue
        key = ".".join(map(str, finding.path[2:length])) or str(last)
        return Gap(place, f"{key} = {value_text(value)}", f"it is left out: it {finding.what}")
    return None
