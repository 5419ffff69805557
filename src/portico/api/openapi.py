"""The OpenAPI 3.1 document, made from the verbs and the models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from portico import __version__
from portico.api.calls import Call, EmptyBody, answer_model
from portico.core.model.verb import Verb
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


def document(verbs: Sequence[Verb[Any]]) -> Json:
    schemas = _Schemas(verbs)
    paths: dict[str, Json] = {}
    for verb in verbs:
        for path, name in verb.paths:
            paths.setdefault(path, {})[verb.method.lower()] = _operation(verb, path, name, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portico",
            "version": __version__,
            "description": "The API of porticod, on the unix socket api.sock in PORTICO_HOME.",
        },
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }


class _Schemas:
    """JSON Schemas of all models, with their definitions where OpenAPI wants them."""

    def __init__(self, verbs: Iterable[Verb[Any]]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (ErrorView, "serialization"): None
        }
        for verb in verbs:
            wanted[Call.of(verb).body, "validation"] = None
            wanted[answer_model(verb), "serialization"] = None
        self._schemas, rest = models_json_schema(
            list(wanted), ref_template="#/components/schemas/{model}"
        )
        self.definitions: Mapping[str, object] = rest["$defs"]

    def __call__(self, model: type[BaseModel], mode: _Modelled) -> Mapping[str, object]:
        return self._schemas[model, mode]


def _operation(verb: Verb[Any], path: str, name: str, schemas: _Schemas) -> Json:
    one, body = schemas(answer_model(verb), "serialization"), Call.of(verb).body
    shaped: dict[str, Mapping[str, object]] = {
        "list": {"type": "array", "items": one},
        "text": {"type": "string"},
    }
    operation: Json = {
        "operationId": name,
        "summary": verb.summary,
        "responses": {
            str(verb.status): _content(
                verb.summary, _MEDIA[verb.shape], shaped.get(verb.shape, one)
            ),
            "default": _content(
                "What went wrong.", _MEDIA["one"], schemas(ErrorView, "serialization")
            ),
        },
    }
    if found := _parameters(verb, path):
        operation["parameters"] = found
    if body is not EmptyBody:
        content = _content("", _MEDIA["one"], schemas(body, "validation"))["content"]
        required = any(field.is_required() for field in body.model_fields.values())
        operation["requestBody"] = {"content": content, "required": required}
    return operation


def _parameters(verb: Verb[Any], path: str) -> list[Json]:
    text: Json = {"type": "string"}
    in_path: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in verb.parameters
        if f"{{{name}}}" in path
    ]
    in_query: list[Json] = [
        {"name": name, "in": "query", "description": about, "schema": text}
        for name, about in verb.query.items()
    ]
    return in_path + in_query


def _content(description: str, media: str, schema: Mapping[str, object]) -> Json:
    return {"description": description, "content": {media: {"schema": schema}}}
