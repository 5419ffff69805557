"""Source files of a folder, as far as one look goes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.stack.reading.text_files import plain_text

_MAX_FILES: Final = 300
_MAX_DEPTH: Final = 3
_MAX_SIZE: Final = 1 << 20
_FOREIGN_FOLDERS: Final = frozenset(
    ("node_modules", "venv", "env", "dist", "build", "vendor", "target", "tests", "test", "docs")
)


def sources(folder: Path, *endings: str) -> Iterator[tuple[Path, str]]:
    """Paths from the folder with their text, the upper ones first; what is no text is left out."""
    count, waiting = 0, [folder]
    while waiting and count < _MAX_FILES:
        here = waiting.pop(0)
        for path in _list_sorted(here):
            if path.is_dir() and not path.is_symlink():
                depth = len(path.relative_to(folder).parts)
                if (
                    path.name not in _FOREIGN_FOLDERS
                    and path.name[0] != "."
                    and depth < _MAX_DEPTH
                ):
                    waiting.append(path)
            elif path.name.endswith(endings) and path.is_file():
                count += 1
                if (text := text_of(path)) is not None:
                    yield path.relative_to(folder), text


def text_of(path: Path) -> str | None:
    """None where it is not there, or no text."""
    try:
        return plain_text(path) if path.stat().st_size <= _MAX_SIZE else None
    except (OSError, Failed):
        return None


def json_table(path: Path) -> Mapping[str, object]:
    """Raises Failed where it is not JSON."""
    try:
        found = json.loads(plain_text(path))
    except (ValueError, RecursionError) as error:
        raise Failed(f"cannot read {path}: {error}; nothing was changed") from error
    return found if isinstance(found, dict) else {}


def toml_table(path: Path) -> Mapping[str, object]:
    """Raises Failed where it is not TOML."""
    try:
        return tomllib.loads(plain_text(path))
    except (ValueError, RecursionError) as error:
        raise Failed(f"cannot read {path}: {error}; nothing was changed") from error


def table_of(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list_sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
