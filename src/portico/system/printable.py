r"""Text of strangers, as a terminal may get it.

A terminal obeys what it reads: a program's output can set its title, fill its clipboard (OSC 52),
go back over a line, or turn the order of letters (Unicode's bidirectional controls), so that a
person reads another thing than there is. Whatever is no plain character is written as Python
writes it: `\x1b`, `\u202e`.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_ESCAPED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: controls, formats (bidirectional, of no width), halves of pairs, and
separators of lines."""
_LAYOUT: Final = frozenset("\n\t")
_BYTES: Final = range(0xDC80, 0xDD00)  # PEP 383: a byte that was no UTF-8


def printable(text: str) -> str:
    """The same text with all but plain characters, ends of lines and tabs made visible."""
    if text.isprintable():
        return text
    return "".join(c if c in _LAYOUT or c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    if ord(character) in _BYTES:
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character  # a wide blank, a sign of private use
    return character.encode("unicode_escape").decode()
