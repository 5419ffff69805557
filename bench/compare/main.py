"""The command: set up the peers, measure the rows, write the page with its pictures."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.compare import machine, page
from bench.compare.bench import SHORT, Effort, bench
from bench.compare.installed import CannotInstall, Programs, installed
from bench.compare.peers.all import PEERS
from bench.compare.results import Results, Row, Sample, joined
from bench.compare.rows.all import ROWS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench/results"


def main(about: str) -> int:
    options = _options(about)
    if options.list:
        print(*(f"{row.name:12}{row.title}" for row in ROWS), sep="\n")
        print(*(f"{peer.name:16}{peer.title}" for peer in PEERS), sep="\n")
        return 0
    if options.page:
        first, *others = map(Results.read, options.page)
        titles = {row.name: row.title for row in ROWS}
        untimed = {row.name for row in ROWS if not row.needs_quiet}
        page.write(joined(first, others, titles, untimed), ROOT)
        return 0
    try:
        programs = installed(_built(options.nginx))
    except CannotInstall as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.setup:
        print(*(f"{name} {version}" for name, version in programs.versions().items()), sep="\n")
        return 0
    results = run(programs, chosen(options.rows), _effort(options), frozenset(options.peers))
    results.command = " ".join(["./scripts/bench", *_shown(sys.argv[1:])])
    file = options.output or RESULTS / f"{results.date}.json"
    file.parent.mkdir(exist_ok=True)
    results.write(file)
    if not options.output:
        page.write(results, ROOT)
    print(f"bench: {results.seconds:.0f} s; {page.verdict(results)}; results in {file}")
    return 0


def run(programs: Programs, rows: Sequence[Row], effort: Effort, only: frozenset[str]) -> Results:
    begun, ticks = time.monotonic(), machine.Ticks.now()
    results = Results(
        date=f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        machine=machine.described(),
        versions=programs.versions(),
        rounds=effort.rounds,
        busy=machine.busy(),
    )
    with bench(programs, effort, only) as running:
        for row in rows:
            row_begun = time.monotonic()
            if row_begun > begun + 60 * effort.minutes:
                running.problem(f"{row.title}: no time was left")
                continue
            print(f"bench: {row.title}", file=sys.stderr, flush=True)

            def measured(case: str, peer: str, number: int, /, **values: float) -> None:
                results.add(Sample(row.name, case, peer, number, values))  # noqa: B023 - at once

            try:
                with contextlib.redirect_stdout(io.StringIO()):  # what stacks print at their end
                    row.measure(running, measured)
            except KeyboardInterrupt:
                running.problem(f"{row.title}: interrupted")
                break
            except Exception as error:  # noqa: BLE001 - the other rows are still to be measured
                traceback.print_exc()
                running.problem(f"{row.title}: {type(error).__name__}: {error}")
            print(f"bench: {time.monotonic() - row_begun:.0f} s", file=sys.stderr, flush=True)
        results.problems = running.problems
    results.busy = max(results.busy, machine.busy())
    results.steal = machine.Ticks.now().steal_since(ticks)
    results.seconds = time.monotonic() - begun
    return results


def chosen(names: Sequence[str]) -> list[Row]:
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        sys.exit(f"no row has the name {', '.join(sorted(unknown))}; see ./scripts/bench --list")
    return [row for row in ROWS if not names or row.name in names]


def _built(given: Path | None) -> Path | None:
    """Another nginx than the wheel's, to be measured beside it."""
    path = given or (Path(named) if (named := os.environ.get("PORTICO_NGINX")) else None)
    if path and not path.exists():
        sys.exit(f"there is no nginx at {path}")
    return path.absolute() if path else None


def _shown(words: Sequence[str]) -> list[str]:
    """Without paths of this machine."""
    return [Path(word).name if word.startswith("/") else word for word in words]


def _options(about: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=about, formatter_class=argparse.RawTextHelpFormatter
    )

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--rows", type=names, default=[], help="names of rows")
    parser.add_argument("--peers", type=names, default=[], help="names of peers")
    parser.add_argument("--setup", action="store_true", help="only install the peers")
    parser.add_argument("--list", action="store_true", help="name rows and peers, and end")
    parser.add_argument("--short", action="store_true", help="little of everything")
    parser.add_argument("--nginx", type=Path, help="an nginx built with -O2; or PORTICO_NGINX")
    parser.add_argument("--output", type=Path, help="write results there, and no page")
    parser.add_argument(
        "--page",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="write the page of earlier results again, rows that the first lacks from the others",
    )
    for name in ("rounds", "restarts", "rollouts", "many", "websockets"):
        parser.add_argument(f"--{name}", type=int, help=_HELP[name])
    parser.add_argument("--seconds", type=float, help="of load for each important measurement")
    parser.add_argument("--minutes", type=float, help="begin no row after so many")
    return parser.parse_args()


_HELP = {
    "rounds": "repetitions, each with the peers in another order",
    "restarts": "of instances, before memory is measured again",
    "rollouts": "the same",
    "many": "instances that Portico runs alone",
    "websockets": "idle connections",
}


def _effort(options: argparse.Namespace) -> Effort:
    effort = SHORT if options.short else Effort()
    given = {name: getattr(options, name) for name in (*_HELP, "seconds", "minutes")}
    return replace(effort, **{name: value for name, value in given.items() if value})
