"""PM2's ecosystem files and its `dump.pm2`, as `portico up` itself takes them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from portico.importers.read import read_file
from portico.importers.sites import tables
from portico.stack.model import Gap, Place, Program, Stack
from portico.system.text import read_text

_DUMP = "dump.pm2"


def pm2_home(environ: Mapping[str, str]) -> Path:
    """The folder of this user's PM2."""
    return Path(environ.get("PM2_HOME") or f"{environ.get('HOME', '/root')}/.pm2")


def read_pm2(path: Path, environ: Mapping[str, str]) -> Stack:
    """Blocks while Node evaluates JavaScript. Raises ConfigError when it cannot be used."""
    found = read_file(path, environ)
    apps = tables(found.table.get("apps"))
    places = dict(_places(path, apps))
    # Which of them are peers is for nginx's files to say.
    groups = tuple(f"form the upstream {name}" for name in tables(found.table.get("upstreams")))
    notes = (note for note in found.notes if not note.endswith(groups))
    gaps = [Gap(Place(str(path)), "", note) for note in notes]
    if path.name.startswith(_DUMP):
        gaps += _of_shell(apps, places)
    return Stack(
        programs=tuple(
            Program(name, places[name], "pm2", app, _ports(app)) for name, app in apps.items()
        ),
        gaps=tuple(gaps),
        files=(str(path),),
    )


def _places(path: Path, apps: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, Place]]:
    """The line with the name of each, or with a script of its own; in the order of the file."""
    text, start = read_text(path), 0
    scripts = Counter(app.get("script") for app in apps.values())
    for name, app in apps.items():
        env = app.get("env")
        written = str(env.get("name", name)) if isinstance(env, Mapping) else name
        script = str(app.get("script", "")).rpartition("/")[2]
        patterns = [rf"\bname['\"]?\s*:\s*['\"`]?{re.escape(written)}(?![\w-])"]
        patterns += (
            [rf"[/'\"`\s]{re.escape(script)}(?![\w.-])"]
            if script and scripts[app.get("script")] == 1
            else []
        )
        tries = (re.compile(each).search(text, at) for each in patterns for at in (start, 0))
        place = next((each for each in tries if each), None)
        start = place.end() if place else start
        yield name, Place(str(path), text.count("\n", 0, place.end()) + 1 if place else 0)


def _of_shell(
    apps: Mapping[str, Mapping[str, object]], places: Mapping[str, Place]
) -> Iterator[Gap]:
    why = "PM2 also stores the variables of its shell: see whether the app needs all of these"
    for name, app in apps.items():
        env = app.get("env")
        names = [each for each in env if each != "name"] if isinstance(env, Mapping) else []
        if names:
            yield Gap(places[name], f"env: {', '.join(names)}", why)


def _ports(app: Mapping[str, object]) -> tuple[int, ...]:
    port, instances = app.get("port"), app.get("instances", 1)
    if not isinstance(port, int) or port is False:
        return ()
    return tuple(range(port, port + (instances if isinstance(instances, int) else 1)))
