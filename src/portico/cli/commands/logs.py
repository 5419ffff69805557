"""`portico logs`: the output of apps. The files are read here; the daemon says where they are."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Parser, json_option, whole_number
from portico.cli.formatting import duration
from portico.cli.session import Session
from portico.cli.tail import Tail
from portico.cli.terminal import Style
from portico.client.client import Client
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.errors import Failed, Refused, Unreachable
from portico.system.account import account_if_known
from portico.system.clock import SystemClock
from portico.system.waiting import pause

if TYPE_CHECKING:
    from portico.core.model.views import LogFileView

LINES: Final = 15
POLL_INTERVAL: Final = 0.2  # seconds
POLLS_PER_REFRESH: Final = 10  # the daemon for new instances
_OUTPUT: Final = frozenset({"stdout", "stderr"})
_COLOURS: Final[tuple[Style, ...]] = ("cyan", "green", "yellow", "magenta", "blue")


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
        default=LINES,
        help=f"number of lines of each file; default: {LINES}",
    )
    parser.add_argument(
        "--nginx", action="store_true", help="nginx's access and error logs instead"
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.lines < 0:
        raise Refused(f"cannot show {args.lines} lines: N must be 0 or more")
    client = session.client()
    source = _LogSource(client, args.app, nginx=args.nginx)
    if session.json:
        session.show_json(source.files())
        return
    view = _LogView(session, lines=args.lines)
    try:
        files = source.files()
        if not files and not args.follow:
            session.terminal.write_stderr("there is no output yet")
        view.add(files)
        view.print_ends(SystemClock().now())
        view.report_removed()
        if args.follow:
            _follow(view, source)
        view.print_rest()
    except PermissionError as error:
        raise Failed(f"cannot read {error.filename}: it belongs to another user") from None
    finally:
        view.close()


def _follow(view: _LogView, source: _LogSource) -> None:
    """Until an interrupt. A daemon that leaves ends nothing: the files are still there."""
    view.lines = None
    polls = 0
    while True:
        pause(POLL_INTERVAL)
        polls += 1
        if polls % POLLS_PER_REFRESH == 0:
            view.add(source.files_if_reachable())
        view.print_more()


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


@dataclass(frozen=True, slots=True)
class _LogFile:
    tail: Tail
    prefix: str
    colour: Style
    file: LogFileView

    def heading(self, now: float, *, earlier: bool) -> str:
        """How old the lines are that follow: programs write no times."""
        stream = f" {self.file.stream}" if self.file.stream in _OUTPUT else ""
        age = f"last written {duration(now - self.tail.written)} ago"
        if self.file.started and (earlier or self.tail.written < self.file.started):
            started = duration(now - self.file.started)
            before = f"before the start {started} ago"
            age = before if earlier else f"{age}, {before}"
        return f"--- {self.prefix}{stream}, {age} ---"


class _LogView:
    """The files that are on the screen, each with its prefix."""

    def __init__(self, session: Session, *, lines: int) -> None:
        self._session = session
        self.lines: int | None = lines
        """How far back a file begins that is new here; None is all of it."""
        self._shown: dict[str, _LogFile] = {}

    def add(self, files: list[LogFileView]) -> None:
        by_path = {file.path: file for file in files}
        for path, prefix in _prefixes(files).items():
            if path not in self._shown:
                colour, file = _COLOURS[len(self._shown) % len(_COLOURS)], by_path[path]
                tail = Tail(
                    Path(path),
                    lines=self.lines,
                    since=file.offset,
                    account=account_if_known(file.user or None, None),
                )
                self._shown[path] = _LogFile(tail, prefix, colour, file)

    def print_ends(self, now: float) -> None:
        """The end of each file, what was written last at the bottom."""
        for each in sorted(self._shown.values(), key=lambda each: each.tail.written):
            if each.tail.earlier:
                self._print([each.heading(now, earlier=True)])
                self._print(each.tail.earlier, each)
            for number, lines in enumerate(each.tail.all_there()):
                if number == 0:
                    self._print([each.heading(now, earlier=False)])
                self._print(lines, each)

    def report_removed(self) -> None:
        """A program goes on writing to a file that was removed, where nobody can read it."""
        for each in self._shown.values():
            file = each.file
            if file.started and file.stream in _OUTPUT and not each.tail.is_there:
                self._session.terminal.write_stderr(
                    f"{each.prefix} {file.stream}: {file.path} does not exist; "
                    f"`portico restart {file.app}` writes it again"
                )

    def print_more(self) -> None:
        for each in self._shown.values():
            for lines in each.tail.all_there():
                self._print(lines, each)

    def print_rest(self) -> None:
        for each in self._shown.values():
            self._print(each.tail.rest(), each)

    def close(self) -> None:
        for each in self._shown.values():
            each.tail.close()

    def _print(self, lines: list[str], of: _LogFile | None = None) -> None:
        width = max(len(other.prefix) for other in self._shown.values())
        terminal = self._session.terminal
        prefix = terminal.out.paint(of.prefix.ljust(width) + " |", of.colour) + " " if of else ""
        for line in lines:
            text = line.rstrip("\r") if terminal.out.is_terminal else line
            terminal.write_raw(prefix + text)


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
