"""`portico logs`: the output of apps. The files are read here; the daemon says where they are."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.tail import Tail
from portico.cli.terminal import Style
from portico.client.client import Client
from portico.core.model import verbs
from portico.errors import Failed, Refused, Unreachable
from portico.system.account import account_if_known
from portico.system.waiting import pause

if TYPE_CHECKING:
    from portico.core.model.views import LogFileView

LINES: Final = 15
POLL_INTERVAL: Final = 0.2  # seconds
POLLS_PER_REFRESH: Final = 10  # the daemon for new instances
_OUTPUT: Final = frozenset({"stdout", "stderr"})
_COLOURS: Final[tuple[Style, ...]] = ("cyan", "green", "yellow", "magenta", "blue")


def options(parser: Parser) -> None:
    parser.add_argument("app", metavar="APP", nargs="?", help="name of the app; default: all")
    parser.add_argument("-f", "--follow", action="store_true", help="follow the files")
    parser.add_argument(
        "-n",
        "--lines",
        metavar="N",
        type=int,
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
        view.add(source.files())
        view.print_more()
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


class _LogView:
    """The files that are on the screen, each with its prefix."""

    def __init__(self, session: Session, *, lines: int) -> None:
        self._session = session
        self.lines: int | None = lines
        """How far back a file begins that is new here; None is all of it."""
        self._tails: dict[str, tuple[Tail, str, Style]] = {}

    def add(self, files: list[LogFileView]) -> None:
        users = {file.path: file.user for file in files}
        for path, prefix in _prefixes(files).items():
            if path not in self._tails:
                colour = _COLOURS[len(self._tails) % len(_COLOURS)]
                tail = Tail(
                    Path(path),
                    lines=self.lines,
                    account=account_if_known(users[path] or None, None),
                )
                self._tails[path] = (tail, prefix, colour)

    def print_more(self) -> None:
        for tail, prefix, colour in self._tails.values():
            for lines in tail.all_there():
                self._print(lines, prefix, colour)

    def print_rest(self) -> None:
        for tail, prefix, colour in self._tails.values():
            self._print(tail.rest(), prefix, colour)

    def close(self) -> None:
        for tail, _, _ in self._tails.values():
            tail.close()

    def _print(self, lines: list[str], prefix: str, colour: Style) -> None:
        width = max(len(other) for _, other, _ in self._tails.values())
        terminal = self._session.terminal
        for line in lines:
            text = line.rstrip("\r") if terminal.out.is_terminal else line
            terminal.write_raw(f"{terminal.out.paint(prefix.ljust(width) + ' |', colour)} {text}")


def _prefixes(files: list[LogFileView]) -> dict[str, str]:
    """Path to prefix: the instance, the app where instances share a file, or nginx's stream."""
    found: dict[str, str] = {}
    for file in files:
        if file.stream not in _OUTPUT:
            name = " ".join(filter(None, (file.app or file.instance or "nginx", file.stream)))
        elif found.get(file.path, file.instance) != file.instance:
            name = file.app
        else:
            name = file.instance or file.app
        found[file.path] = name
    return found
