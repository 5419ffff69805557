"""`portico logs`: the output of apps. The files are read here; the daemon says where they are."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Parser, json_option, time_options, whole_number
from portico.cli.formatting import duration
from portico.cli.log_history import LineFilter, history
from portico.cli.session import Session
from portico.cli.tail import Tail
from portico.cli.terminal import Style
from portico.client.client import Client
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.core.model.log_line import LogLine, merge_lines
from portico.core.model.log_times import time_of
from portico.core.model.moments import moment
from portico.errors import Failed, Refused, Unreachable
from portico.system.account import Account, account_if_known
from portico.system.clock import SystemClock
from portico.system.waiting import pause

if TYPE_CHECKING:
    from portico.core.model.views import EventView, LogFileView

LINES: Final = 15
POLL_INTERVAL: Final = 0.2  # seconds
POLLS_PER_REFRESH: Final = 10  # the daemon for new instances
MAX_EVENTS: Final = 1_000_000
EVENTS_AT_ONCE: Final = 20
MAX_EVENTS_AT_ONCE: Final = 1000
"""Of what has come since the last refresh."""
_OUTPUT: Final = frozenset({"stdout", "stderr"})
_COLOURS: Final[tuple[Style, ...]] = ("cyan", "green", "yellow", "magenta", "blue")
_EVENTS: Final = "portico"
"""In front of events."""


def options(parser: Parser) -> None:
    parser.add_argument(
        "app", metavar="APP", nargs="?", type=app_or_instance, help="name of the app; default: all"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="follow the files")
    parser.add_argument(
        "-n",
        "--lines",
        metavar="N",
        type=whole_number,
        help=f"number of lines of each file; default: {LINES}, all with --since, --until, --grep",
    )
    time_options(parser)
    parser.add_argument(
        "--grep", metavar="PATTERN", help="only lines that match this regular expression"
    )
    parser.add_argument("--timestamps", action="store_true", help="show when lines were written")
    parser.add_argument("--events", action="store_true", help="also show Portico's events")
    parser.add_argument(
        "--nginx", action="store_true", help="nginx's access and error logs instead"
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    wanted = _filter(args)
    client = session.client()
    view = _LogView(session, wanted, timestamps=args.timestamps)
    source = _LogSource(client, args.app, nginx=args.nginx)
    events = _EventSource(client, args.app, wanted) if args.events else None
    merges = wanted.looks_back or args.timestamps or args.events or session.json
    try:
        files = source.files()
        if not files and not args.follow and not session.json:
            session.terminal.write_stderr("there is no output yet")
        view.add(files, at_end=merges)
        if merges:
            view.print_history(events.first_events() if events else ())
        else:
            view.print_ends(SystemClock().now())
        view.report_removed()
        if args.follow:
            _follow(view, source, events)
        if not merges:
            view.print_rest()
    except PermissionError as error:
        raise Failed(f"cannot read {error.filename}: it belongs to another user") from None
    finally:
        view.close()


def _filter(args: Namespace) -> LineFilter:
    if args.lines is not None and args.lines < 0:
        raise Refused(f"cannot show {args.lines} lines: N must be 0 or more")
    if args.follow and args.until is not None:
        raise Refused("--follow cannot be combined with --until")
    try:
        pattern = re.compile(args.grep) if args.grep is not None else None
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(f"--grep {args.grep!r} is not a regular expression: {error}") from None
    wanted = LineFilter(args.since, args.until, pattern, args.lines)
    if args.lines is None and not wanted.looks_back:
        wanted = LineFilter(count=LINES)
    return wanted


def _follow(view: _LogView, source: _LogSource, events: _EventSource | None) -> None:
    """Until an interrupt. A daemon that leaves ends nothing: the files are still there."""
    polls = 0
    while True:
        pause(POLL_INTERVAL)
        polls += 1
        is_refreshed = polls % POLLS_PER_REFRESH == 0
        if is_refreshed:
            view.add(source.files_if_reachable())
        view.print_more(events.new_events() if events and is_refreshed else ())


class _LogSource:
    """The files to show, as the daemon names them."""

    def __init__(self, client: Client, app: str | None, *, nginx: bool) -> None:
        self._client, self._app, self._nginx = client, app, nginx

    def files(self) -> list[LogFileView]:
        found = self._client.ask(verbs.LOGS, app=self._app)
        return [file for file in found if (file.stream in _OUTPUT) != self._nginx]

    def files_if_reachable(self) -> list[LogFileView]:
        try:
            return self.files()
        except Unreachable:
            return []


class _EventSource:
    """Portico's own events, of the same app and time."""

    def __init__(self, client: Client, app: str | None, wanted: LineFilter) -> None:
        self._client, self._app, self._wanted = client, app, wanted
        self._last = 0

    def first_events(self) -> list[EventView]:
        count = self._wanted.count if self._wanted.count is not None else MAX_EVENTS
        return self._new(self._newest(count, self._wanted.since))

    def new_events(self) -> list[EventView]:
        """Since the last time; the next daemon has them, too."""
        try:
            found = self._newest(EVENTS_AT_ONCE, None)
            if found and found[-1].number > self._last > 0:
                found = self._newest(MAX_EVENTS_AT_ONCE, None)
        except Unreachable:
            return []
        return self._new(found)

    def _newest(self, count: int, since: float | None) -> list[EventView]:
        until = self._wanted.until
        return self._client.events(count, app=self._app, since=since, until=until)

    def _new(self, newest: list[EventView]) -> list[EventView]:
        """Those that were not shown yet, oldest first."""
        new = [each for each in reversed(newest) if each.number > self._last]
        self._last = max([self._last, *(each.number for each in new)])
        pattern = self._wanted.pattern
        return [each for each in new if pattern is None or pattern.search(_event_text(each))]


