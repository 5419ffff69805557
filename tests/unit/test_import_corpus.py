"""Configurations of nginx of the shapes that people have, written for this test: `corpus/nginx`.

Each is imported without an exception; no line of it vanishes; and the file that comes out is one
that `check` accepts.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from portico.core.config.document import read_document
from portico.stack.importing.imported import imported
from portico.stack.importing.part import Fate
from portico.stack.importing.writing import text_of
from portico.stack.reading.nginx import read_nginx

CORPUS = Path(__file__).parent.parent / "corpus" / "nginx"
FILES = sorted(CORPUS.rglob("*.conf"))


def imported_file(path):
    stack = read_nginx(path)
    return stack, imported(stack, Path("/srv"))


def test_there_are_many():
    assert len(FILES) >= 120


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_is_carried_over_done_kept_or_listed(path):
    stack, found = imported_file(path)
    kept = "".join(found.files.values())
    listed = {gap.place.line for gap in found.gaps}
    for line, around in lines_of(stack.nginx):
        fate = found.fates.get(id(line))
        assert fate is not None, line
        if fate is Fate.LISTED:
            assert {each.number for each in (line, *around)} & listed, line
        if fate is Fate.KEPT and line.name != "include":
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
