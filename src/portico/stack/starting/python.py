"""Programs of Python: FastAPI, Starlette, Flask, Django, or a plain script."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from portico.stack.starting.sources import sources, text_of
from portico.stack.starting.start import Start

_PROJECT: Final = ("pyproject.toml", "requirements.txt", "Pipfile", "setup.py", "uv.lock")
_OBJECT: Final = re.compile(
    r"^(?P<object>\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(?P<kind>FastAPI|Starlette|Litestar|Quart"
    r"|Flask)\s*\(",
    re.MULTILINE,
)
_FACTORY: Final = re.compile(r"^def (create_app|make_app)\s*\(", re.MULTILINE)
_SETTINGS: Final = re.compile(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]")
_SCRIPTS: Final = ("main.py", "app.py", "server.py", "run.py")
_FIXED_PORT: Final = re.compile(
    r"\bport\s*=\s*\d{2,5}\b|\(\s*['\"][^'\"]*['\"]\s*,\s*\d{2,5}\s*\)"
)
_READS_PORT: Final = re.compile(r"['\"]PORT['\"]")


def python(folder: Path) -> Start | None:
    return _django(folder) or _framework(folder) or _script(folder)


def _django(folder: Path) -> Start | None:
    manage = text_of(folder / "manage.py")
    settings = _SETTINGS.search(manage) if manage else None
    if settings is None:
        return None
    package = settings[1].partition(".")[0]
    source = "manage.py of Django"
    if "gunicorn" in _requirements(folder):
        command = f"{_program(folder, 'gunicorn')} {package}.wsgi --bind $HOST:$PORT"
        return _start(folder, source, command, "gunicorn")
    python = _program(folder, "python", "python3")
    command = f"{python} manage.py runserver --noreload $HOST:$PORT"
    return _start(folder, source, command, "", ("runserver is for development: add gunicorn",))


def _framework(folder: Path) -> Start | None:
    is_project = any((folder / each).is_file() for each in _PROJECT)
    own = [
        (path, text)
        for path, text in sources(folder, ".py")
        if is_project or len(path.parts) == 1 or (folder / path.parts[0] / "__init__.py").is_file()
    ]
    for path, text in own:
        if found := _OBJECT.search(text):
            return _server_start(folder, path, found["object"], found["kind"])
    for path, text in own:
        if (found := _FACTORY.search(text)) and "Flask" in text:
            return _server_start(folder, path, f"{found[1]}()", "Flask")
    return None


def _server_start(folder: Path, path: Path, name: str, kind: str) -> Start:
    is_below = path.parts[0] == "src" and not (folder / "src/__init__.py").exists()
    module = _module(path.relative_to("src") if is_below else path)
    start = _server(folder, f"{kind} in {path}", f"{module}:{name}", kind)
    if is_below and start.table:
        return replace(start, table={**start.table, "env": {"PYTHONPATH": "src"}})
    return start


def _server(folder: Path, source: str, target: str, kind: str) -> Start:
    if kind == "Flask":
        if "gunicorn" in _requirements(folder):
            quoted = f"'{target}'" if "(" in target else target
            command = f"{_program(folder, 'gunicorn')} {quoted} --bind $HOST:$PORT"
            return _start(folder, source, command, "gunicorn")
        name = target.removesuffix("()")
        command = f"{_program(folder, 'flask')} --app {name} run --host $HOST --port $PORT"
        note = "`flask run` is for development: add gunicorn"
        return _start(folder, source, command, "flask", (note,))
    command = f"{_program(folder, 'uvicorn')} {target} --host $HOST --port $PORT"
    return _start(folder, source, command, "uvicorn")


def _script(folder: Path) -> Start | None:
    if not any((folder / each).is_file() for each in (*_PROJECT, *_SCRIPTS)):
        return None
    script = next((each for each in _SCRIPTS if (folder / each).is_file()), None)
    if script is None:
        return None
    text = text_of(folder / script) or ""
    fixed = _FIXED_PORT.search(text) and not _READS_PORT.search(text)
    port: dict[str, object] = {"find_port": True} if fixed else {}
    command = f"{_program(folder, 'python', 'python3')} {script}"
    return Start(script, {"command": command, **port})


def _start(
    folder: Path, source: str, command: str, server: str, notes: tuple[str, ...] = ()
) -> Start:
    """With what has to be installed first, where nothing is yet."""
    if any((folder / each).is_dir() for each in (".venv", "venv")):
        first: tuple[str, ...] = ()
    elif (folder / "uv.lock").is_file():
        first = ("uv sync",)
    elif (folder / "requirements.txt").is_file():
        extra = f" {server}" if server and server not in _requirements(folder) else ""
        first = ("python3 -m venv .venv", f".venv/bin/pip install -r requirements.txt{extra}")
    else:
        first = ()
    return Start(source, {"command": command}, first=first, notes=notes)


def _program(folder: Path, name: str, otherwise: str = "") -> str:
    """That of the project's environment; a name alone is looked for there, too."""
    for environment in (".venv", "venv"):
        if (folder / environment / "bin" / name).exists():
            return f"{environment}/bin/{name}"
    return otherwise or name


def _requirements(folder: Path) -> str:
    """What the project depends on, as text."""
    return "\n".join(text_of(folder / each) or "" for each in (*_PROJECT, "poetry.lock")).lower()


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
