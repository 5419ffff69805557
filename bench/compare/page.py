"""docs/benchmarks.md and its pictures, from the results of a run and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.compare import budgets, plots, tables
from bench.compare.arithmetic import doubts
from bench.compare.peers.all import TITLES
from bench.compare.results import Column, Results, Row
from bench.compare.rows import growth, keepalive
from bench.compare.rows.all import ROWS

OURS = "portico"
INTRODUCTION = """\
`./scripts/bench` installs the programs that people use instead of Portico, gives all of them the
same work in one run, interleaved and each round in another order, and writes this page. Compare
the figures of one run with each other: ratios carry over to other machines, times do not. Load,
proxy and programs share the cores of one machine. A figure is the median of its repetitions,
with their range in parentheses. Cells are empty where a peer cannot do the work, or where the
figure is not comparable: HAProxy and Traefik serve no files, programs without a proxy have no
processor time of a proxy."""
HAND_MADE = """\
The hand-made stack is what tutorials have: nginx with an RSA certificate, `ip_hash` and a
connection to the programs for each request, and PM2 in fork mode. All load comes from one
address, which `ip_hash` sends to one of the four programs; the line with round robin shows what
that costs."""


def write(results: Results, root: Path) -> None:
    pictures = root / "docs/pictures"
    for name, drawing in drawings(results).items():
        (pictures / name).write_text(drawing, encoding="utf-8")
    (root / "docs/benchmarks.md").write_text(written(results), encoding="utf-8")


def why_no_evidence(results: Results) -> list[str]:
    spreads = [spread for row in ROWS for spread in results.spreads(row.name, row.columns[0].key)]
    return doubts(results.busy, results.steal, spreads)


def verdict(results: Results) -> str:
    reasons = why_no_evidence(results)
    return f"no evidence: {'; '.join(reasons)}" if reasons else "the machine was quiet"


def written(results: Results) -> str:
    lines = ["# Benchmarks", "", *_warning(results), INTRODUCTION, "", HAND_MADE, ""]
    lines += [*_budgets(results)]
    for row in ROWS:
        if results.cases(row.name):
            lines += _section(results, row)
    lines += [*_problems(results), *_machine(results)]
    return "\n".join(lines).rstrip() + "\n"


def _warning(results: Results) -> Iterator[str]:
    if reasons := why_no_evidence(results):
        yield f"> **No evidence**: {'; '.join(reasons)}."
        yield "> Its figures show what is measured, and not how fast anything is."
        yield ""


def _budgets(results: Results) -> list[str]:
    rows = [budget.judged(results) for budget in budgets.BUDGETS]
    if why_no_evidence(results):
        rows = [(*cells, "no evidence" if cells[-1] else last) for *cells, last in rows]
    table = tables.pairs(("what", "bound", "measured", ""), rows)
    return ["## Budgets", "", "What Portico has to reach.", "", *table, "", budgets.ELSEWHERE, ""]


def _section(results: Results, row: Row) -> Iterator[str]:
    yield from (f"## {row.title}", "", row.about, "")
    if run := results.runs.get(row.name):
        raw = f"raw results: `bench/results/{run.file}`"
        took = f"`{run.command}`, {run.seconds:.0f} s"
        yield from (f"Measured in another run, on {run.date}: {took}; {raw}.", "")
    for picture in pictures_of(results, row.name):
        yield from (f"![{picture.title}](pictures/{picture.file})", "")
    if len(results.peers(row.name)) == 1:
        yield from (*tables.cases(results, row), "")
        return
    for case in row.full or results.cases(row.name):
        if case in results.cases(row.name):
            yield from (f"### {case[:1].upper()}{case[1:]}", "")
            yield from (*tables.full(results, row, case), "")
    for column in row.columns:
        if column.key in row.matrices:
            yield from (f"### All cases: {column.head}", "")
            yield from (*tables.matrix(results, row, column), "")


def _problems(results: Results) -> Iterator[str]:
    if results.problems:
        yield from ("## Not measured", "", *(f"- {each}" for each in results.problems), "")


def _machine(results: Results) -> list[str]:
    rows = [*results.machine.items(), *results.versions.items()]
    rows += [("command", f"`{results.command}`"), ("date", results.date)]
    rows += [("duration", f"{results.seconds:.0f} s"), ("rounds", str(results.rounds))]
    rows += [("other work before or after", f"{results.busy:.0%} of the processors")]
    rows += [("taken away by the host", f"{results.steal:.1%}")]
    raw = f"Raw results: `bench/results/{results.date}.json`; `--page FILE...` writes this again."
    return ["## Machine and versions", "", *tables.pairs(("", ""), rows), "", raw, ""]


@dataclass(frozen=True, slots=True)
class Picture:
    """Bars of one column of a case; or, without a case, lines of growth over the cases' sizes."""

    file: str
    title: str
    row: str
    column: Column
    """Its head is the line below the title."""
    case: str = ""


PICTURES = (
    Picture(
        "benchmark-processor.svg",
        "Processor time of the proxy for one HTTPS request",
        "keepalive",
        Column("proxy_us", "microseconds; four Node programs, tiny answer; less is better"),
        keepalive.MAIN.name,
    ),
    Picture(
        "benchmark-requests.svg",
        "HTTPS requests a second",
        "keepalive",
        Column("rps", "four Node programs, tiny answer, all on the same cores; more is better"),
        keepalive.MAIN.name,
    ),
    Picture(
        "benchmark-deploys.svg",
        "Requests lost while the programs are replaced",
        "deploys",
        Column("lost", "of those that a steady load sent; less is better"),
        "deploy",
    ),
    Picture(
        "benchmark-memory.svg",
        "Memory of the supervisor with 100 instances",
        "control",
        Column("rss_mb", "megabytes, without the programs; less is better"),
        "100",
    ),
)
GROWTH = Picture(
    "benchmark-growth.svg",
    "What more sites cost",
    "growth",
    Column("", "by the number of sites; n^1 is linear, fitted to the largest sizes"),
)
GROWTH_LINES = {
    "read and validate, s": "read_s",
    "plan and render, s": "decide_s",
    "nginx -t, s": "test_s",
    "up to first answer, s": "up_s",
    "one more site, s": "reload_s",
    "nginx, MB": "nginx_mb",
}


def pictures_of(results: Results, row: str) -> list[Picture]:
    """Those that this run can draw."""
    drawn = drawings(results)
    return [each for each in (*PICTURES, GROWTH) if each.row == row and each.file in drawn]


def drawings(results: Results) -> dict[str, str]:
    found = {picture.file: _bars(results, picture) for picture in PICTURES}
    if results.cases(GROWTH.row):
        unit = _unit(results, GROWTH)
        found[GROWTH.file] = plots.growth(GROWTH.title, unit, _lines(results))
    return {name: drawing for name, drawing in found.items() if drawing}


def _bars(results: Results, picture: Picture) -> str:
    entries = [
        plots.Bar(TITLES.get(peer, peer), value, peer.startswith(OURS))
        for peer in results.peers(picture.row)
        if (value := results.range(picture.row, picture.case, peer, picture.column.key))
    ]
    unit, digits = _unit(results, picture), picture.column.digits
    return plots.bars(picture.title, unit, entries, digits=digits) if entries else ""


def _unit(results: Results, picture: Picture) -> str:
    """A picture is seen without its page."""
    warning = "; no evidence: the machine was busy" if why_no_evidence(results) else ""
    return picture.column.head + warning


def _lines(results: Results) -> dict[str, list[tuple[float, float]]]:
    return {name: growth.points(results, key) for name, key in GROWTH_LINES.items()}
