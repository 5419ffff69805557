"""Caddyfiles as trees of lines: words, quotes, heredocs, variables, snippets and imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.errors import Failed
from portico.stack.reading.text_files import plain_text

_MAX_DEPTH: Final = 20
"""Blocks within blocks, and imports within imports."""
_MAX_LINES: Final = 200_000
"""With all imports, which may multiply."""
_MAX_IMPORTS: Final = 5_000
_VARIABLE: Final = re.compile(r"\{\$([A-Za-z_]\w*)(?::([^}]*))?\}")
_ARGUMENT: Final = re.compile(r"\{args(?:\.|\[)(\d+)\]?\}")
_HEREDOC: Final = re.compile(r"<<([A-Za-z0-9_-]+)[ \t]*\n")
_PIECE: Final = re.compile(
    r"""
      (?P<newline>\n)
    | (?P<space>(?:[^\S\n]|\\\n)+)
    | (?P<comment>\#[^\n]*)
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | `(?P<raw>[^`]*)`
    | (?P<plain>(?!["`])(?:[^\s\\]|\\(?!\n))+)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    line: int
    is_last: bool
    """On its line."""
    is_plain: bool
    """Without quotes: braces count only then."""

    def is_brace(self, brace: str) -> bool:
        return self.is_plain and self.text == brace


def read_caddyfile(path: Path, environ: Mapping[str, str]) -> tuple[tuple[Line, ...], list[str]]:
    """The blocks of a file, each with its addresses as name and arguments, and all files read.

    Global options have an empty name, and snippets stand where they are imported. Raises Failed.
    """
    reader = _Reader(environ)
    blocks = reader.file(path, (path.resolve(),))
    if blocks and all(each.block is None for each in blocks[:1]):
        first, *rest = blocks  # a single site may do without braces
        blocks = [replace(first, block=tuple(rest))]
    snippets = {each.name[1:-1]: each.block or () for each in blocks if each.name[:1] == "("}
    others = [each for each in blocks if each.name[:1] != "("]
    return tuple(reader.read_import(others, snippets, path)), reader.files


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._count = self._imports = 0
        self.files: list[str] = []

    def file(self, path: Path, above: tuple[Path, ...]) -> list[Line]:
        self._imports += 1
        if self._imports > _MAX_IMPORTS or path.resolve() in above[:-1]:
            raise Failed(f"cannot read {path}: it imports itself")
        text = _VARIABLE.sub(self._variable, plain_text(path))
        if str(path) not in self.files:
            self.files.append(str(path))
        words = list(_words(path, text))
        lines, end = self._lines(str(path), words, 0, 0)
        if end < len(words):
            raise Failed(f"cannot read {path}: line {words[end].line}: unexpected }}")
        return lines

    def _variable(self, found: re.Match[str]) -> str:
        return self._environ.get(found[1]) or found[2] or ""

    def _lines(
        self, file: str, words: Sequence[_Word], at: int, depth: int
    ) -> tuple[list[Line], int]:
        """Up to the brace that closes them, and its place."""
        if depth > _MAX_DEPTH:
            raise Failed(
                f"cannot read {file}: line {words[at].line}: blocks are nested too deeply"
            )
        lines: list[Line] = []
        while at < len(words) and not words[at].is_brace("}"):
            start, own = words[at], list[str]()
            block: tuple[Line, ...] | None = None
            while True:
                word = words[at]
                at += 1
                if word.is_brace("{") and word.is_last:
                    inner, at = self._lines(file, words, at, depth + 1)
                    if at >= len(words):
                        raise Failed(f"cannot read {file}: line {word.line}: {{ is never closed")
                    at, block = at + 1, tuple(inner)
                    break
                own.append(word.text)
                continues = depth == 0 and word.is_plain and word.text.endswith(",")
                if at >= len(words) or (word.is_last and not continues):
                    break
            name, *args = own or [""]
            lines.append(Line(name, tuple(args), file, start.line, block))
        return lines, at

    def read_import(
        self,
        lines: Sequence[Line],
        snippets: Mapping[str, Sequence[Line]],
        path: Path,
        depth: int = 0,
    ) -> Iterator[Line]:
        """The lines with those that they import in their place."""
        for line in lines:
            self._count += 1
            if self._count > _MAX_LINES or depth > _MAX_DEPTH:
                raise Failed(f"cannot read {line.where}: it imports itself, or too much")
            if line.name == "import" and line.args:
                yield from self._import(line, snippets, path, depth)
            elif line.block is not None:
                block = tuple(self.read_import(line.block, snippets, path, depth + 1))
                yield replace(line, block=block)
            else:
                yield line

    def _import(
        self, line: Line, snippets: Mapping[str, Sequence[Line]], path: Path, depth: int
    ) -> Iterator[Line]:
        name, *values = line.args
        if name in snippets:
            found = [_with_arguments(each, values) for each in snippets[name]]
            yield from self.read_import(found, snippets, path, depth + 1)
            return
        pattern = os.path.normpath(Path(line.file).parent / name)
        is_pattern = any(sign in name for sign in "*?[")
        paths = sorted(glob(pattern)) if is_pattern else [pattern]  # noqa: PTH207 - as Caddy does
        for each in map(Path, paths):
            if not is_pattern and not each.exists():
                yield line  # for the reader to list
                continue
            inner = [
                _with_arguments(found, values)
                for found in self.file(each, (Path(line.file).resolve(), each.resolve()))
            ]
            yield from self.read_import(inner, snippets, each, depth + 1)


