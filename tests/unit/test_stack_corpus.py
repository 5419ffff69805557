"""Files of all formats: each is imported, and each line of it counts or is listed."""

from __future__ import annotations

import json
import re

import pytest

from portico.core.config.document import read_document
from portico.errors import PorticoError
from portico.stack.importing.stack_import import import_stack
from portico.stack.reading.compose import IDLE_KEYS as IDLE_IN_COMPOSE
from portico.stack.reading.read import read_stack
from portico.stack.reading.unit_service import IDLE_KEYS as IDLE_IN_UNITS
from tests.corpus.others import CADDYFILES, COMPOSES, CRONTABS, GREENLOCKS, PROCFILES, UNITS
from tests.reports.pm2_shapes import PUBLIC, entries

FORMATS = {
    "web.service": UNITS,
    "Procfile": PROCFILES,
    "crontab": CRONTABS,
    "compose.yaml": COMPOSES,
    "Caddyfile": CADDYFILES,
}
FILES = [(name, text) for name, texts in FORMATS.items() for text in texts]
IDS = [f"{name}: {text.splitlines()[0].lstrip('# ')}" for name, text in FILES]
IDLE = {
    "web.service": re.compile(rf"\[|\s*#|({'|'.join(IDLE_IN_UNITS)})=|Restart=(no|always)"),
    "Procfile": re.compile("#"),
    "crontab": re.compile(r"#|\w+="),
    "compose.yaml": re.compile(
        rf"#|\s*({'|'.join(IDLE_IN_COMPOSE)}|networks|volumes):|restart: a|\s*ports: ..80"
    ),
    "Caddyfile": re.compile(r"#|\s*(encode gzip|log|header_up X-Real-IP.*|reverse_proxy :8080)$"),
}
"""Lines that say nothing here: comments, and what Portico does by itself."""


def read(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return read_stack([folder / name], {"DOMAIN": "env.test"})


def words(line):
    return (line.name, *line.args, *map(words, line.block or ()))


def meaning(stack):
    """Without the places."""
    return (
        [(each.name, each.table, each.ports, each.sockets) for each in stack.programs],
        [(each.name, each.table, list(map(words, each.upstreams))) for each in stack.sites],
        [each.command for each in stack.renewals],
        sorted((each.what, each.why) for each in stack.gaps),
    )


@pytest.mark.parametrize(("name", "text"), FILES, ids=IDS)
def test_a_file_is_imported_as_one_that_check_accepts(tmp_path, name, text):
    taken = import_stack(read(tmp_path, name, text), tmp_path)
    read_document(json.loads(json.dumps(taken.table)), source=name)


@pytest.mark.parametrize(("name", "text"), FILES, ids=IDS)
def test_each_line_of_a_file_is_carried_over_or_listed(tmp_path, name, text):
    whole, lines, lost = meaning(read(tmp_path, name, text)), text.splitlines(), []
    for index, line in enumerate(lines):
        if IDLE[name].match(line) or not line.strip() or line.endswith(("{", "}", ":", "\\")):
            continue
        if index and lines[index - 1].endswith("\\"):
            continue
        without = "\n".join((*lines[:index], *lines[index + 1 :]))
        try:
            if meaning(read(tmp_path, name, without)) == whole:
                lost.append(line)
        except PorticoError:
            continue  # it counts
    assert lost == []


@pytest.mark.parametrize("config", GREENLOCKS, ids=range(len(GREENLOCKS)))
def test_a_configuration_of_greenlock_is_imported(tmp_path, config):
    (tmp_path / "package.json").write_text('{"main": "index.js"}')
    taken = import_stack(
        read(tmp_path / "greenlock.d", "config.json", json.dumps(config)), tmp_path
    )
    read_document(json.loads(json.dumps(taken.table)), source="config.json")
    subjects = [each["subject"] for each in config["sites"] if isinstance(each, dict)
                and "subject" in each]  # fmt: skip
    assert set(subjects) <= set(taken.table.get("sites", {}))


PM2 = [file for files in PUBLIC.values() for file in files if "text" not in file and entries(file)]


@pytest.mark.parametrize("file", PM2, ids=range(len(PM2)))
def test_a_file_of_pm2_is_imported_with_each_of_its_programs(tmp_path, file):
    path = tmp_path / "ecosystem.config.json"
    path.write_text(json.dumps(file, indent=1))
    stack = read_stack([path], {})
    assert len(stack.programs) == len(entries(file))
    assert all(each.place.line for each in stack.programs)
    taken = import_stack(stack, tmp_path)
    read_document(json.loads(json.dumps(taken.table)), source=path.name)
