"""PM2's ecosystem files and its `dump.pm2`, as `portico up` itself takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from portico.importers.read import read_file
from portico.importers.sites import tables
from portico.stack.model import Gap, Place, Program, Stack
from portico.system.text import read_text


def read_pm2(path: Path, environ: Mapping[str, str]) -> Stack:
    """Blocks while Node evaluates JavaScript. Raises ConfigError when it cannot be used."""
    found = read_file(path, environ)
    place, text = Place(str(path)), read_text(path)
    # Which of them are peers is for nginx's files to say.
    groups = tuple(f"form the upstream {name}" for name in tables(found.table.get("upstreams")))
    apps = tables(found.table.get("apps"))
    return Stack(
        programs=tuple(
            Program(name, Place(place.file, _line(name, text)), "pm2", app, _ports(app))
            for name, app in apps.items()
        ),
        gaps=tuple(Gap(place, "", note) for note in found.notes if not note.endswith(groups)),
        files=(str(path),),
    )


def _line(name: str, text: str) -> int:
    """Where the only such text in quotes is; 0 for a name that is made, or is there twice."""
    found = [match.start() for match in re.finditer(rf"([\"'`]){re.escape(name)}\1", text)]
    return text.count("\n", 0, found[0]) + 1 if len(found) == 1 else 0


def _ports(app: Mapping[str, object]) -> tuple[int, ...]:
    port, instances = app.get("port"), app.get("instances", 1)
    if not isinstance(port, int) or port is False:
        return ()
    return tuple(range(port, port + (instances if isinstance(instances, int) else 1)))
