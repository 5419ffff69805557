"""`portico certs`: the certificates of authorities, what comes next for each, and why."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Final

from portico.cli.arguments import Form, Parser, json_option, refuse_others
from portico.cli.certs.accounts import deactivate, roll_over, show_account
from portico.cli.certs.obtaining import STANDALONE, issue, standalone_options
from portico.cli.certs.scheduling import KINDS, schedule, schedule_options
from portico.cli.certs.showing import show_all, show_one
from portico.cli.certs.transfer import export_certificates, import_certificates
from portico.cli.session import Session
from portico.cli.watching import watch, watch_and_report
from portico.core.model import certificate_verbs
from portico.core.model.revocation import REASON_CODES
from portico.errors import Refused

Action = Callable[[Session, Namespace], None]


def options(parser: Parser) -> None:
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default="list",
        choices=tuple(_ACTIONS),
        help=f"one of {', '.join(_ACTIONS)}; default: list",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="show, issue, renew, revoke, forget: the site's name; import: certbot's folder, "
        "default /etc/letsencrypt; export: the folder to write; deactivate: the authority, "
        "as in the key issuer",
    )
    parser.forms = _FORMS
    parser.add_argument(
        "--force",
        action="store_true",
        help="renew: also if not due; issue: with --standalone also if not due; "
        "revoke: also if no other certificate can be obtained and served first",
    )
    parser.add_argument(
        "--reason",
        metavar="REASON",
        choices=tuple(REASON_CODES),
        help=f"revoke: one of {', '.join(REASON_CODES)}; default: superseded",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="renew: use the authority's staging; change nothing that is served",
    )
    parser.add_argument("--quiet", action="store_true", help="renew: print only errors")
    schedule_options(parser)
    standalone_options(parser)
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    refuse_others("certs", args, _FORMS[args.what].allowed)
    _ACTIONS[args.what](session, args)


def _list(session: Session, args: Namespace) -> None:
    del args
    show_all(session)


def _show(session: Session, args: Namespace) -> None:
    show_one(session, _required_name(args))


def _renew(session: Session, args: Namespace) -> None:
    if args.force and args.dry_run:
        raise Refused("--dry-run includes certificates that are not due; omit --force")
    client = session.client()
    change = client.ask(
        certificate_verbs.RENEW, name=args.name, force=args.force, dry_run=args.dry_run
    )
    if args.quiet:
        watch(session, client, change, quiet=True)
    else:
        watch_and_report(session, client, change)


def _revoke(session: Session, args: Namespace) -> None:
    name, client = _required_name(args), session.client()
    reason = args.reason or "superseded"
    watch_and_report(
        session,
        client,
        client.ask(certificate_verbs.REVOKE, name=name, reason=reason, force=args.force),
    )


def _forget(session: Session, args: Namespace) -> None:
    name, client = _required_name(args), session.client()
    watch_and_report(session, client, client.ask(certificate_verbs.FORGET, name=name))


def _import(session: Session, args: Namespace) -> None:
    import_certificates(session, args.name)


def _export(session: Session, args: Namespace) -> None:
    if not args.name:
        raise Refused("`portico certs export` needs the FOLDER to write; nothing was written")
    export_certificates(session, args.name)


def _required_name(args: Namespace) -> str:
    if not args.name:
        raise Refused(f"`portico certs {args.what}` needs the NAME of a site; nothing was changed")
    return str(args.name)


_ACTIONS: Final[Mapping[str, Action]] = {
    "list": _list,
    "show": _show,
    "issue": issue,
    "renew": _renew,
    "revoke": _revoke,
    "forget": _forget,
    "account": show_account,
    "rollover": roll_over,
    "deactivate": deactivate,
    "import": _import,
    "export": _export,
    "schedule": schedule,
}
_FORMS: Final[Mapping[str, Form]] = {
    "list": Form("", "Show all certificates, the next action for each, and why.", ""),
    "show": Form("NAME", "Show one certificate, with its limits and its last error.", "name"),
    "issue": Form(
        "NAME | --standalone --domain NAME …",
        "Obtain the certificate of a site now, or one for other programs without nginx.",
        f"name force {' '.join(STANDALONE)}",
    ),
    "renew": Form(
        "[NAME]", "Renew a certificate, or every one that is due.", "name force dry_run quiet"
    ),
    "revoke": Form(
        "NAME",
        "Obtain and serve a new certificate, and revoke the previous one.",
        "name force reason",
    ),
    "forget": Form("NAME", "Delete a certificate that no site uses, with its keys.", "name"),
    "account": Form("", "Show the accounts at authorities, as stored here.", ""),
    "rollover": Form("", "Give the accounts at all authorities a new key.", ""),
    "deactivate": Form(
        "ISSUER",
        "Deactivate the account at an authority permanently.",
        "name",
        {"name": "ISSUER"},
    ),
    "import": Form(
        "[FOLDER]", "Import the certificates of a certbot folder.", "name", {"name": "FOLDER"}
    ),
    "export": Form(
        "FOLDER",
        "Export every certificate into a folder for certbot.",
        "name",
        {"name": "FOLDER"},
    ),
    "schedule": Form(
        "[--cron | --systemd | --none]",
        "Show or set what runs `portico certs renew` in addition to the daemon.",
        " ".join(KINDS),
    ),
}
