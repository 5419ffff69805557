"""Reads an operator's file of nginx lines, with the files that it includes."""

from __future__ import annotations

from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Any, Final

from portico.core.model.nginx_lines import Line

MAX_FILE_SIZE: Final = 1 << 20  # bytes; a longer one is a table of addresses
MAX_DEPTH: Final = 10


def read_included(path: str, depth: int = 0) -> tuple[Line, ...]:
    """What cannot be read stays an `include`: what is absent, too large, or no nginx syntax.
    Blocks.
    """
    parsed = _parse(path) if depth <= MAX_DEPTH else None
    if parsed is None:
        return (Line("include", (path,), path, 0),)
    return tuple(_lines(parsed, path, depth))


def _parse(path: str) -> list[dict[str, Any]] | None:
    import crossplane  # type: ignore[import-untyped]  # noqa: PLC0415 - includes alone pay

    file = Path(path)
    try:
        if not file.is_file() or file.stat().st_size > MAX_FILE_SIZE:
            return None
        # One file at a time: nginx looks for relative names where the main file is.
        read = crossplane.parse(path, single=True, check_ctx=False, check_args=False)
    except (OSError, ValueError, RecursionError):
        return None
    parsed: list[dict[str, Any]] = read["config"][0]["parsed"]
    return parsed if read["status"] == "ok" else None


def _lines(parsed: list[dict[str, Any]], file: str, depth: int) -> Iterator[Line]:
    for entry in parsed:
        name, args, number = entry["directive"], tuple(entry["args"]), entry["line"]
        block = entry.get("block")
        inner = None if block is None else tuple(_lines(block, file, depth))
        if name == "include" and args and args[0].startswith("/"):
            yield from _of_include(args[0], depth)
        elif name != "#":
            yield Line(name, args, file, number, inner)


def _of_include(pattern: str, depth: int) -> Iterator[Line]:
    """A pattern may match nothing. A relative name is one that nginx alone can find."""
    is_pattern = any(sign in pattern for sign in "*?[")
    paths = sorted(glob(pattern)) if is_pattern else [pattern]  # noqa: PTH207 - as nginx does
    for path in paths:
        yield from read_included(path, depth + 1)
