"""`portico top`: the table of `portico status`, live, with keys for what is done most."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.errors import Failed, Refused

if TYPE_CHECKING:
    from portico.cli.top.screen import Top

INTERVAL: Final = 1.0
MIN_INTERVAL: Final = 0.2
TEXTUAL: Final = "textual>=3"


def options(parser: Parser) -> None:
    parser.add_argument(
        "filter",
        metavar="WORD",
        nargs="*",
        help="show only rows whose project, app, instance or state contains these words",
    )
    parser.add_argument(
        "--every",
        metavar="SECONDS",
        type=float,
        default=INTERVAL,
        help=f"seconds between updates; default: {INTERVAL:g}",
    )


def run(session: Session, args: Namespace) -> None:
    if not args.every >= MIN_INTERVAL:
        raise Refused(f"--every has to be {MIN_INTERVAL:g} seconds or more")
    if not session.terminal.out.live:
        raise Refused("portico top needs a terminal; `portico status` prints the table once")
    screen = screen_of_top()
    screen(session.client(), " ".join(args.filter), interval=args.every).run()


def screen_of_top() -> type[Top]:
    """Raises Failed where the library that draws it is not installed."""
    try:
        from portico.cli.top.screen import Top  # noqa: PLC0415 - an extra, and large
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"textual", "rich"}:
            raise
        raise Failed(
            "portico top needs Textual, which is not installed; "
            f"`{sys.executable} -m pip install '{TEXTUAL}'` installs it"
        ) from None
    return Top
