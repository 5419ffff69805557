"""Several entries that run one program on different ports, as PM2's users write it by hand.

They stay apps under their own names, and become peers of one upstream, where they differ in
nothing but the port: an entry with other variables is another app (production and staging).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from itertools import takewhile

from portico.importers.pm2_context import Table

_PROGRAM = ("script", "command", "args", "cwd", "interpreter", "interpreter_args")
_OWN_KEYS = ("port", "logs", "autostart")
"""Keys that differ between peers."""


def upstreams(apps: Mapping[str, Table]) -> dict[str, tuple[str, ...]]:
    """Upstream name to the names of its apps, for every program that several apps run."""
    groups: dict[str, list[str]] = {}
    for name, app in apps.items():
        if app.get("port"):
            same = {key: value for key, value in app.items() if key not in _OWN_KEYS}
            groups.setdefault(json.dumps(same, sort_keys=True), []).append(name)
    found: dict[str, tuple[str, ...]] = {}
    for names in groups.values():
        if len({apps[name]["port"] for name in names}) > 1:
            found[_name(names, apps, found)] = tuple(names)
    return found


def alike_but_for_variables(
    apps: Mapping[str, Table], groups: Mapping[str, tuple[str, ...]]
) -> list[list[str]]:
    """Apps with ports that run one program and are nevertheless no peers of each other."""
    joined = {name for names in groups.values() for name in names}
    found: dict[str, list[str]] = {}
    for name, app in apps.items():
        if app.get("port") and name not in joined:
            found.setdefault(json.dumps([app.get(key) for key in _PROGRAM]), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def _name(names: list[str], apps: Mapping[str, Table], used: Mapping[str, object]) -> str:
    """What their names begin with (`server` for server-1 and server-2), else the script's."""
    common = re.sub(r"[-_\d]+$", "", _common(names))
    script = posixpath.basename(str(apps[names[0]].get("script", "")))
    stem = re.sub(r"[^a-z0-9_-]+", "-", script.partition(".")[0].lower()).strip("-_")
    wanted = [common, stem, f"{common or stem or 'app'}-all"]
    free = (name for name in wanted if name and name not in apps and name not in used)
    return next(free, f"{names[0]}-all")


def _common(names: list[str]) -> str:
    """Whatever the first and the last in order begin with, those between begin with too."""
    pairs = zip(min(names), max(names), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
