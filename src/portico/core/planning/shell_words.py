"""A command in one string, as words: split and filled in as a shell would, without a shell.

Quotes and backslashes mean what they mean to sh (POSIX Shell Command Language, 2.2). `$NAME`,
`${NAME}` and `${NAME:-otherwise}` are replaced outside single quotes; what they hold is never
split again, and an empty one alone is no word. Everything else that only a shell can do is an
error that says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_VARIABLE = r"\$(?:(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::-(?P<other>[^}]*))?\})"
_PIECE = re.compile(
    rf"""
      (?P<space>\s+)
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | (?P<joined>\\\n)
    | \\(?P<escaped>.)
    | (?P<variable>{_VARIABLE})
    | (?P<shell>&&|\|\||>>|\$\(|\$\{{|[|&;<>()`])
    | (?P<plain>\$|[^\s'"\\$|&;<>()`]+)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_DOUBLE_QUOTED = re.compile(
    rf"""
      \\(?P<escaped>["\\$`\n])
    | (?P<variable>{_VARIABLE})
    | (?P<shell>\$\(|\$\{{|`)
    """,
    re.VERBOSE | re.ASCII,
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)


def split(text: str, variables: Mapping[str, str]) -> list[str]:
    """The words of a command; ValueError says what in it needs a shell or is not set."""
    words: list[str] = []
    word: str | None = None
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ValueError(f"{text!r} has an unclosed quote or a trailing backslash")
        at = piece.end()
        if piece["space"] is None:
            value = _value(piece, text, variables)
            if word is not None or value or piece.lastgroup not in {"joined", "variable"}:
                word = (word or "") + value
        elif word is not None:
            words.append(word)
            word = None
    return words if word is None else [*words, word]


def assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The leading `NAME=value` words as variables, and the words after them."""
    assigned: dict[str, str] = {}
    for count, word in enumerate(words):
        found = _ASSIGNMENT.fullmatch(word)
        if not found:
            return assigned, words[count:]
        assigned[found[1]] = found[2]
    return assigned, []


def _value(piece: re.Match[str], text: str, variables: Mapping[str, str]) -> str:
    match piece.lastgroup:
        case "double":
            return _DOUBLE_QUOTED.sub(
                lambda inner: _value(inner, text, variables), piece["double"]
            )
        case "joined":
            return ""
        case "escaped":
            return "" if piece["escaped"] == "\n" else piece["escaped"]
        case "variable":
            return _variable(piece, text, variables)
        case "shell":
            raise ValueError(
                f'{text!r} holds "{piece["shell"]}", but is not run by a shell; write ["sh", '
                f'"-c", {json.dumps(text, ensure_ascii=False)}]'
            )
        case kind:
            return piece[kind or 0]


def _variable(piece: re.Match[str], text: str, variables: Mapping[str, str]) -> str:
    name = piece["name"] or piece["braced"]
    otherwise = piece["other"]
    if otherwise is not None:
        return variables.get(name) or otherwise
    if name not in variables:
        raise ValueError(f"{text!r} uses ${name}, which is not set; set it in env or env_file")
    return variables[name]
