"""PM2's ecosystem files and its `dump.pm2`, as `portico up` itself takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from portico.importers.read import read_file
from portico.importers.sites import tables
from portico.stack.model import Gap, Place, Program, Stack


def read_pm2(path: Path, environ: Mapping[str, str]) -> Stack:
    """Blocks while Node evaluates JavaScript. Raises ConfigError when it cannot be used."""
    found = read_file(path, environ)
    place = Place(str(path))
    # Which of them are peers is for nginx's files to say.
    groups = tuple(f"form the upstream {name}" for name in tables(found.table.get("upstreams")))
    apps = tables(found.table.get("apps"))
    return Stack(
        programs=tuple(
            Program(name, place, "pm2", app, _ports(app)) for name, app in apps.items()
        ),
        gaps=tuple(Gap(place, "", note) for note in found.notes if not note.endswith(groups)),
        files=(str(path),),
    )


def _ports(app: Mapping[str, object]) -> tuple[int, ...]:
    port, instances = app.get("port"), app.get("instances", 1)
    if not isinstance(port, int) or port is False:
        return ()
    return tuple(range(port, port + (instances if isinstance(instances, int) else 1)))
