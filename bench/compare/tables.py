"""Results as tables of Markdown: medians, with the range where a measurement was repeated."""

from __future__ import annotations

from collections.abc import Sequence

from bench.compare.arithmetic import Range
from bench.compare.peers.all import TITLES
from bench.compare.results import Column, Results, Row


def full(results: Results, row: Row, case: str) -> list[str]:
    """All columns of one case, a line a peer."""
    columns = [c for c in row.columns if _any(results, row, [case], c)]
    lines = _heads(["", *(column.head for column in columns)])
    for peer in results.peers(row.name):
        cells = [_cell(results.range(row.name, case, peer, c.key), c) for c in columns]
        if any(cells):
            lines.append(_line([TITLES.get(peer, peer), *cells]))
    return lines


def matrix(results: Results, row: Row, column: Column) -> list[str]:
    """One column, a line a peer and a column a case; only medians."""
    cases = [case for case in results.cases(row.name) if _any(results, row, [case], column)]
    lines = _heads(["", *cases])
    for peer in results.peers(row.name):
        found = [results.range(row.name, case, peer, column.key) for case in cases]
        if any(found):
            cells = [f"{each.median:,.{column.digits}f}" if each else "" for each in found]
            lines.append(_line([TITLES.get(peer, peer), *cells]))
    return lines


def cases(results: Results, row: Row) -> list[str]:
    """All columns of the only peer, a line a case."""
    (peer,) = results.peers(row.name)
    lines = _heads(["", *(column.head for column in row.columns)])
    for case in results.cases(row.name):
        cells = [_cell(results.range(row.name, case, peer, c.key), c) for c in row.columns]
        lines.append(_line([case, *cells]))
    return lines


def pairs(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [*_heads(heads), *(_line(cells) for cells in rows)]


def said(value: Range, digits: int) -> str:
    """The median, and the range where there was more than one."""
    median = f"{value.median:,.{digits}f}"
    if value.count < 2 or value.low == value.high:
        return median
    return f"{median} ({value.low:,.{digits}f} to {value.high:,.{digits}f})"


def _cell(value: Range | None, column: Column) -> str:
    return said(value, column.digits) if value else ""


def _any(results: Results, row: Row, cases: Sequence[str], column: Column) -> bool:
    peers = results.peers(row.name)
    return any(results.range(row.name, c, p, column.key) for c in cases for p in peers)


def _heads(heads: Sequence[str]) -> list[str]:
    return [_line(heads), _line(["---", *("---:" for _ in heads[1:])])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
