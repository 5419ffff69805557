"""`portico cluster`: this machine among others that serve the same file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Form, Parser, json_option, refuse_others, whole_number
from portico.cli.session import Session
from portico.errors import Refused

if TYPE_CHECKING:
    from portico.cli.cluster.naming import SharedPlace

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
        help="init: name of this machine, default with --etcd: its host name; join: address of a "
        "machine of the cluster, such as 10.0.0.1:8445, or the file of an invitation; "
        "remove: name of another machine; leave: name of this machine; "
        "drain, undrain: name of a machine, default: this one; "
        "token: with --replace the name of the machine to replace; "
        "invite: name of the machine that is to join; etcd: a member, such as m1=10.0.0.1; "
        "with --remove its name, or NAME=ADDRESS of one that has not started; "
        "keepalived: the address that moves, such as 10.0.0.100/24",
    )
    parser.add_argument(
        "more",
        metavar="MORE",
        nargs="*",
        help="etcd: further members, for a new etcd; "
        "join: name of this machine, default: its host name",
    )
    parser.is_mixed, parser.forms = True, _FORMS
    parser.add_argument(
        "--etcd",
        metavar="URL[,URL]",
        help="init: keep what the machines share in this etcd, such as https://10.0.0.1:2379",
    )
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="init, join: IP address at which the other machines reach this one; "
        "init: default: the one by which it reaches etcd; "
        "join: default: the one by which it reaches that machine",
    )
    parser.add_argument(
        "--port",
        metavar="PORT",
        type=whole_number,
        help="init, join: port of that address; default: 8445",
    )
    parser.add_argument(
        "--labels",
        metavar="LABEL[,LABEL]",
        help="init, join: words that `on` of an app may name instead of the machine",
    )
    parser.add_argument(
        "--token", metavar="TOKEN", help="join: what `portico cluster token` has printed"
    )
    parser.add_argument(
        "--user",
        metavar="USER",
        help="init: user of etcd with the role root, who creates one for each machine",
    )
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="init: file with the password of that user; default: it is read from the terminal",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="init: allow an etcd without TLS that is not on this machine",
    )
    parser.add_argument(
        "--etcd-ca",
        metavar="FILE",
        help="init: certificate of the authority that has issued the one of etcd; default: that "
        "of `portico cluster etcd`",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="invite: the file to write, default: NAME.invitation; etcd: the folder to write, "
        "default: etcd",
    )
    parser.add_argument(
        "--remove", action="store_true", help="etcd: remove this member from the etcd that runs"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="invite, token: for a machine that has joined before, NAME, to renew its certificate "
        "or to set up its successor",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="leave: also on the machine that has the authority's key, and without the store; "
        "remove: also if the daemon of the machine runs; init: also if etcd has the data of "
        "another cluster",
    )
    parser.add_argument(
        "--interface",
        metavar="NAME",
        help="keepalived: the network interface of the machines; default: eth0",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="accept, restore: make the change; default: show what would change",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> int | None:
    allowed = _FORMS[args.what].allowed
    if args.more and "more" not in allowed.split():
        raise Refused(f"`portico cluster {args.what}` accepts one NAME; nothing was changed")
    refuse_others("cluster", args, allowed)
    if (needed := _NEEDED_NAMES.get(args.what)) and not args.name:
        raise Refused(f"`portico cluster {args.what}` needs {needed}; nothing was changed")
    return _ACTIONS[args.what](session, args)


def _init(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.inviting import init, init_with_store  # noqa: PLC0415 - cryptography

    if args.etcd is None:
        if any(getattr(args, name) for name in _STORE_OPTIONS):
            raise Refused(
                "`portico cluster init` without --etcd needs the name of this machine alone: the "
                "addresses are in [machines] of the file; nothing was changed"
            )
        if not args.name:
            raise Refused(
                "`portico cluster init` without --etcd needs the NAME of this machine; nothing "
                "was changed"
            )
        init(session, args.name)
        return
    from portico.cli.cluster.naming import own_name  # noqa: PLC0415
    from portico.cli.cluster.store_options import store_of  # noqa: PLC0415

    name = args.name or own_name()
    init_with_store(session, name, store_of(args), _place(args), another=args.force)


def _place(args: Namespace) -> SharedPlace:
    from portico.cli.cluster.naming import place_of  # noqa: PLC0415

    return place_of(args.address, args.port, args.labels)


def _invite(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.inviting import invite  # noqa: PLC0415

    invite(session, args.name, args.output or f"{args.name}.invitation", replace=args.replace)


def _join(session: Session, args: Namespace) -> None:
    if args.token is None:
        from portico.cli.cluster.joining import join  # noqa: PLC0415

        if args.more or args.address or args.port or args.labels:
            raise Refused(
                "`portico cluster join` with an invitation needs its FILE alone; nothing was "
                "changed"
            )
        join(session, args.name)
        return
    from portico.cli.cluster.joining_by_token import join_by_token  # noqa: PLC0415

    if len(args.more) > 1:
        raise Refused("`portico cluster join` accepts one name; nothing was changed")
    join_by_token(session, args.name, args.token, "".join(args.more), _place(args))


def _token(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.members import show_token  # noqa: PLC0415

    if bool(args.name) is not args.replace:
        raise Refused(
            "`portico cluster token` needs no NAME, or --replace with the NAME of the machine to "
            "replace; nothing was changed"
        )
    show_token(session, args.name or "")


def _remove(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.members import remove  # noqa: PLC0415

    remove(session, args.name, force=args.force)


def _etcd(session: Session, args: Namespace) -> None:
    from portico.system.cluster_store import has_store  # noqa: PLC0415

    words = [args.name, *args.more]
    if args.remove or has_store(session.home):
        from portico.cli.cluster.etcd_members import remove_member, set_member  # noqa: PLC0415

        if args.remove:
            remove_member(session, words)
        else:
            set_member(session, words, args.output or "etcd")
        return
    from portico.cli.cluster.etcd_files import write_etcd  # noqa: PLC0415

    write_etcd(session, words, args.output or "etcd")


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

    drain(session, args.name)


def _undrain(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.draining import undrain  # noqa: PLC0415

    undrain(session, args.name)


def _accept(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.recovering import accept  # noqa: PLC0415

    accept(session, act=args.yes)


def _restore(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.recovering import restore  # noqa: PLC0415

    restore(session, act=args.yes)


def _upgrade(session: Session, args: Namespace) -> int:
    from portico.cli.cluster.upgrading import upgrade  # noqa: PLC0415

    del args
    return upgrade(session)


def _leave(session: Session, args: Namespace) -> None:
    from portico.cli.cluster.leaving import leave  # noqa: PLC0415

    leave(session, args.name, force=args.force)


_ACTIONS: Final[Mapping[str, Action]] = {
    "show": _show,
    "init": _init,
    "token": _token,
    "invite": _invite,
    "join": _join,
    "remove": _remove,
    "etcd": _etcd,
    "check": _check,
    "keepalived": _keepalived,
    "drain": _drain,
    "undrain": _undrain,
    "accept": _accept,
    "restore": _restore,
    "upgrade": _upgrade,
    "leave": _leave,
}
_FORMS: Final[Mapping[str, Form]] = {
    "show": Form("", "Show this machine, and with a store all machines.", ""),
    "init": Form(
        "NAME | [NAME] --etcd URL[,URL]",
        "Create a cluster, with this machine as the first one.",
        "name etcd etcd_ca address port labels user password_file plain force",
    ),
    "token": Form(
        "[--replace NAME]",
        "With a store: create a token, with which a machine joins.",
        "name replace",
    ),
    "invite": Form(
        "NAME", "Without a store: write the invitation of a machine.", "name output replace"
    ),
    "join": Form(
        "ADDRESS:PORT [NAME] --token TOKEN, or FILE",
        "Join a cluster by a token, or by the file of an invitation.",
        "name more token address port labels",
        {"name": "ADDRESS:PORT or FILE", "more": "NAME"},
    ),
    "remove": Form("NAME", "With a store: remove a machine that is dead or lost.", "name force"),
    "etcd": Form(
        "NAME=ADDRESS … | NAME --remove",
        "Write the files of the members of an etcd; with a store: add a member, or --remove one.",
        "name more output remove",
        {"name": "NAME=ADDRESS", "more": "NAME=ADDRESS ..."},
    ),
    "check": Form("", "Compare clocks, versions, files and certificates of the machines.", ""),
    "keepalived": Form(
        "ADDRESS/LENGTH",
        "Print this machine's configuration of keepalived, for an address that moves.",
        "name interface",
        {"name": "ADDRESS/LENGTH"},
    ),
    "drain": Form(
        "[NAME]", "Have the other machines run the apps of a machine, and stop them there.", "name"
    ),
    "undrain": Form("[NAME]", "Run the apps of a drained machine again.", "name"),
    "accept": Form("", "Follow a store that is older than the copy on this machine.", "yes"),
    "restore": Form(
        "", "Write the copy on this machine to a store that is empty or older.", "yes"
    ),
    "upgrade": Form("", "With a store: use its newest schema that all machines know.", ""),
    "leave": Form("[NAME]", "Remove this machine from its cluster.", "name force"),
}
_STORE_OPTIONS: Final = frozenset(_FORMS["init"].allowed.split()) - {"name", "etcd"}
"""Options of `init` that only --etcd has."""
_NEEDED_NAMES: Final = {
    "invite": "the NAME of the machine that is to join",
    "join": "the ADDRESS of a machine with --token, or the FILE of an invitation",
    "remove": "the NAME of a machine",
    "etcd": "the members, such as m1=10.0.0.1",
    "keepalived": "the ADDRESS that moves",
}
