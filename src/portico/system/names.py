"""Whom this machine asks about names, where it answers, and whom it trusts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

STORES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Arch, Alpine
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/ssl/cert.pem"),  # macOS, BSD
)


def nameservers(resolv_conf: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The system's name servers as nginx's `resolver` takes them: `192.0.2.1`, `[2001:db8::1]`."""
    return tuple(_servers(resolv_conf))


def _servers(resolv_conf: Path) -> Iterator[str]:
    for words in _lines(resolv_conf):
        if words[0] == "nameserver" and len(words) > 1:
            if "%" in words[1]:
                continue  # an address with a scope, which nginx does not take
            with suppress(ValueError):
                address = ip_address(words[1])
                yield f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def speaks_ipv6() -> bool:
    """Whether a program can listen on an IPv6 address of this machine."""
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def own_loopback(home: Path) -> str:
    """An address of the loopback network that is this home's alone, where the system has more
    than one (Linux has all of 127/8).

    On a shared one another installation can take the port of a daemon that is away for a moment,
    and tell this one's nginx where its own apps of the same name are.
    """
    own = "127." + ".".join(str(1 + octet % 254) for octet in sha256(bytes(home)).digest()[:3])
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((own, 0))
        return own
    return "127.0.0.1"


def hosts(hosts_file: Path = Path("/etc/hosts")) -> frozenset[str]:
    """Every name that the system knows without asking a name server."""
    return frozenset(name.lower() for words in _lines(hosts_file) for name in words[1:])


def authorities() -> str:
    """PEM file of the certificate authorities that the system trusts."""
    return str(next((store for store in STORES if store.exists()), STORES[0]))


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return
    for line in text.splitlines():
        if words := line.split("#")[0].split():
            yield words
