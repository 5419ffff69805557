"""`portico certs issue`: for a site of the file, or with --standalone for other programs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.cli.arguments import Parser, whole_number
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import certificate_verbs
from portico.errors import Refused

STANDALONE: Final = (
    *("standalone", "domain", "email", "issuer", "ca_bundle", "key_type", "http_port"),
    *("deploy_hook", "no_preflight"),
)
_KEYS: Final = ("email", "issuer", "key_type", "http_port")


def standalone_options(parser: Parser) -> None:
    parser.add_argument(
        "--standalone",
        action="store_true",
        help="issue: without nginx; Portico answers the challenge itself",
    )
    parser.add_argument(
        "--domain",
        metavar="NAME",
        action="append",
        help="standalone: domain name; repeat for more names",
    )
    parser.add_argument(
        "--email", metavar="ADDRESS", help="standalone: contact address of the account"
    )
    parser.add_argument(
        "--issuer",
        metavar="ISSUER",
        help="standalone: known name or directory URL of the authority; default: letsencrypt",
    )
    parser.add_argument(
        "--ca-bundle",
        metavar="FILE",
        help="standalone: PEM file of certificates to trust for a private authority",
    )
    parser.add_argument(
        "--key-type", metavar="TYPE", help="standalone: as in the file; default: ecdsa-p256"
    )
    parser.add_argument(
        "--http-port",
        metavar="PORT",
        type=whole_number,
        help="standalone: port to answer on if port 80 is forwarded; default: 80",
    )
    parser.add_argument(
        "--deploy-hook",
        metavar="COMMAND",
        help="standalone: program to run for each new certificate, with certbot's variables",
    )
    parser.add_argument(
        "--no-preflight",
        action="store_true",
        help="standalone: skip the checks before an order",
    )


def issue(session: Session, args: Namespace) -> None:
    if args.standalone:
        names = [*([args.name] if args.name else []), *(args.domain or [])]
        if not names:
            raise Refused("`portico certs issue --standalone` needs a --domain NAME")
        client = session.client(start=True)
        change = client.ask(certificate_verbs.ISSUE_STANDALONE, **_request(args, names))
    else:
        if not args.name or _set_options(args) or args.force:
            raise Refused(
                "`portico certs issue` takes only the NAME of a site, or --standalone with names "
                "and settings; `portico certs renew NAME --force` renews a valid certificate"
            )
        client = session.client()
        change = client.ask(certificate_verbs.ISSUE, name=args.name)
    watch_and_report(session, client, change)


def _set_options(args: Namespace) -> bool:
    return any(getattr(args, key) for key in STANDALONE)


def _request(args: Namespace, names: list[str]) -> Mapping[str, object]:
    """A StandaloneRequest, with what was given."""
    request: dict[str, object] = {"names": names, "force": args.force}
    request |= {key: getattr(args, key) for key in _KEYS if getattr(args, key) is not None}
    if args.ca_bundle:
        request["ca_bundle"] = str(Path(args.ca_bundle).absolute())
    if args.deploy_hook:
        request["deploy_hook"] = ["/bin/sh", "-c", args.deploy_hook]
    if args.no_preflight:
        request["preflight"] = False
    return request
