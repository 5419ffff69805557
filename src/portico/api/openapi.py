"""The OpenAPI 3.1 document, made from the table and the models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from portico import __version__
from portico.api.resource import Nothing, Resource
from portico.core.model.views import ErrorView

Json = dict[str, object]
PROMETHEUS: Final = "text/plain; version=0.0.4"
_Modelled = Literal["validation", "serialization"]
_MEDIA: Final = {
    "one": "application/json",
    "list": "application/json",
    "stream": "application/x-ndjson",
    "text": PROMETHEUS,
}


def document(table: Iterable[Resource[Any]]) -> Json:
    lines = tuple(table)
    shapes = _Shapes(lines)
    paths: dict[str, Json] = {}
    for line in lines:
        paths.setdefault(line.path, {})[line.method.lower()] = _operation(line, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portico",
            "version": __version__,
            "description": "The API of porticod, on the unix socket api.sock in PORTICO_HOME.",
        },
        "paths": paths,
        "components": {"schemas": shapes.definitions},
    }


class _Shapes:
    """JSON Schemas of all models, with their definitions where OpenAPI wants them."""

    def __init__(self, lines: Iterable[Resource[Any]]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (ErrorView, "serialization"): None
        }
        for line in lines:
            wanted[line.takes, "validation"] = None
            wanted[line.gives, "serialization"] = None
        self._schemas, rest = models_json_schema(
            list(wanted), ref_template="#/components/schemas/{model}"
        )
        self.definitions: Mapping[str, object] = rest["$defs"]

    def __call__(self, model: type[BaseModel], mode: _Modelled) -> Mapping[str, object]:
        return self._schemas[model, mode]


def _operation(line: Resource[Any], shapes: _Shapes) -> Json:
    one = shapes(line.gives, "serialization")
    shaped: dict[str, Mapping[str, object]] = {
        "list": {"type": "array", "items": one},
        "text": {"type": "string"},
    }
    given = shaped.get(line.shape, one)
    operation: Json = {
        "operationId": _operation_id(line),
        "summary": line.says,
        "responses": {
            str(line.status): _content(line.says, _MEDIA[line.shape], given),
            "default": _content(
                "What went wrong.", _MEDIA["one"], shapes(ErrorView, "serialization")
            ),
        },
    }
    if parameters := _parameters(line):
        operation["parameters"] = parameters
    if line.takes is not Nothing:
        body = _content("", _MEDIA["one"], shapes(line.takes, "validation"))
        required = any(field.is_required() for field in line.takes.model_fields.values())
        operation["requestBody"] = {"content": body["content"], "required": required}
    return operation


def _operation_id(line: Resource[Any]) -> str:
    """The handler's name; the ones that act on all at once are told apart by their path."""
    all_at_once = {f"/v1/apps/{line.name}", f"/v1/certificates/{line.name}"}
    return f"{line.name}_all" if line.path in all_at_once else line.name


def _parameters(line: Resource[Any]) -> list[Json]:
    text = {"type": "string"}
    return [
        *(
            {"name": name, "in": "path", "required": True, "schema": text}
            for name in re.findall(r"\{(\w+)\}", line.path)
        ),
        *(
            {"name": name, "in": "query", "description": says, "schema": text}
            for name, says in line.query.items()
        ),
    ]


def _content(says: str, media: str, schema: Mapping[str, object]) -> Json:
    return {"description": says, "content": {media: {"schema": schema}}}
