"""How `portico cluster init` is told where etcd is."""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace
from pathlib import Path

from portico.core.model.stored import endpoint
from portico.errors import Refused
from portico.system.cluster_store import StoreFile


def store_of(args: Namespace) -> StoreFile:
    """Raises Refused."""
    try:
        urls = [endpoint(each, plain=args.plain) for each in args.etcd.split(",")]
    except Refused as error:
        raise Refused(f"{error}; nothing was changed") from None
    return StoreFile(urls, args.user or "", _password(args), args.plain)


def _password(args: Namespace) -> str:
    if args.password_file:
        try:
            return Path(args.password_file).read_text().removesuffix("\n")
        except (OSError, ValueError) as error:
            raise Refused(
                f"cannot read {args.password_file}: {error}; nothing was changed"
            ) from None
    if not args.user:
        return ""
    if not sys.stdin.isatty():
        raise Refused(
            f"the password of {args.user} in etcd is needed: use --password-file FILE, or a "
            "terminal; nothing was changed"
        )
    return getpass.getpass(f"password of {args.user} in etcd: ")