def _with_arguments(line: Line, values: Sequence[str]) -> Line:
    def value(found: re.Match[str]) -> str:
        index = int(found[1])
        return values[index] if index < len(values) else found[0]

    name, *args = (_ARGUMENT.sub(value, word) for word in (line.name, *line.args))
    block = None if line.block is None else tuple(_with_arguments(e, values) for e in line.block)
    return replace(line, name=name, args=tuple(args), block=block)


def _words(path: Path, text: str) -> Iterator[_Word]:
    text = text.replace("\r\n", "\n")
    at, line = 0, 1
    waiting: _Word | None = None  # until it is known whether it is the last of its line
    while at < len(text):
        heredoc = _HEREDOC.match(text, at)
        piece = None if heredoc else _PIECE.match(text, at)
        if heredoc:
            body, end = _heredoc(path, text, heredoc, line)
            word = _Word(body, line, is_last=False, is_plain=False)
        elif piece is None:
            raise Failed(f"cannot read {path}: line {line}: a quote is not closed")
        else:
            end = piece.end()
            if piece.lastgroup == "newline" and waiting:
                yield replace(waiting, is_last=True)
                waiting = None
            if piece.lastgroup in {"newline", "space", "comment"}:
                line += text.count("\n", at, end)
                at = end
                continue
            word = _Word(_text_of(piece), line, is_last=False, is_plain=piece["plain"] is not None)
        if waiting:
            yield waiting
        waiting = word
        line += text.count("\n", at, end)
        at = end
    if waiting:
        yield replace(waiting, is_last=True)


def _text_of(piece: re.Match[str]) -> str:
    if piece["quoted"] is not None:
        return piece["quoted"].replace('\\"', '"')
    return piece["raw"] if piece["raw"] is not None else piece["plain"]


def _heredoc(path: Path, text: str, start: re.Match[str], line: int) -> tuple[str, int]:
    end = re.compile(rf"^([ \t]*){re.escape(start[1])}(?=\s|\Z)", re.MULTILINE)
    found = end.search(text, start.end())
    if found is None:
        raise Failed(f"cannot read {path}: line {line}: the text until {start[1]} has no end")
    body = text[start.end() : found.start()]
    lines = (each.removeprefix(found[1]) for each in body.removesuffix("\n").split("\n"))
    return "\n".join(lines), found.end()