@dataclass(frozen=True, slots=True)
class _LogFile:
    tail: Tail
    prefix: str
    colour: Style
    file: LogFileView
    account: Account

    def heading(self, now: float, *, earlier: bool) -> str:
        """How old the lines are that follow: programs write no times."""
        stream = f" {self.file.stream}" if self.file.stream in _OUTPUT else ""
        age = f"last written {duration(now - self.tail.modified_at)} ago"
        if self.file.started and (earlier or self.tail.modified_at < self.file.started):
            started = duration(now - self.file.started)
            before = f"before the start {started} ago"
            age = before if earlier else f"{age}, {before}"
        return f"--- {self.prefix}{stream}, {age} ---"


class _LogView:
    """The files that are on the screen, each with its prefix."""

    def __init__(self, session: Session, wanted: LineFilter, *, timestamps: bool) -> None:
        self._session, self._wanted, self._timestamps = session, wanted, timestamps
        self._is_begun = False
        self._shown: dict[str, _LogFile] = {}
        self._colours: dict[str, Style] = {}
        """By prefix."""
        self._width = 0
        """Of prefixes."""

    def add(self, files: list[LogFileView], *, at_end: bool = False) -> None:
        """Those that are new here; all of one that is new later, the end of each before."""
        lines = None if self._is_begun else 0 if at_end else self._wanted.count
        self._is_begun = True
        by_path = {file.path: file for file in files}
        for path, prefix in _prefixes(files).items():
            if path not in self._shown:
                file, next_colour = by_path[path], _COLOURS[len(self._colours) % len(_COLOURS)]
                colour = self._colours.setdefault(prefix, next_colour)
                account = account_if_known(file.user or None, None)
                tail = Tail(Path(path), lines=lines, since=file.offset, account=account)
                self._shown[path] = _LogFile(tail, prefix, colour, file, account)
        self._width = max([self._width, *map(len, self._colours)])

    def print_ends(self, now: float) -> None:
        """The end of each file, what was written last at the bottom; those whose lines say their
        time behind them, merged by it.
        """
        timed = list[tuple[_LogFile, list[str]]]()
        for view in sorted(self._shown.values(), key=lambda each: each.tail.modified_at):
            lines = [line for part in view.tail.lines_so_far() for line in part]
            if lines and not view.tail.earlier and time_of(lines[0]) is not None:
                timed.append((view, lines))
                continue
            if view.tail.earlier:
                self._print([view.heading(now, earlier=True)])
                self._print(view.tail.earlier, view)
            if lines:
                self._print([view.heading(now, earlier=False)])
                self._print(lines, view)
        if len(timed) == 1:
            self._print([timed[0][0].heading(now, earlier=False)])
        self._print_merged([(each, _log_lines(lines, 0.0)) for each, lines in timed], ())

    def report_removed(self) -> None:
        """A program goes on writing to a file that was removed, where nobody can read it."""
        for view in self._shown.values():
            file = view.file
            if file.started and file.stream in _OUTPUT and not view.tail.is_there:
                self._session.terminal.write_stderr(
                    f"{view.prefix} {file.stream}: {file.path} does not exist; "
                    f"`portico restart {file.app}` writes it again"
                )

    def print_history(self, events: Sequence[EventView]) -> None:
        """All that is wanted of the files, those that were rotated too, merged by time."""
        self._width = max(self._width, len(_EVENTS) if events else 0)
        files = [
            (each, history(Path(path), each.account, self._wanted, each.tail.position))
            for path, each in self._shown.items()
        ]
        self._print_merged(files, events)

    def print_more(self, events: Sequence[EventView]) -> None:
        """What was written since; of all files by its time, as far as lines say it."""
        now, pattern = SystemClock().now(), self._wanted.pattern
        more = [
            (each, [line for line in lines if pattern is None or pattern.search(line)])
            for each in self._shown.values()
            for lines in each.tail.lines_so_far()
        ]
        if self._timestamps or events or self._session.json:
            self._print_merged([(each, _log_lines(lines, now)) for each, lines in more], events)
            return
        for each, lines in more:
            self._print(lines, each)

    def print_rest(self) -> None:
        for each in self._shown.values():
            self._print(each.tail.unended_line(), each)

    def close(self) -> None:
        for each in self._shown.values():
            each.tail.close()

    def _print_merged(
        self, files: Sequence[tuple[_LogFile, Iterator[LogLine]]], events: Sequence[EventView]
    ) -> None:
        own = (LogLine(each.at, True, _event_text(each)) for each in events)
        for number, line in merge_lines([*(lines for _, lines in files), own]):
            self._print_line(line, files[number][0] if number < len(files) else None)

    def _print_line(self, line: LogLine, of: _LogFile | None) -> None:
        if self._session.json:
            self._session.terminal.write_raw(_json_line(line, of))
            return
        time = f"{moment(line.at) if line.is_exact else '':<23}  " if self._timestamps else ""
        self._print([time + line.text], of, prefix="" if of else _EVENTS)

    def _print(self, lines: list[str], of: _LogFile | None = None, *, prefix: str = "") -> None:
        terminal = self._session.terminal
        name, colour = (of.prefix, of.colour) if of else (prefix, "dim")
        begin = terminal.out.paint(name.ljust(self._width) + " |", colour) + " " if name else ""
        for line in lines:
            text = line.rstrip("\r") if terminal.out.is_terminal else line
            terminal.write_raw(begin + text)


