"""The JSON Schema of portico.toml, for editors that complete and check keys while one types."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from portico.core.model.document import Document


def json_schema() -> str:
    """The text of `portico.schema.json`."""
    schema = Document.model_json_schema(schema_generator=_Generator)
    named = _for_toml(schema) | {"title": "portico.toml"}
    return json.dumps(named, indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # not ours to name
        """A title would be the key once more; editors show the description."""
        return False

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect} | super().generate(schema, mode)


def _for_toml(schema: Any) -> Any:
    """TOML has no null, what has no value is left out; and no key is free that has a pattern."""
    if isinstance(schema, list):
        return [_for_toml(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    fitting = {key: _for_toml(part) for key, part in schema.items() if part is not None}
    if "$ref" in fitting:
        fitting.pop("default", None)
    if "patternProperties" in fitting:
        fitting["additionalProperties"] = False
    match fitting.get("anyOf"):
        case [dict() as only]:
            return {key: part for key, part in fitting.items() if key != "anyOf"} | only
        case _:
            return fitting
