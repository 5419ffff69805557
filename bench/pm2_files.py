"""The public PM2 files of tests/reports, each run for real; for `bench/pm2-files`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from tests.reports.pm2_shapes import PUBLIC, entries
from tests.stack import Stack

NODE_IN_PATH = ("npm", "pnpm", "yarn", "bun", "npx", "ts-node", "nodemon", "babel-node")
PYTHON_IN_PATH = ("gunicorn", "uvicorn")
SILENT = "setInterval(() => {}, 1 << 30);"
LISTENS = f"""
const found = process.argv.join(' ').match(/(?:-p|--port|-l|:)[ =]?([0-9]{{2,5}})/);
const port = process.env.PORT || process.env.port || (found && found[1]);
if (process.send) process.send('ready');
if (port) require('node:http').createServer((_, answer) => answer.end()).listen(port, '127.0.0.1');
{SILENT}
"""
PYTHON = """#!/usr/bin/env python3
import os, re, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
found = re.search("(?:--port |--bind .*:)([0-9]+)", " ".join(sys.argv))
port = os.environ.get("PORT") or (found and found[1])
if port:
    HTTPServer(("127.0.0.1", int(port)), BaseHTTPRequestHandler).serve_forever()
time.sleep(1e6)
"""


def main(numbers: Sequence[int]) -> int:
    files = [file for kept in PUBLIC.values() for file in kept]
    chosen, failed = numbers or range(len(files)), 0
    for number in chosen:
        with redirect_stdout(StringIO()):  # the log of a daemon, which its end prints
            what = try_file(files[number])
        failed += bool(what)
        print(f"{number:3}  {what or 'good'}", flush=True)
    print(f"{failed} of {len(chosen)} did not run")
    return int(failed > 0)


def try_file(file: Any) -> str:
    """What is wrong with it; empty if nothing is."""
    if "text" in file:
        return "PM2 does not read it, either"
    if not entries(file):
        return "it describes no app"
    with Stack() as stack:
        taken = set[str]()
        for entry in entries(file):
            port = str(entry.get("env", {}).get("PORT", entry.get("port", "")))
            write_programs(stack, entry, silent=port in taken)
            taken |= {port} - {""}
        (stack.folder / "ecosystem.config.js").write_text(f"module.exports = {json.dumps(file)};")
        stack.environ["PATH"] = f"{stack.root / 'bin'}:{stack.environ['PATH']}"
        try:
            return next(faults(stack), "")
        finally:
            stack.portico("down", "--now")


def faults(stack: Stack) -> Iterator[str]:
    for command in ("up", "reload"):
        result = stack.portico(command)
        if result.returncode:
            yield f"{command}: {(result.stdout + result.stderr)[-300:].strip()!r}"
        yield from (f"after {command}: {what}" for what in unwell(stack.status()))


def unwell(status: Mapping[str, Any]) -> Iterator[str]:
    for app in status["apps"]:
        states = [each["state"] for each in app["instances"]]
        if states.count("ready") != app["wanted"] and not app["schedule"]:
            yield f"{app['name']}: {states} instead of {app['wanted']}"
        if any(each["restarts"] for each in app["instances"]):
            yield f"{app['name']} was restarted: {app['instances']}"
    yield from status["troubles"]


def write_programs(stack: Stack, entry: Mapping[str, Any], *, silent: bool) -> None:
    """What the entry needs, in its place."""
    folder = (stack.folder / entry.get("cwd", ".")).resolve()
    listens = stack.folder / "listens.js"
    node = f"#!/usr/bin/env node\nrequire({json.dumps(str(listens))});\n"
    texts = {
        listens: LISTENS,
        folder / ".env": "A=1\n",
        folder / entry.get("env_file", ".env"): "A=1\n",
        folder / "node_modules/dotenv/config.js": "",
        folder / "node_modules/.bin/babel-node": node,
        **{stack.root / "bin" / name: node for name in NODE_IN_PATH},
        **{stack.root / "bin" / name: PYTHON for name in PYTHON_IN_PATH},
    }
    for name in entry["watch"] if isinstance(entry.get("watch"), list) else ():
        (folder / name).mkdir(exist_ok=True)
    arguments = entry.get("args", [])
    words = arguments.split() if isinstance(arguments, str) else arguments
    for name in [entry["script"], *(word for word in words if word.endswith((".py", ".js")))]:
        if (
            name not in {*NODE_IN_PATH, *PYTHON_IN_PATH}
            and " " not in name
            and not name.startswith("/")
        ):
            inside = "index.js" if name == "./src" else "."
            texts[folder / name / inside] = SILENT if silent else _program(name, listens, node)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    if "venv" in str(entry.get("interpreter")):
        python = folder / entry["interpreter"]
        python.parent.mkdir(parents=True, exist_ok=True)
        python.unlink(missing_ok=True)
        python.symlink_to("/usr/bin/python3")


def _program(name: str, listens: Path, node: str) -> str:
    if name.endswith(".py"):
        return PYTHON
    if name.endswith(".sh"):
        return f'#!/bin/sh\nexec node {listens} "$@"\n'
    if name.endswith(".mjs"):
        start = "import {createRequire} from 'node:module'; createRequire(import.meta.url)"
        return f"{start}({json.dumps(str(listens))});"
    return node