def _log_lines(lines: Sequence[str], now: float) -> Iterator[LogLine]:
    """Of which those without a time are of the one before, or of now."""
    at = 0.0
    for text in lines:
        own = time_of(text)
        at = max(at, own if own is not None else at or now)
        yield LogLine(at, True, text)


def _event_text(event: EventView) -> str:
    subject = event.subject.replace("*", "all")
    return f"{subject}: {event.kind}: {event.text}"


def _json_line(line: LogLine, of: _LogFile | None) -> str:
    """As docs/logs-and-events.md describes it."""
    file = of.file if of else None
    table = {
        "time": moment(line.at) if line.is_exact else None,
        "at": line.at if line.is_exact else None,
        "app": file.app if file else "",
        "instance": file.instance if file else "",
        "stream": file.stream if file else "event",
        "site": file.site if file else "",
        "line": line.text,
    }
    return json.dumps(table).replace("\x7f", "\\u007f")


def _prefixes(files: list[LogFileView]) -> dict[str, str]:
    """Path to prefix: the instance, the app where instances share a file, or nginx's stream."""
    found: dict[str, str] = {}
    for file in files:
        if file.stream not in _OUTPUT:
            name = f"{file.site or 'nginx'} {file.stream}"
        elif found.get(file.path, file.instance) != file.instance:
            name = file.app
        else:
            name = file.instance or file.app
        found[file.path] = name
    return found
