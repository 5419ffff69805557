"""Words of ExecStart and Environment in unit files of systemd (systemd.syntax(7))."""

from __future__ import annotations

import re
from typing import Final

_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " ",
}  # fmt: skip
_PIECE: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<escape>\\(?:x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|.))
    | (?P<quote>["'])
    | (?P<plain>[^\s\\"']+)
    """,
    re.VERBOSE | re.DOTALL,
)


def unit_words(text: str) -> list[str]:
    """ValueError where a quote is not closed. Quotes only count around a whole word, or a part
    of one that begins with it.
    """
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ValueError("it ends with a backslash")
        at = piece.end()
        match piece.lastgroup:
            case "space" if not quote:
                words += [] if word is None else [word]
                word = None
            case "quote" if quote == piece[0]:
                quote = ""
            case "quote" if not quote:
                quote, word = piece[0], word or ""
            case "escape":
                word = (word or "") + _escape_code(piece[0][1:])
            case _:
                word = (word or "") + piece[0]
    if quote:
        raise ValueError("it has a quote that is not closed")
    return words if word is None else [*words, word]


def _escape_code(code: str) -> str:
    if code[0] in "xu" and len(code) > 1:
        return chr(int(code[1:], 16))
    if len(code) > 1:
        return chr(int(code, 8) & 0xFF)
    return _ESCAPES.get(code, code)
