"""The command: choose rows, run one after the other, print the table."""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bench.chaos_rows.by_hand import remove_pm2
from bench.chaos_rows.outcome import SHORT, Effort, Outcome, Result, Row, Skipped, Verdict
from bench.chaos_rows.rows import ROWS
from bench.chaos_rows.tables import as_json, as_markdown, as_text

LONGEST_ROW = 600
"""Seconds."""


def main(about: str) -> int:
    """Exit code 1 if a row did not show what it must."""
    options = _options(about)
    if options.list:
        print(*(f"{row.name:30}{row.shows}" for row in ROWS), sep="\n")
        return 0
    results: list[Result] = []
    try:
        for row in chosen(options.rows):
            print(f"{row.name:30}", end="", file=sys.stderr, flush=True)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                results.append(run(row, _effort(options)))
            _say(results[-1], output.getvalue(), verbose=options.verbose)
    except KeyboardInterrupt:
        print("interrupted; the rows so far:", file=sys.stderr)
    finally:
        remove_pm2()
    table = {"json": as_json, "markdown": as_markdown, "text": as_text}[options.form]
    print(table(results))
    return int(any(result.verdict is Verdict.NOT_OK for result in results))


def run(row: Row, effort: Effort) -> Result:
    """Run one row; whatever goes wrong in it is its verdict."""
    outcome, begun = Outcome(), time.monotonic()
    verdict, why = Verdict.OK, ""
    try:
        with _at_most(LONGEST_ROW):
            row.show(effort, outcome)
    except Skipped as reason:
        verdict, why = Verdict.SKIPPED, str(reason)
    except Exception as error:  # noqa: BLE001 - the other rows are still to be shown
        traceback.print_exc(file=sys.stdout)
        outcome.wrong.append(f"{type(error).__name__}: {error}".splitlines()[0])
    if outcome.wrong:
        verdict, why = Verdict.NOT_OK, "; ".join(outcome.wrong)
    elif outcome.compared and verdict is Verdict.OK:
        verdict = Verdict.COMPARED
    return Result(row, verdict, outcome, why, time.monotonic() - begun)


def chosen(beginnings: Sequence[str]) -> list[Row]:
    unknown = [b for b in beginnings if not any(row.name.startswith(b) for row in ROWS)]
    if unknown:
        sys.exit(f"no row begins with {', '.join(unknown)}; see bench/chaos --list")
    return [r for r in ROWS if not beginnings or r.name.startswith(tuple(beginnings))]


def _say(result: Result, output: str, *, verbose: bool) -> None:
    """How it went, as soon as it is known; the table comes last, and on standard output."""
    told = "; ".join(filter(None, (result.why, *result.outcome.said)))
    print(f"{result.verdict:8} {result.seconds:4.0f} s  {told}", file=sys.stderr, flush=True)
    if verbose or result.verdict is Verdict.NOT_OK:
        kept = Path(tempfile.gettempdir()) / f"chaos-{result.row.name}.log"
        kept.write_text(output)
        print(f"{'':30}what it printed is in {kept}", file=sys.stderr)


def _options(about: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/chaos", description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=lambda text: text.split(","), default=[])
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    parser.add_argument("--short", action="store_true", help="few repetitions")
    parser.add_argument("--rest", type=float, help="for how many seconds rest is measured")
    parser.add_argument("--seconds", type=float, help="how long a row without an end goes on")
    parser.add_argument("--rate", type=int, help="requests a second")
    parser.add_argument("--kills", type=int, help="how many instances are killed")
    parser.add_argument("--verbose", action="store_true", help="keep the output of every row")
    form = parser.add_mutually_exclusive_group()
    for name in ("json", "markdown"):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name)
    parser.set_defaults(form="text")
    return parser.parse_args()


def _effort(options: argparse.Namespace) -> Effort:
    effort = SHORT if options.short else Effort()
    given = {name: getattr(options, name) for name in ("rest", "seconds", "rate", "kills")}
    return replace(effort, **{name: value for name, value in given.items() if value})


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in a row that hangs, so that it still ends what it has started."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
