from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from portico.cli.loading import parser_of
from portico.cli.table import COMMANDS
from portico.core.config.json_schema import json_schema
from portico.core.config.keys import TABLES
from portico.core.config.reference import reference
from portico.core.config.shapes import fields_of
from portico.core.model.document import Document

ROOT = Path(__file__).parents[2]
PAGES = runpy.run_path(str(ROOT / "scripts" / "reference"))["pages"]()


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_as_the_code_says(name):
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "stale: run scripts/reference"


def test_every_argument_of_a_command_has_a_name():
    for line in PAGES["commands.md"]().splitlines():
        if line.startswith(("### portico ", "- `")):
            assert " None" not in line, line
            assert "…`" not in line, line
            assert "…]" not in line, line


def test_each_word_of_a_command_that_has_words_says_what_it_accepts():
    parsers = [parser for parser in map(parser_of, COMMANDS) if parser.forms]
    assert {"portico certs", "portico cluster"} == {parser.prog for parser in parsers}
    for parser in parsers:
        [words] = [each.choices for each in parser.declared if each.dest == "what"]
        assert (*parser.forms,) == words
        for word, form in parser.forms.items():
            assert form.summary.endswith(".")
            assert all(text for _, text in parser.form_rows(word, form)), word


def test_the_picture_of_the_folders_is_as_their_imports_say():
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = runpy.run_path(str(ROOT / "scripts" / "picture"))["drawn"]
    assert page == drawn(page), "stale: run scripts/picture"
    assert "  cli --> client\n" in page


def test_the_picture_of_a_deploy_is_drawn_from_its_measured_data():
    script = runpy.run_path(str(ROOT / "scripts" / "deploy-picture"))
    data = json.loads(script["DATA"].read_text())
    assert script["PICTURE"].read_text() == script["drawn"](data), "run scripts/deploy-picture"
    for page in ("README.md", "README.ko.md"):
        text = (ROOT / page).read_text()
        for deploy in data["deploys"]:
            assert f"{deploy['failed']:,}" in text
            assert f"{deploy['requests']:,}" in text


def test_the_reference_has_every_key_with_a_description():
    text = reference()
    for place, table in TABLES.items():
        assert f"\n## {place}\n" in text
        for key, field in table.model_fields.items():
            assert field.description, key
            assert f"| `{key}` |" in text


def test_the_schema_knows_every_key_and_no_other():
    schema = json.loads(json_schema())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "portico.toml"
    tables = schema["$defs"] | {"Document": schema}
    for table in (Document, *TABLES.values()):
        described = tables[table.__name__]
        assert described["properties"].keys() == fields_of(table).keys()
        assert described["additionalProperties"] is False
        for key, shape in fields_of(table).items():
            known = described["properties"][key]
            assert known["description"]
            assert ("patternProperties" in known) == bool(shape.keys), key


def test_the_schema_has_no_null_as_toml_has_none():
    assert "null" not in json_schema()
