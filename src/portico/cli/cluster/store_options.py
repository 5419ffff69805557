"""How `portico cluster init` is told where etcd is."""

from __future__ import annotations

import getpass
import ssl
import sys
from argparse import Namespace
from pathlib import Path
from typing import Final

from portico.core.model.snapshot import endpoint
from portico.errors import Refused
from portico.system.cluster_store import StoreFile

MAX_AUTHORITY_SIZE: Final = 8 << 10
"""Bytes: a machine that joins is sent it in one answer."""


def store_of(args: Namespace) -> StoreFile:
    """Raises Refused."""
    try:
        urls = [endpoint(each, plain=args.plain) for each in args.etcd.split(",")]
    except Refused as error:
        raise Refused(f"{error}; nothing was changed") from None
    user, authority = args.user or "", _authority(args.etcd_ca)
    return StoreFile(urls, user, _password(args), args.plain, authority)


def _authority(name: str | None) -> str:
    """PEM; empty where etcd has a certificate of the authority of the machines."""
    if not name:
        return ""
    text = _text_of(name)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:
        raise Refused(
            f"cannot use {name} as the certificate of etcd's authority: {error}; nothing was "
            "changed"
        ) from None
    if len(text) > MAX_AUTHORITY_SIZE:
        raise Refused(
            f"{name} has more than {MAX_AUTHORITY_SIZE >> 10} KiB; nothing was changed. Use a "
            "file with the certificate of etcd's authority alone"
        )
    return text


def _password(args: Namespace) -> str:
    if args.password_file and not args.user:
        raise Refused("--password-file needs --user; nothing was changed")
    if args.password_file:
        return _text_of(args.password_file).removesuffix("\n")
    if not args.user:
        return ""
    if not sys.stdin.isatty():
        raise Refused(
            f"the password of {args.user} in etcd is needed: use --password-file FILE, or a "
            "terminal; nothing was changed"
        )
    return getpass.getpass(f"password of {args.user} in etcd: ")


def _text_of(name: str) -> str:
    try:
        return Path(name).read_text()
    except (OSError, ValueError) as error:
        raise Refused(f"cannot read {name}: {error}; nothing was changed") from None
