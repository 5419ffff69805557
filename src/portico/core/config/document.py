"""From the tables of a file to a Document, or every problem of the file at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from pydantic import ValidationError

from portico.core.config.findings import Draft, Finding, Path, path_text
from portico.core.config.rules import rule_findings
from portico.core.config.shape_findings import REQUIRED_KEY, UNKNOWN_KEY, shape_findings
from portico.core.model.document import Document
from portico.core.model.names import parse_domain
from portico.errors import ConfigError, Problem

__all__ = ["Document", "read_document"]

_MAX_PASSES = 20  # two or three leave out all that is wrong
_MAX_DEPTH = 40


def read_document(table: Mapping[str, object], *, source: str) -> Document:
    """Return what a file says, or raise ConfigError with every problem found.

    `table` is the file's content as JSON values; dates, which only TOML has, count as text.
    `source` names the file in messages.
    """
    content = _json_values(table, source)
    spelled = _spellings(content)
    findings = list(_same_sites(spelled))
    draft = _draft(content, findings)
    findings += (_with_spelling(finding, spelled) for finding in rule_findings(draft))
    if findings:
        problems = dict.fromkeys(finding.problem() for finding in findings)
        raise ConfigError(source, tuple(problems))
    return draft.document


def _json_values(table: Mapping[str, object], source: str) -> dict[str, object]:
    """A copy that is ours, of nothing but JSON values."""
    try:
        copy: dict[str, object] = json.loads(json.dumps(table, default=str))
    except RecursionError:
        problem = Problem("the file", "is nested too deeply")
        raise ConfigError(source, [problem]) from None
    except ValueError as error:
        problem = Problem("the file", f"contains a value that cannot be read: {error}")
        raise ConfigError(source, [problem]) from None
    return copy


def _spellings(content: Mapping[str, object]) -> dict[str, list[str]]:
    """How the file writes the domain of each site; of several the last one counts."""
    spelled: dict[str, list[str]] = {}
    sites = content.get("sites")
    for raw in sites if isinstance(sites, dict) else ():
        with suppress(ValueError):
            spelled.setdefault(parse_domain(raw), []).append(raw)
    return spelled


def _same_sites(spelled: Mapping[str, list[str]]) -> Iterator[Finding]:
    for first, *others in spelled.values():
        for other in others:
            yield Finding(("sites", other), f"is the same as {path_text(('sites', first))}")


def _draft(content: dict[str, object], findings: list[Finding]) -> Draft:
    """What is left of the content without all that is wrong, which goes to `findings`."""
    found = list(_unreadable(content))
    findings += found
    removed_paths = _left_out(content, found)
    for attempt in range(_MAX_PASSES):
        try:
            document = Document.model_validate_json(json.dumps(content))
        except ValidationError as error:
            found = shape_findings(error, content)
        else:
            return Draft.of(document, removed_paths)
        if attempt == 0:  # what is missing afterwards was left out here
            findings += found
        removed_paths |= _left_out(content, found)
    return Draft.of(Document(), [()])


def _unreadable(content: object) -> Iterator[Finding]:
    """Text that no program, path or line of nginx can hold, and tables without an end."""
    places: list[tuple[Path, object]] = [((), content)]
    while places:
        path, value = places.pop()
        inner: Iterable[tuple[str | int, object]] = ()
        if isinstance(value, dict):
            inner = value.items()
        elif isinstance(value, list):
            inner = enumerate(value)
        elif isinstance(value, str) and _is_broken(value):
            yield Finding(path, "contains NUL or an unpaired surrogate")
        if len(path) > _MAX_DEPTH:
            yield Finding(path[:3], "is nested too deeply")
            continue
        for step, deeper in inner:
            if isinstance(step, str) and _is_broken(step):
                yield Finding(
                    (*path, step), "is not a valid name: it contains NUL or an unpaired surrogate"
                )
            else:
                places.append(((*path, step), deeper))


def _is_broken(text: str) -> bool:
    """Whether it holds NUL, or half of a UTF-16 pair as JSON can write it."""
    return "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text))


def _left_out(content: dict[str, object], findings: Iterable[Finding]) -> set[Path]:
    """Take what is wrong out of the content; return what may have been meant otherwise."""
    removed_paths: set[Path] = set()
    for finding in findings:
        path = finding.path[:-1] if finding.what == REQUIRED_KEY else finding.path
        while path and isinstance(path[-1], int):  # a list without one element would mislead
            path = path[:-1]
        if finding.what == UNKNOWN_KEY and finding.hint:
            removed_paths.add(path[:-1])
        removed_paths.add(path)
        if path:
            _remove(content, path)
    return removed_paths


def _remove(content: dict[str, object], path: Path) -> None:
    *tables, key = path
    inner: object = content
    for step in tables:
        if isinstance(inner, dict):
            inner = inner.get(step)
        elif isinstance(inner, list) and isinstance(step, int):
            inner = inner[step]
    if isinstance(inner, dict):
        inner.pop(key, None)


def _with_spelling(finding: Finding, spelled: Mapping[str, list[str]]) -> Finding:
    match finding.path:
        case ("sites", str(name), *rest) if name in spelled:
            return replace(finding, path=("sites", spelled[name][-1], *rest))
        case _:
            return finding
