"""What pydantic found wrong with single keys, in an operator's words: one finding a key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from portico.core.config.findings import Finding, Path
from portico.core.config.keys import hint_for, other_names
from portico.core.config.shapes import Shape, fields_of
from portico.core.model.document import Document
from portico.core.model.labels import app_label
from portico.core.model.site import Site
from portico.core.model.units import Table
from portico.core.model.value_text import value_text

_NAMED_TABLES = ("apps", "upstreams", "sites")
UNKNOWN_KEY, REQUIRED_KEY = "unknown key", "is required"


def shape_findings(error: ValidationError, content: Mapping[str, object]) -> list[Finding]:
    """`content` is what was validated, as plain JSON values.

    Where a key may hold one of several types, pydantic has an error for each of them. Only
    those of the type that was meant count; where none was meant, there is one for the key.
    """
    top = _Place((), Shape("a table", dict, table=Document), content)
    found = []
    for detail in error.errors(include_url=False):
        place = _inner_place(top, detail)
        if place is not None:
            found.append(_finding(detail, place))
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the location of an error has led so far, in the file and in the model."""

    path: Path
    shape: Shape
    value: object = None
    table: type[Table] = Document
    """The table whose key this is."""
    keys: Shape | None = None
    """What a key must be here, where keys are free."""


def _inner_place(place: _Place, detail: ErrorDetails) -> _Place | None:
    """The place that an error is about; None if it is of a type that was not meant."""
    for step in detail["loc"]:
        shape, value = place.shape, place.value
        if step == "[key]" and place.keys and detail["type"] != "extra_forbidden":
            return replace(place, shape=place.keys, value=place.path[-1])
        if shape.branches:
            meant = shape.branch_for(value)
            if meant is None:
                return place
            if meant.label != step:
                return None
            place = replace(place, shape=meant)
        elif isinstance(value, dict) and shape.table:
            inner = fields_of(shape.table).get(str(step), Shape("nothing"))
            place = _Place((*place.path, step), inner, value.get(step), shape.table)
        elif isinstance(value, (dict, list)) and shape.values:
            following = _child(value, step)
            place = _Place((*place.path, step), shape.values, following, keys=shape.keys)
    return place


def _child(value: dict[str, object] | list[object], step: str | int) -> object:
    if isinstance(value, dict):
        return value.get(str(step))
    return value[step] if isinstance(step, int) else None


def _finding(detail: ErrorDetails, place: _Place) -> Finding:
    kind, shape, value = detail["type"], place.shape, place.value
    if hint := _unquoted_site(place.path, place.value):
        return Finding(place.path, UNKNOWN_KEY, hint)
    if kind == "extra_forbidden":
        hint = _dotted_name(place) or hint_for(str(place.path[-1]), place.table)
        return Finding(place.path, UNKNOWN_KEY, hint)
    if kind == "missing":
        return Finding(place.path, REQUIRED_KEY)
    if kind == "value_error" and not shape.branches:
        return Finding(place.path, str(detail["ctx"]["error"]), _spelling(place))
    within = shape.bounds if kind.startswith(("greater_than", "less_than")) else ""
    instead = "" if shape.secret else f", not {value_text(value)}"
    return Finding(place.path, f"must be {within or shape.words}{instead}", _spelling(place))


def _spelling(place: _Place) -> str | None:
    """How the tables of apps, upstreams and sites are written, and what a name may be."""
    match place.path:
        case (str(kind),) if kind in _NAMED_TABLES and isinstance(place.value, list):
            return f"write [{kind}.NAME] for each"
        case (("apps" | "upstreams") as kind, str(name)) if place.value == name:
            label = app_label(name)
            return f"write [{kind}.{label}]" if label else None
        case _:
            return None


def _dotted_name(place: _Place) -> str | None:
    """TOML reads `[apps.my.app]` as a table within a table."""
    match place.path:
        case (("apps" | "upstreams") as kind, str(first), str(key)) if (
            isinstance(place.value, dict)
            and place.value.keys() & place.table.model_fields
            and key not in other_names(place.table)
        ):
            return f"a name has no dots: write [{kind}.{first}-{key}]"
        case _:
            return None


def _unquoted_site(path: Path, value: object) -> str | None:
    """TOML reads `[sites.app.localhost]` as a table within a table."""
    match path:
        case ("sites", str(), str(key)) if isinstance(value, dict) and not _may_be_table(key):
            names = [*map(str, path[1:]), *_only_tables(value)]
            return f"write [sites.{json.dumps('.'.join(names), ensure_ascii=False)}] with quotes"
        case _:
            return None


def _may_be_table(key: str) -> bool:
    shape = fields_of(Site).get(key)
    if shape is None:
        return False
    return bool(shape.table or shape.values) or shape.branch_for({}) is not None


def _only_tables(value: dict[str, object]) -> Iterator[str]:
    """The keys down to the first table that has a key of a site."""
    while len(value) == 1:
        [(key, inner)] = value.items()
        if not isinstance(inner, dict) or key in fields_of(Site):
            return
        yield key
        value = inner
