"""Programs of Node, Bun and Deno."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.stack.reading.procfile import app_command
from portico.stack.starting.sources import json_table, sources, table_of, text_of
from portico.stack.starting.start import Start

_SCRIPTS: Final = tuple(
    f"{name}.{ending}"
    for name in ("server", "index", "app", "main", "src/server", "src/index", "src/app")
    for ending in ("js", "mjs", "cjs")
)
_OUTPUT_FOLDERS: Final = {
    "vite": "dist", "react-scripts": "build", "@angular/cli": "dist", "astro": "dist",
    "parcel": "dist", "@vue/cli-service": "dist", "gatsby": "public",
}  # fmt: skip
"""What builds a page for browsers, and the folder that it writes."""
_BUILDERS: Final = frozenset(("react-scripts", "vite", "parcel", "gatsby", "ng", "astro"))
"""Programs whose `start` serves such pages to developers."""
_LISTEN_CALL: Final = re.compile(r"\.listen\s*\(|\bserve\s*\(|createServer\b")
_READS_PORT: Final = re.compile(r"\benv(?:\.PORT\b|\[['\"]PORT['\"]\])")
_READS_OTHER: Final = re.compile(r"\benv(?:\.|\[['\"])(port|\w*_PORT)\b")
_FIXED_PORT: Final = re.compile(
    r"\.listen\s*\(\s*\d{2,5}\b|\bport\s*[=:]\s*\d{2,5}\b", re.IGNORECASE
)
_MODULES: Final = (".js", ".mjs", ".cjs", ".ts")


def node(folder: Path) -> Start | None:
    """By package.json, or a server.js without one."""
    path = folder / "package.json"
    package = json_table(path) if path.is_file() else {}
    scripts, named = table_of(package.get("scripts")), package.get("main")
    start = scripts.get("start")
    manager = _manager(folder)
    if isinstance(start, str) and start.strip() and start.split(maxsplit=1)[0] not in _BUILDERS:
        source, command = "scripts.start of package.json", _of_script(start, manager)
    elif package and (built := _built(folder, package, manager)):
        return built
    elif isinstance(named, str) and (folder / named).is_file():
        source, command = "main of package.json", f"{_runner(manager)} {shlex.quote(named)}"
    elif found := next((each for each in _SCRIPTS if (folder / each).is_file()), None):
        source, command = found, f"{_runner(manager)} {found}"
    else:
        return None
    table = {"command": command, **_port(folder, str(command))}
    return Start(source, table, first=_installs(folder, package, manager), notes=_engine(package))


def deno(folder: Path) -> Start | None:
    path = next((p for n in ("deno.json", "deno.jsonc") if (p := folder / n).is_file()), None)
    if path is None:
        return None
    tasks = table_of(json_table(path).get("tasks")) if path.suffix == ".json" else {}
    if isinstance(tasks.get("start"), str):
        table = {"command": "deno task start", **_port(folder, "")}
        return Start(f"tasks.start of {path.name}", table)
    for name in ("main.ts", "server.ts", "mod.ts", "main.js"):
        text = text_of(folder / name)
        if text is not None:
            served = re.search(r"export default\b.*\bfetch\b", text, re.DOTALL)
            command = f"deno serve --host $HOST --port $PORT {name}"
            if not served:
                command = f"deno run --allow-net --allow-env --allow-read {name}"
            return Start(name, {"command": command, **({} if served else _port(folder, ""))})
    return None


def _manager(folder: Path) -> str:
    locks = {
        "bun.lockb": "bun", "bun.lock": "bun", "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn",
    }  # fmt: skip
    return next((name for lock, name in locks.items() if (folder / lock).exists()), "npm")


def _runner(manager: str) -> str:
    return "bun" if manager == "bun" else "node"


def _of_script(start: str, manager: str) -> object:
    """The program itself: npm between it and Portico takes memory, and signals."""
    if "npm " in f"{start} " or "yarn " in f"{start} " or "pnpm " in f"{start} ":
        return f"{manager} start" if manager != "bun" else "bun run start"
    return app_command(start.strip())


def _built(folder: Path, package: Mapping[str, object], manager: str) -> Start | None:
    wanted = {**table_of(package.get("dependencies")), **table_of(package.get("devDependencies"))}
    tool = next((each for each in _OUTPUT_FOLDERS if each in wanted), None)
    if tool is None or not isinstance(table_of(package.get("scripts")).get("build"), str):
        return None
    first = (*_installs(folder, package, manager), f"{manager} run build")
    if (folder / _OUTPUT_FOLDERS[tool] / "index.html").is_file():
        first = ()
    return Start(
        f"{tool} in package.json", folder=_OUTPUT_FOLDERS[tool], spa=tool != "astro", first=first
    )


def _installs(folder: Path, package: Mapping[str, object], manager: str) -> tuple[str, ...]:
    missing = package.get("dependencies") and not (folder / "node_modules").exists()
    return (f"{manager} install",) if missing else ()


def _engine(package: Mapping[str, object]) -> tuple[str, ...]:
    wanted = table_of(package.get("engines")).get("node")
    return (f"package.json needs Node {wanted}",) if isinstance(wanted, str) else ()


def _port(folder: Path, command: str) -> dict[str, object]:
    """What is needed where the program does not read `PORT`."""
    if "$PORT" in command:
        return {}
    listening = [text for _, text in sources(folder, *_MODULES) if _LISTEN_CALL.search(text)]
    if not listening or any(_READS_PORT.search(text) for text in listening):
        return {}
    for text in listening:
        if other := _READS_OTHER.search(text):
            return {"port_env": other[1]}
    if any(_FIXED_PORT.search(text) for text in listening):
        return {"find_port": True, "port_fallback": True}
    return {}
