"""The public files of `pm2_files.json`, each read and checked as it is."""

from __future__ import annotations

import json
import posixpath

import pytest

from portico.core.config.document import read_document
from portico.core.config.rules import machine_problems
from portico.errors import ConfigError
from portico.importers.pm2 import from_pm2
from portico.importers.pm2_context import Kind, Pm2Context
from tests.reports.pm2_shapes import PUBLIC, entries, rows

FILES = [file for files in PUBLIC.values() for file in files if "text" not in file]


def look(path: str) -> Kind:
    """As if all scripts of the files were there, and nothing else."""
    if path.startswith("/usr/bin/"):
        return "program"
    name = posixpath.basename(path)
    return "folder" if name == "src" else "text" if "." in name or name == "www" else "missing"


@pytest.mark.parametrize("environment", [None, "production"])
@pytest.mark.parametrize("file", FILES, ids=range(len(FILES)))
def test_a_public_file_is_taken_as_it_is_unless_it_has_no_app(file, environment):
    context = Pm2Context(look, cores=4, environment=environment)
    if not entries(file):
        with pytest.raises(ConfigError, match="describes no app"):
            from_pm2(file, "ecosystem.config.js", context)
        return
    taken = from_pm2(file, "ecosystem.config.js", context)
    document = read_document(json.loads(json.dumps(taken.table)), source="ecosystem.config.js")
    assert machine_problems(document, root=True, cores=4) == []
    assert len(document.apps) == len(entries(file))


def test_every_shape_is_met_in_public():
    assert all(both for _, _, both, _ in rows())
