"""`portico doctor`: what is wrong with a stack, its own or one that was made by hand."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Final

from portico.cli.arguments import Parser
from portico.cli.formatting import count_text
from portico.cli.session import Session
from portico.cli.terminal import Style
from portico.core.config.findings import nearest
from portico.errors import Refused
from portico.importers.read import file_in
from portico.stack.doctor.diagnose import RULES, diagnose
from portico.stack.doctor.findings_json import as_json
from portico.stack.doctor.gathering import gather, live_paths
from portico.stack.doctor.pages import PLACE
from portico.stack.doctor.rule import SEVERITIES, Finding, Rule, Severity
from portico.stack.doctor.sarif import sarif

_STYLES: Final[dict[Severity, Style]] = {
    "error": "red",
    "warning": "yellow",
    "advice": "cyan",
    "hint": "dim",
}
_EXIT_CODES: Final[dict[Severity, int]] = {"error": 2, "warning": 1, "advice": 1, "hint": 1}
_WIDTH: Final = 96


def options(parser: Parser) -> None:
    parser.add_argument(
        "paths",
        metavar="FILE",
        nargs="*",
        help="files of nginx, PM2, cron, certbot, systemd …, or portico.toml; default: the file "
        "of this folder",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="compare with this machine: files of certificates, ports, memory, other renewals; "
        "without FILE, also read the files of the nginx, PM2, cron and certbot here",
    )
    parser.add_argument("--all", action="store_true", help="show hints, too")
    parser.add_argument(
        "--ignore", metavar="CODE[,CODE]", default="", help="leave findings of these codes out"
    )
    parser.add_argument(
        "--fail-on",
        metavar="SEVERITY",
        choices=(*SEVERITIES, "never"),
        default="warning",
        help=f"lowest severity that is an exit code: {', '.join(SEVERITIES)} or never; "
        "default: warning",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0, for code review")


def run(session: Session, args: Namespace) -> int:
    ignored = _codes(args.ignore)
    facts = gather(_paths(session, args), session.environ, live=args.live)
    findings = [
        each
        for each in diagnose(facts)
        if each.rule.code not in ignored and (args.all or each.rule.severity != "hint")
    ]
    if args.sarif:
        session.show_json(sarif(findings))
    elif session.json:
        session.show_json(as_json(findings))
    else:
        for gap in facts.stack.gaps:
            if gap.why.startswith("cannot read"):
                session.terminal.write_labelled("note", f"{gap.place}: {gap.why}")
        _show(session, findings)
    return _exit_code(findings, args.fail_on)


def _paths(session: Session, args: Namespace) -> list[Path]:
    if args.paths or not args.live:
        return [Path(each) for each in args.paths or ["."]]
    here = [path] if (path := file_in(Path())) else []
    if not (found := [*here, *live_paths(session.environ)]):
        raise Refused("there is no portico.toml here, and no file of nginx, PM2, cron or certbot")
    return found


def _codes(text: str) -> set[str]:
    given, known = {each for each in text.split(",") if each}, {each.code for each in RULES}
    for code in sorted(given - known):
        near = nearest(code, known)
        raise Refused(f"no rule has the code {code}" + (f"; did you mean {near}?" if near else ""))
    return given


def _exit_code(findings: Sequence[Finding], lowest: str) -> int:
    """0 where nothing is as severe as the lowest that counts."""
    if not findings or lowest == "never":
        return 0
    worst = findings[0].rule.severity
    counts = SEVERITIES.index(worst) <= [*SEVERITIES].index(lowest)  # type: ignore[arg-type]
    return _EXIT_CODES[worst] if counts else 0


def _show(session: Session, findings: Sequence[Finding]) -> None:
    out = session.terminal.out
    for severity, of_severity in groupby(findings, lambda each: each.rule.severity):
        by_rule: dict[str, list[Finding]] = {}
        for each in of_severity:
            by_rule.setdefault(each.rule.code, []).append(each)
        for same in by_rule.values():
            for each in same:
                label = out.paint(severity, _STYLES[severity])
                session.terminal.write(f"{label}: {each.place}: {each.what}")
            _explain(session, same[0].rule)
    session.terminal.write(_summary(findings))


def _explain(session: Session, rule: Rule) -> None:
    for text in (rule.why, f"Fix: {rule.fix}", f"Code: {rule.code}, {PLACE}/{rule.code}.md"):
        for line in wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
            session.terminal.write(f"    {line}")
    session.terminal.write()


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing found"
    counts = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        counts[finding.rule.severity] += 1
    words = {"error": count_text(counts["error"], "error")}
    words["warning"] = count_text(counts["warning"], "warning")
    words["advice"] = f"{counts['advice']} advice"
    words["hint"] = count_text(counts["hint"], "hint")
    return ", ".join(words[each] for each in SEVERITIES if counts[each])
