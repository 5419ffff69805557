"""Standard output for results, standard error for notes and progress; colour on terminals only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TextIO

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


class Stream:
    def __init__(self, file: TextIO, environ: Mapping[str, str]) -> None:
        self._file = file
        self.live = file.isatty() and environ.get("TERM") != "dumb"
        """Whether lines can be written over."""
        # https://no-color.org: set and not empty
        self._colour = self.live and not environ.get("NO_COLOR")

    def paint(self, text: str, style: Style) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self._colour and style else text

    def write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


class Terminal:
    def __init__(self, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> None:
        self.out, self.err = Stream(out, environ), Stream(err, environ)

    def say(self, text: str = "") -> None:
        """A result."""
        self.out.write(text + "\n")

    def tell(self, text: str) -> None:
        """A note, progress or an error."""
        self.err.write(text + "\n")

    def table(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[str]],
        styles: Mapping[str, Style] | None = None,
    ) -> None:
        """Columns as wide as they must be; numbers to the right. `styles` paints cells by text."""
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
            self.say("  ".join(painted).rstrip())


def _is_number(cell: str) -> bool:
    return cell in {"-", ""} or cell[0].isdigit()
