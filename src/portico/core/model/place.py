"""Where a generation will live: the nginx that reads it and the files it may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # it would bring pydantic along, and children start often
    from portico.core.model.cluster import OwnMachine

MIN_NGINX: Final = (1, 27, 4)
"""The first version that finds servers by DNS (`resolve`) and keeps idle connections while it
reloads (`keepalive_min_timeout`)."""
BUNDLED_NGINX: Final = "wheel"
"""Names the nginx that came with Portico, where a path could stand."""
AUTO: Final = "auto"
"""Stands for that of the system if it can do all that the files need, else for the bundled one."""


@dataclass(frozen=True, slots=True)
class Build:
    """What one nginx binary can do, read from the binary itself."""

    program: str
    version: tuple[int, int, int]
    openssl: str = ""
    """`OpenSSL 3.3.7`."""
    can: frozenset[str] = frozenset()
    """Directives, parameters and modules that it was seen to take: `resolve`, `least_time`,
    `sticky`, `http2`, `http3`, `grpc`, `realip`, `stream`, `keepalive_min_timeout`, ...
    Tuning that a generation has only where its word is here: `http2`, `keepalive_min_timeout`,
    `gzip_static`, `pcre_jit`, and the curve `X25519MLKEM768`."""

    bundled: bool = False
    """Whether it came with Portico, and its OpenSSL is a part of it: no system mends that."""

    arguments: str = ""
    """What it was configured with, as `nginx -V` prints it."""
    is_pie: bool = True
    """Whether it is loaded at another address each time (a position-independent program)."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Files that it has to load for words of `can` which are not built in, by word."""

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A concrete pair on disk; the files under these paths never change their content."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class ExtraCertificate:
    """Names of a site that are served with other certificates than its first one."""

    names: tuple[str, ...]
    certificates: tuple[CertificateFiles, ...]


@dataclass(frozen=True, slots=True)
class RenderContext:
    """Everything a rendered generation depends on beside the operator's file."""

    build: Build
    home: str
    """Absolute PORTICO_HOME."""
    resolver: str
    """`127.0.0.1:41053`, where discovery answers."""
    certificates: Mapping[str, tuple[CertificateFiles, ...]] = field(default_factory=dict)
    """By the site's name; every site with https has one, or one for each kind of key."""
    apart: Mapping[str, tuple[ExtraCertificate, ...]] = field(default_factory=dict)
    """By the site's name; few sites have any."""
    thumbprint: str = ""
    """Of the key of our account at certificate authorities (RFC 7638): what answers HTTP-01."""
    any_token: bool = False
    """Whether every token of HTTP-01 is answered, because another machine may have ordered."""
    asked_by_alpn: bool = False
    """Whether an authority is about to ask by TLS-ALPN-01, which another process answers."""
    client_authorities: Mapping[str, str] = field(default_factory=dict)
    """Contents of the files that `client_certificates` names, by absolute path, as far as they can
    be read: a generation has them, so that one with other contents is another generation."""
    cores: int = 1
    root: bool = False
    workers: str = ""
    """User, and group if it is called otherwise, of nginx's workers where Portico is root and the
    file names none; the build's own if empty."""
    secret: str = ""
    """The same for all generations of an installation, and known to nobody else on the machine."""
    open_files: int = 65536
    """The limit of open files that nginx's workers may ask for."""
    nameservers: tuple[str, ...] = ()
    """The system's name servers as nginx's `resolver` takes them: `192.0.2.1`, `[2001:db8::1]`.
    nginx asks them again and again for host names of outside servers. Without any it asks the
    system once, when it starts, and a name that does not resolve keeps it from starting."""
    hosts: frozenset[str] = frozenset({"localhost"})
    """Host names that the system knows without asking a name server (/etc/hosts)."""
    authorities: str = "/etc/ssl/certs/ca-certificates.crt"
    """PEM file of the certificate authorities that this system trusts."""

    machine: OwnMachine | None = None
    """None where this machine is in no cluster."""

    def user(self, named: str | None) -> str:
        """User, and group if it is called otherwise, of nginx's workers, where the file names that
        one; empty where Portico is not root.
        """
        return (named or self.workers) if self.root else ""
