"""Entries of a PM2 file that are folders of static files: `script: "serve"`, and `static`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Final

from portico.importers.pm2_context import Pm2Context, Table, Values

PORT: Final = "PM2_SERVE_PORT"
MODULE: Final = "portico.system.folder_server"
_DEFAULT_PORT: Final = 8080
_PORT_OPTIONS: Final = frozenset(("-l", "--listen", "-p", "--port"))
_SPA_OPTIONS: Final = frozenset(("-s", "--single", "--spa"))


def static_entries(exported: object) -> Iterator[Mapping[str, object]]:
    """What PM2 makes of the list `static` beside `apps`."""
    found = exported.get("static") if isinstance(exported, Mapping) else None
    for entry in found if isinstance(found, list) else [found] if found else []:
        if not isinstance(entry, Mapping):
            continue
        auth = entry.get("basic_auth")
        own = {f"PM2_SERVE_{key.upper()}": entry.get(key) for key in ("port", "host", "path")}
        yield {
            "name": entry.get("name") or f"static-page-server-{entry.get('port')}",
            "script": "serve",
            "env": {key: value for key, value in own.items() if value is not None}
            | {"PM2_SERVE_SPA": str(bool(entry.get("spa"))).lower()}
            | (_authorization(auth) if isinstance(auth, Mapping) else {}),
        }


def _authorization(auth: Mapping[str, object]) -> dict[str, object]:
    start = "PM2_SERVE_BASIC_AUTH"
    names = {f"{start}_{key.upper()}": auth.get(key, "") for key in ("username", "password")}
    return {start: "true", **names}


def is_served(values: Values, variables: Values, context: Pm2Context) -> bool:
    """Whether the entry is a folder, and not the program `serve` of that name."""
    path = posixpath.join(str(values.get("cwd", "")), "serve")
    if values.get("script") != "serve" or context.look(path) != "missing":
        return False
    set_here = any(name.startswith("PM2_SERVE_") for name in variables)
    return set_here or context.which("serve") is None


def with_options(values: Values, variables: Values) -> Table:
    """The variables, with what the options of the program `serve` say over their defaults."""
    words, found = iter(_texts(values.get("args"))), dict(variables)
    for word in words:
        option, _, attached = word.partition("=")
        if option in _PORT_OPTIONS:
            found.setdefault(PORT, attached or next(words, ""))
        elif option in _SPA_OPTIONS:
            found.setdefault("PM2_SERVE_SPA", "true")
        elif not word.startswith("-"):
            found.setdefault("PM2_SERVE_PATH", word)
    return found | {PORT: found.get(PORT) or _DEFAULT_PORT}


def program(context: Pm2Context) -> Table:
    """What serves the folder on its port."""
    command = [context.python, "-P", "-m", MODULE]
    return {"command": command, "args": [], "interpreter_args": []}


def folder(app: Table) -> Table | None:
    """What a site has as its `folder`; None where the folder is not for everybody."""
    env, cwd = app.get("env"), str(app.get("cwd", ""))
    if not isinstance(env, dict) or env.get("PM2_SERVE_BASIC_AUTH") == "true":
        return None
    index = posixpath.basename(str(env.get("PM2_SERVE_HOMEPAGE") or "index.html"))
    spa = str(env.get("PM2_SERVE_SPA", "")).lower() == "true"
    path = posixpath.join(cwd, str(env.get("PM2_SERVE_PATH") or "."))
    return {"path": path, "spa": spa, "index": index}


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
