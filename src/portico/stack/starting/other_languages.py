"""Programs of Ruby, Go and Rust, images, and folders of static files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from portico.stack.reading.dockerfile import read_dockerfile
from portico.stack.reading.listening import command_text
from portico.stack.starting.sources import sources, table_of, text_of, toml_table
from portico.stack.starting.start import Start

_GEM: Final = re.compile(r"^\s*gem\s+['\"]([\w-]+)['\"]", re.MULTILINE)
_GO_MAIN: Final = re.compile(r"^package main\b", re.MULTILINE)
_PAGES: Final = ("dist", "build", "public", "out", "_site", "www", "html", "htdocs")
_INDEX: Final = "index.html"


def ruby(folder: Path) -> Start | None:
    gemfile = text_of(folder / "Gemfile")
    gems = set(_GEM.findall(gemfile or ""))
    has_rack = (folder / "config.ru").is_file()
    if gemfile is None or not (has_rack or "rails" in gems):
        return None
    if "puma" in gems:
        command = "bundle exec puma -b tcp://$HOST:$PORT"
    elif "rails" in gems:
        command = "bundle exec rails server -b $HOST -p $PORT"
    else:
        command = "bundle exec rackup -o $HOST -p $PORT"
    source = "rails in Gemfile" if "rails" in gems else "config.ru and Gemfile"
    return Start(source, {"command": command}, first=("bundle install",))


def go(folder: Path) -> Start | None:
    module = re.search(r"^module\s+(\S+)", text_of(folder / "go.mod") or "", re.MULTILINE)
    if module is None:
        return None
    mains = [path for path, text in sources(folder, ".go") if _GO_MAIN.search(text)]
    if not mains:
        return None
    package = f"./{mains[0].parent}" if str(mains[0].parent) != "." else "."
    name = mains[0].parent.name or module[1].rpartition("/")[2]
    first = () if _runs(folder / name) else (f"go build -o {name} {package}",)
    return Start("go.mod", {"command": f"./{name}"}, first=first)


def rust(folder: Path) -> Start | None:
    path = folder / "Cargo.toml"
    if not path.is_file() or not (folder / "src/main.rs").is_file():
        return None
    name = table_of(toml_table(path).get("package")).get("name")
    if not isinstance(name, str):
        return None
    program = f"target/release/{name}"
    first = () if _runs(folder / program) else ("cargo build --release",)
    return Start("Cargo.toml", {"command": f"./{program}"}, first=first)


def image(folder: Path) -> Start | None:
    """What a Dockerfile runs in its image; the paths there may be other ones."""
    read = read_dockerfile(text_of(folder / "Dockerfile") or "")
    if not read.words:
        return None
    command = list(read.words) if read.words[0] == "/bin/sh" else command_text(read.words)
    port = {"port": read.port} if read.port and "$PORT" not in str(command) else {}
    note = "a Dockerfile has the paths of an image: see whether the command runs in this folder"
    return Start("Dockerfile", {"command": command, **port}, notes=(note,))


def pages(folder: Path) -> Start | None:
    """A folder of static files."""
    for name in (".", *_PAGES):
        if (folder / name / _INDEX).is_file():
            return Start(str(Path(name) / _INDEX), folder=name)
    return None


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
