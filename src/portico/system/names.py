"""Whom this machine asks about names, where it answers, and whom it trusts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

LOOPBACKS: Final = 4
UNPRIVILEGED_PORT_FILE: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
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


def own_loopbacks(home: Path) -> tuple[str, ...]:
    """Addresses of the loopback network that are this home's alone, where the system has more
    than one (Linux has all of 127/8); some, for the case that one's ports are all taken.

    On a shared one the nginx of another installation could be told where this one's apps are.
    """
    seeds = (bytes(home), *(bytes(home) + bytes([0, number]) for number in range(1, LOOPBACKS)))
    digests = [sha256(seed).digest()[:3] for seed in seeds]
    own = ["127." + ".".join(str(1 + octet % 254) for octet in digest) for digest in digests]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((own[0], 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:  # and not where all its ports are taken
                return ("127.0.0.1",)
    return tuple(own)


def unprivileged_from(setting: Path = UNPRIVILEGED_PORT_FILE) -> int:
    """The first port that every user may bind: ip_unprivileged_port_start of ip(7)."""
    with suppress(OSError, ValueError):
        return int(setting.read_text())
    return 1024


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
