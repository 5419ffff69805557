"""Results as text for a terminal, as JSON, and as the table of docs/reliability.md."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.chaos_rows.outcome import Result, Verdict

HEADS = ("row", "requests", "failed", "apart", "p50 ms", "p99 ms", "at rest", "gap s", "")


def as_text(results: Sequence[Result]) -> str:
    rows = [HEADS, *(_cells(result) for result in results)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADS) - 1)]
    lines = []
    for row in rows:
        name, *numbers = row[:-1]
        cells = [
            name.ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(numbers, widths[1:], strict=True)),
        ]
        lines.append("  ".join((*cells, row[-1])).rstrip())
    return "\n".join(lines)


def as_markdown(results: Sequence[Result]) -> str:
    heads = (*HEADS[:-1], "what it shows")
    rule = "|".join(("---", *("---:" for _ in HEADS[1:-1]), "---"))
    lines = [f"| {' | '.join(heads)} |", f"|{rule}|"]
    for result in results:
        name, *numbers, last = _cells(result)
        lines.append(f"| {' | '.join((f'`{name}`', *numbers, last.replace('|', '/')))} |")
    return "\n".join(lines)


def as_json(results: Sequence[Result]) -> str:
    return json.dumps([_document(result) for result in results], indent=2)


def _cells(result: Result) -> tuple[str, ...]:
    during, rest = result.outcome.during, result.outcome.rest
    last = f"{result.verdict}: {_told(result)}" if _told(result) else str(result.verdict)
    if not during.requests:
        return (result.row.name, *([""] * (len(HEADS) - 2)), last)
    return (
        result.row.name,
        f"{during.sent.total():,}",
        f"{result.outcome.failed:,}",
        f"{result.outcome.apart.total():,}",
        f"{during.p50_ms:.0f}",
        f"{during.p99_ms:.0f}",
        f"{rest.p99_ms:.0f}" if rest else "",
        f"{during.longest_gap_s:.2f}",
        last,
    )


def _told(result: Result) -> str:
    apart = (f"{count} {what}" for what, count in result.outcome.apart.items())
    words = [result.why, *result.outcome.said]
    if result.outcome.apart:
        words.append(f"apart: {', '.join(apart)}")
    return "; ".join(filter(None, words))


def _document(result: Result) -> dict[str, object]:
    outcome = result.outcome
    return {
        "row": result.row.name,
        "shows": result.row.shows,
        "verdict": str(result.verdict),
        "why": result.why,
        "said": outcome.said,
        "apart": outcome.apart,
        "failed": outcome.failed if result.verdict is not Verdict.SKIPPED else 0,
        "seconds": round(result.seconds, 1),
        "during": vars(outcome.during) | {"losses": outcome.failures},
        "rest": vars(outcome.rest) if outcome.rest else None,
    }
