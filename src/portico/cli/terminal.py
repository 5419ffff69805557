"""Standard output for results, standard error for notes and progress; colour on terminals only.

Text may come from programs, authorities and files: a terminal gets only plain characters
and colours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TextIO

from portico.cli.column_layout import fit_table
from portico.system.printable import printable

Style = Literal["red", "green", "yellow", "blue", "magenta", "cyan", "bold", "dim", ""]
_CODES: Final[Mapping[Style, str]] = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bold": "1",
    "dim": "2",
}
Label = Literal["problem", "warning", "note"]
_LABELS: Final[Mapping[Label, Style]] = {"problem": "red", "warning": "yellow", "note": "yellow"}
_ONE_COLOUR: Final = (
    r"(?:0|[1-4]|7|9|2[1-7]|29|39|49|[349][0-7]|10[0-7]"
    r"|[34]8;5;[0-9]{1,3}|[34]8;2;[0-9]{1,3};[0-9]{1,3};[0-9]{1,3})"
)
_COLOUR: Final = re.compile(rf"(\x1b\[(?:{_ONE_COLOUR}(?:;{_ONE_COLOUR})*)?m)")
"""ECMA-48 8.3.117, SGR, but for what blinks and what hides."""
_RESET: Final = "\x1b[0m"
_RESETS: Final = frozenset({_RESET, "\x1b[m"})


class Stream:
    def __init__(self, file: TextIO, environ: Mapping[str, str]) -> None:
        self._file = file
        self.is_terminal = file.isatty()
        self.live = self.is_terminal and environ.get("TERM") != "dumb"
        """Whether lines can be written over."""
        # https://no-color.org: set and not empty
        self._colour = self.live and not environ.get("NO_COLOR")

    @property
    def columns(self) -> int:
        """Of the terminal; 0 where there is none, or where it does not say."""
        try:
            return os.get_terminal_size(self._file.fileno()).columns if self.is_terminal else 0
        except OSError:
            return 0

    def paint(self, text: str, style: Style) -> str:
        return f"\x1b[{_CODES[style]}m{text}{_RESET}" if self._colour and style else text

    def printable(self, text: str) -> str:
        """With its colours where this stream has some; none of them goes on after it."""
        plain, *rest = _COLOUR.split(text)
        if not rest:
            return printable(plain)
        if not self._colour:
            return printable(plain + "".join(rest[1::2]))
        painted = "".join(each if at % 2 == 0 else printable(each) for at, each in enumerate(rest))
        return f"{printable(plain)}{painted}{'' if rest[-2] in _RESETS else _RESET}"

    def write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


class Terminal:
    def __init__(self, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> None:
        self.out, self.err = Stream(out, environ), Stream(err, environ)

    def write(self, text: str = "") -> None:
        """A line of results, to standard output."""
        self.out.write(self.out.printable(text) + "\n")

    def write_stderr(self, text: str) -> None:
        """A note, progress or an error, to standard error."""
        self.err.write(self.err.printable(text) + "\n")

    def write_labelled(self, label: Label, text: str) -> None:
        self.write_stderr(f"{self.err.paint(label, _LABELS[label])}: {text}")

    def write_raw(self, text: str) -> None:
        """A result for programs, to standard output: as it is, unless a terminal gets it."""
        self.out.write((self.out.printable(text) if self.out.is_terminal else text) + "\n")

    def table(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[str]],
        styles: Mapping[str, Style] | None = None,
        *,
        names: Collection[str] = (),
        spare: Sequence[str] = (),
    ) -> None:
        """Columns as wide as they must be; numbers to the right. `styles` paints cells by text.
        In a terminal that is too narrow, columns of `names` are shortened and of `spare` left out.
        """
        rows = [[printable(cell) for cell in row] for row in rows]
        if (names or spare) and self.out.columns:
            heads, rows = fit_table(heads, rows, self.out.columns, names, spare)
        columns = list(zip(heads, *rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        right = [all(_is_number(cell) for cell in cells) for _, *cells in columns]
        for row in (heads, *rows):
            cells = [
                cell.rjust(width) if numeric else cell.ljust(width)
                for cell, width, numeric in zip(row, widths, right, strict=True)
            ]
            painted = [
                self.out.paint(
                    cell, "bold" if row is heads else (styles or {}).get(cell.strip(), "")
                )
                for cell in cells
            ]
            self.write("  ".join(painted).rstrip())


def _is_number(cell: str) -> bool:
    return cell in {"-", ""} or cell[0].isdigit()
