"""What public PM2 files look like: shapes, how many files have each, and what it becomes here.

`pm2_files.json` has the facts of 105 of them: 50 in the order of the names of their repositories
(a list of ten thousand, with a few left out), and 55 that a search for one attribute or a bug
report led to. Names and folders are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
PUBLIC: Mapping[str, list[Any]] = json.loads(
    (Path(__file__).parent / "pm2_files.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class Shape:
    what: str
    here: str
    has: Callable[[Entry], object]
    """Of an entry of `apps`."""


def entries(file: object) -> list[Entry]:
    apps = file.get("apps", []) if isinstance(file, dict) else file
    return list(apps)


def _port(entry: Entry) -> object:
    variables = entry.get("env", {})
    return entry.get("port") or variables.get("PORT") or variables.get("port")


def _several(entry: Entry) -> bool:
    return entry.get("instances", 1) not in {1, "1"}


def _script(entry: Entry) -> str:
    return str(entry["script"])


def _cluster(entry: Entry) -> bool:
    return entry.get("exec_mode", "").startswith("cluster") or (
        "exec_mode" not in entry and _several(entry)
    )


SHAPES: tuple[Shape, ...] = (
    Shape(
        "one instance with `PORT` or `port`",
        "listens on it",
        lambda e: not _several(e) and _port(e),
    ),
    Shape(
        "one instance without a port (a bot, or a fixed port in the program)",
        "runs without a port; a site finds it (`find_port`)",
        lambda e: not _several(e) and not _port(e),
    ),
    Shape(
        "a cluster of several with a port",
        "each instance has its own port, from that on",
        lambda e: _several(e) and _cluster(e) and _port(e),
    ),
    Shape(
        "a cluster of several without a port",
        "each instance has its own port, and may listen nowhere",
        lambda e: _several(e) and _cluster(e) and not _port(e),
    ),
    Shape(
        "several in fork mode",
        "workers; with `PORT`, each has its own port",
        lambda e: _several(e) and not _cluster(e),
    ),
    Shape(
        "`cluster` with one instance", "as one instance", lambda e: _cluster(e) and not _several(e)
    ),
    Shape(
        "`PORT` 80 or 443",
        "that port; with a site another",
        lambda e: str(_port(e)) in {"80", "443"},
    ),
    Shape(
        "a port in `args` (`-p 3000`, `--port 8000`)",
        "filled in for each instance of a cluster",
        lambda e: re.search(r"(-p|--port|-l)[ =]\d+", str(e.get("args", ""))),
    ),
    Shape(
        "`npm`, `pnpm`, `yarn`, `bun` or `npx` as `script`",
        "found in PATH",
        lambda e: _script(e) in {"npm", "pnpm", "yarn", "bun", "npx"},
    ),
    Shape(
        "another program in PATH, or of the project's `venv` or `node_modules`",
        "found there",
        lambda e: (
            _script(e) in {"gunicorn", "uvicorn", "ts-node", "python", "node"}
            or _script(e).startswith("/usr/bin/")
        ),
    ),
    Shape("a command line with blanks as `script`", "`bash -c`", lambda e: " " in _script(e)),
    Shape(
        "a program of Python",
        "run by the interpreter that is named, or the project's",
        lambda e: "python" in str(e.get("interpreter", "")) or _script(e).endswith(".py"),
    ),
    Shape("a shell script", "run by bash", lambda e: _script(e).endswith(".sh")),
    Shape(
        "another interpreter (`bun`, `babel-node`, `node@16`, `none`)",
        "that one; without the version",
        lambda e: (
            e.get("interpreter", e.get("exec_interpreter", "node"))
            in {"bun", "babel-node", "./node_modules/.bin/babel-node", "node@16.16.0", "none"}
        ),
    ),
    Shape("`serve` as `script`", "serves the folder", lambda e: _script(e) == "serve"),
    Shape(
        "a folder, or a file without an ending, as `script`",
        "run by Node",
        lambda e: _script(e) == "./src" or _script(e).endswith("/www"),
    ),
    Shape("`node_args` or `interpreter_args`", "`interpreter_args`", lambda e: e.get("node_args")),
    Shape(
        "`env_production` and the like",
        "env, with `--env`",
        lambda e: any(key.startswith("env_") and key != "env_file" for key in e),
    ),
    Shape("`max_memory_restart`", "`max_memory`", lambda e: e.get("max_memory_restart")),
    Shape("`watch`", "`watch`", lambda e: e.get("watch")),
    Shape("`cron_restart`", "a rollout at these times", lambda e: e.get("cron_restart")),
    Shape(
        "`cron_restart` with `autorestart: false`",
        "`schedule`: runs at these times",
        lambda e: e.get("cron_restart") and e.get("autorestart") is False,
    ),
    Shape(
        "`wait_ready`",
        "heard; without a message it continues after `listen_timeout`",
        lambda e: e.get("wait_ready"),
    ),
    Shape("`restart_delay`", "`backoff`, always the same", lambda e: e.get("restart_delay")),
    Shape(
        "`exp_backoff_restart_delay`",
        "`backoff`, up to 15 s",
        lambda e: e.get("exp_backoff_restart_delay"),
    ),
    Shape(
        "`time` or `log_date_format`",
        "`logs.timestamp`",
        lambda e: e.get("time") or e.get("log_date_format"),
    ),
    Shape(
        "files for output and errors",
        "`logs.stdout`, `logs.stderr`",
        lambda e: e.get("out_file") or e.get("output"),
    ),
    Shape(
        "`log_file` in addition to those",
        "not written, with a note",
        lambda e: e.get("log_file") and e.get("out_file"),
    ),
    Shape(
        "`merge_logs`, `pid_file`, `log_type`, `vizion`, `post_update`",
        "not needed, or not supported; a note",
        lambda e: e.keys() & {"merge_logs", "combine_logs", "pid_file", "log_type", "post_update"},
    ),
    Shape(
        "a name with capitals or other characters",
        "in lower case; commands take it as it is written",
        lambda e: re.search(r"[^a-z0-9_-]", str(e.get("name", ""))),
    ),
)
_OF_FILES: tuple[tuple[str, str, Callable[[Any], object]], ...] = (
    ("several entries", "separate apps", lambda file: len(entries(file)) > 1),
    (
        "entries with the same port",
        "that of a cluster; otherwise each listens on it or not",
        lambda file: _repeats([str(_port(e)) for e in entries(file) if _port(e)]),
    ),
    ("`deploy`", "not supported, with a note", lambda file: "deploy" in file),
    (
        "a file that PM2 refuses, too (no app, or JSON in a `.js`)",
        "an error",
        lambda file: "text" in file or not entries(file),
    ),
)


def _repeats(found: list[str]) -> bool:
    return len(set(found)) < len(found)


def rows() -> Iterator[tuple[str, int, int, str]]:
    """Shape, files in order that have it, files in all, and what it becomes."""
    found: list[tuple[str, str, Callable[[Any], object]]] = [
        (shape.what, shape.here, lambda file, has=shape.has: any(map(has, entries(file))))
        for shape in SHAPES
    ]
    for what, here, has in [*found, *_OF_FILES]:
        counts = [sum(bool(has(file)) for file in files) for files in PUBLIC.values()]
        yield what, counts[0], sum(counts), here


_HEAD = """
## Shapes of public files

How many of {all} public PM2 files have each shape, and how many of the {first} among them that
were taken in the order of the names of their repositories; the others were found by a search for
an attribute or a bug report. All but those of the last row pass `portico check` as they are
(`tests/reports/`), and `up` and `reload` run them, with small programs in the places of theirs
(`bench/pm2-files`).

| shape | of {first} | of {all} | here |
|---|---|---|---|
"""


def table() -> str:
    """The last part of docs/reference/pm2.md."""
    first, others = (len(files) for files in PUBLIC.values())
    lines = (f"| {what} | {some} | {both} | {here} |\n" for what, some, both, here in rows())
    return _HEAD.format(first=first, all=first + others) + "".join(lines)
