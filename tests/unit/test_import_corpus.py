"""Configurations of nginx of the shapes that people have, written for this test: `corpus/nginx`.

Each is imported without an exception; no line of it vanishes; and the file that comes out is one
that `check` accepts.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from portico.core.config.document import read_document
from portico.stack.importing.part import OutcomeKind
from portico.stack.importing.stack_import import import_stack
from portico.stack.importing.writing import text_of
from portico.stack.reading.nginx import read_nginx

CORPUS = Path(__file__).parent.parent / "corpus" / "nginx"
PAGE = Path(__file__).parent.parent.parent / "docs" / "migrating.md"
FILES = sorted(CORPUS.rglob("*.conf"))


def imported_file(path):
    stack = read_nginx(path)
    return stack, import_stack(stack, Path("/srv"))


def test_there_are_many():
    assert len(FILES) >= 120


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_is_carried_over_done_kept_or_listed(path):
    stack, found = imported_file(path)
    kept = "".join(found.files.values())
    listed = {gap.place.line for gap in found.gaps}
    for line, around in lines_of(stack.nginx):
        kind = found.outcome_kinds.get(id(line))
        assert kind is not None, line
        if kind is OutcomeKind.LISTED:
            assert {each.number for each in (line, *around)} & listed, line
        if kind is OutcomeKind.KEPT and line.name != "include":
            assert line.name in kept, line


def lines_of(lines, around=()):
    """Each line, with the blocks around it."""
    for line in lines:
        yield line, around
        yield from lines_of(line.block or (), (*around, line))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_that_is_written_is_one_that_check_accepts(path):
    _, found = imported_file(path)
    text = text_of(found.table, found.sources, (str(path),))
    assert tomllib.loads(text) == json.loads(json.dumps(found.table))
    read_document(found.table, source="portico.toml")


def test_the_page_has_how_often_each_directive_was_met():
    """The table of docs/migrating.md; another number there is right when this fails."""
    met = Counter(
        name
        for path in FILES
        for name in {gap.what.partition(" ")[0] for gap in imported_file(path)[1].gaps}
    )
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) >= 19
    assert {name: int(number) for name, number in rows} == {name: met[name] for name, _ in rows}
