"""nginx's files, with what they include, as the tree that nginx reads."""

from __future__ import annotations

from collections.abc import Iterator
from glob import glob
from os.path import realpath
from pathlib import Path
from typing import Any, Final

from portico.core.model.nginx_lines import Line
from portico.errors import Failed
from portico.stack.model import Gap, Place, Stack
from portico.stack.reading.text_files import plain_text

MAX_DEPTH: Final = 10
"""Includes within includes."""
MAX_FILES: Final = 5000
"""All together: files that include each other are read again and again."""
MAX_BLOCKS: Final = 50
"""Blocks within blocks."""
_REPLACEMENT_CHARACTER: Final = "\ufffd"
_ENCODING: Final = "it is not UTF-8 text; save the file as UTF-8"


def read_nginx(path: Path) -> Stack:
    """Blocks. What cannot be read is a gap; Failed is raised where that is the file itself."""
    reader = _Reader(path.parent)
    lines = tuple(reader.file(path))
    return Stack(nginx=lines, gaps=tuple(reader.gaps), files=tuple(reader.files))


class _Reader:
    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self.gaps: list[Gap] = []
        self.files: list[str] = []

    def file(self, path: Path, above: tuple[str, ...] = ()) -> Iterator[Line]:
        if realpath(path) in above or len(above) > MAX_DEPTH:
            raise Failed(f"cannot read {path}: it includes itself")
        if len(self.files) >= MAX_FILES:
            raise Failed(f"cannot read {path}: more than {MAX_FILES} files are included")
        plain_text(path, encoded=False)
        self.files.append(str(path))
        yield from self._lines(_parse(path), str(path), (*above, realpath(path)))

    def _lines(
        self, parsed: list[dict[str, Any]], file: str, above: tuple[str, ...], depth: int = 0
    ) -> Iterator[Line]:
        for entry in parsed:
            name, args, number = entry["directive"], tuple(entry["args"]), entry["line"]
            block = entry.get("block")
            if block is not None and depth >= MAX_BLOCKS:
                raise Failed(f"cannot read {file}: line {number}: it is nested too deeply")
            inner = None if block is None else tuple(self._lines(block, file, above, depth + 1))
            line = Line(name, args, file, number, inner)
            if any(_REPLACEMENT_CHARACTER in arg for arg in args):
                self.gaps.append(Gap(Place(file, number), " ".join((name, *args)), _ENCODING))
            if name == "include" and len(args) == 1:
                yield from self._read_include(line, above)
            elif name != "#":
                yield line

    def _read_include(self, line: Line, above: tuple[str, ...]) -> Iterator[Line]:
        """In place of an include; itself where that cannot be read."""
        pattern = str(self._prefix / line.args[0])
        is_pattern = any(sign in pattern for sign in "*?[")
        paths = sorted(glob(pattern)) if is_pattern else [pattern]  # noqa: PTH207 - as nginx does
        for path in map(Path, paths):
            try:
                yield from self.file(path, above)
            except Failed as failed:
                place = Place(line.file, line.number)
                self.gaps.append(Gap(place, f"include {line.args[0]}", str(failed)))
                yield Line("include", (str(path),), line.file, line.number)


def _parse(path: Path) -> list[dict[str, Any]]:
    import crossplane  # type: ignore[import-untyped]  # noqa: PLC0415 - imports alone pay

    try:
        # One file at a time: joined by crossplane, a line is said to be in the wrong file.
        read = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False)
    except RecursionError:
        raise Failed(f"cannot read {path}: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise Failed(f"cannot read {path}: {error}") from error
    for problem in read["errors"]:
        what = "it is nested too deeply" if "recursion" in problem["error"] else problem["error"]
        where = f"line {problem['line']}: " if problem["line"] else ""
        raise Failed(f"cannot read {path}: {where}{what}")
    parsed: list[dict[str, Any]] = read["config"][0]["parsed"]
    return parsed
