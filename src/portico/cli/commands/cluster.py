"""`portico cluster`: this machine among others that serve the same file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Final

from portico.cli.arguments import Parser, json_option, refuse_others
from portico.cli.session import Session
from portico.errors import Refused

Action = Callable[[Session, Namespace], int | None]


def options(parser: Parser) -> None:
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default="show",
        choices=tuple(_ACTIONS),
        help=f"one of {', '.join(_ACTIONS)}; default: show",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="init: name of this machine; invite: name of the machine that is to join; join: the "
        "invitation's file; keepalived: the address that moves, such as 10.0.0.100/24",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="invite: the file to write; default: NAME.invitation"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="invite: also if the machine was invited before, to renew its certificate or to set "
        "up its successor",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="leave: also on the machine that has the authority's key; no machine can be invited "
        "after that",
    )
    parser.add_argument(
        "--interface",
        metavar="NAME",
        help="keepalived: the network interface of the machines; default: eth0",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="accept, restore: do it; default: only show what would change",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> int | None:
    action, allowed, needs = _ACTIONS[args.what]
    refuse_others("cluster", args, allowed)
    if needs and not args.name:
        raise Refused(f"`portico cluster {args.what}` needs {needs}; nothing was changed")
    return action(session, args)


def _init(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.inviting import init  # noqa: PLC0415 - `show` needs no cryptography

    init(session, args.name)


def _invite(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.inviting import invite  # noqa: PLC0415

    invite(session, args.name, args.output or f"{args.name}.invitation", replace=args.replace)


def _join(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.joining import join  # noqa: PLC0415

    join(session, args.name)


def _show(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.showing import show  # noqa: PLC0415

    del args
    show(session)


def _check(session: Session, args: Namespace) -> int:
    from portico.cli.cluster.checking import check  # noqa: PLC0415

    del args
    return check(session)


def _keepalived(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.keepalived import show_keepalived  # noqa: PLC0415

    show_keepalived(session, args.name, args.interface or "eth0")


def _drain(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.draining import drain  # noqa: PLC0415

    del args
    drain(session)


def _undrain(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.draining import undrain  # noqa: PLC0415

    del args
    undrain(session)


def _accept(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.recovering import accept  # noqa: PLC0415

    accept(session, act=args.yes)


def _restore(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.recovering import restore  # noqa: PLC0415

    restore(session, act=args.yes)


def _leave(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.leaving import leave  # noqa: PLC0415

    leave(session, force=args.force)


_ACTIONS: Final[Mapping[str, tuple[Action, str, str]]] = {
    "show": (_show, "", ""),
    "init": (_init, "name", "the NAME of this machine"),
    "invite": (_invite, "name output replace", "the NAME of the machine that is to join"),
    "join": (_join, "name", "the FILE of an invitation"),
    "check": (_check, "", ""),
    "keepalived": (_keepalived, "name interface", "the ADDRESS that moves"),
    "drain": (_drain, "", ""),
    "undrain": (_undrain, "", ""),
    "accept": (_accept, "yes", ""),
    "restore": (_restore, "yes", ""),
    "leave": (_leave, "force", ""),
}
"""What each word does, which arguments it takes, and which NAME it cannot do without."""
