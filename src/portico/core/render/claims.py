"""Headers by which proxies tell a program about its client, and which a client can write as well.

A program believes them, because it knows that a proxy stands before it. So they are taken off,
but for what a proxy says that the site trusts (`real_ip.trust`), as the peer of the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.site import Site
from portico.core.render.directive import Directive, Raw, d
from portico.core.render.scope import digest

CLAIMS: Final = (
    # the address of the client
    *("CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "Client-IP", "DO-Connecting-IP"),
    *("Fastly-Client-IP", "Fly-Client-IP", "Forwarded", "Incap-Client-IP", "Proxy-Client-IP"),
    *("True-Client-IP", "WL-Proxy-Client-IP", "X-Appengine-User-IP", "X-Azure-ClientIP"),
    *("X-Azure-SocketIP", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address"),
    *("X-Forwarded", "X-Forwarded-By", "X-Forwarded-Client-IP", "X-Nf-Client-Connection-IP"),
    *("X-Original-For", "X-Original-Forwarded-For", "X-Originating-IP", "X-ProxyUser-IP"),
    *("X-Real-Port", "X-Remote-Addr", "X-Remote-IP", "X-True-Client-IP"),
    # what it asked for, and how
    *("CF-Visitor", "Front-End-Https", "X-Envoy-Original-Path", "X-Forwarded-Method"),
    *("X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Protocol", "X-Forwarded-Scheme"),
    *("X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Uri", "X-Forwarded-Url", "X-Host"),
    *("X-HTTP-Host-Override", "X-Original-Host", "X-Original-Method", "X-Original-Prefix"),
    *("X-Original-Proto", "X-Original-Scheme", "X-Original-URI", "X-Original-URL"),
    *("X-Rewrite-URL", "X-Scheme", "X-Script-Name", "X-Url-Scheme"),
    # who it is
    *("Client-Cert", "Client-Cert-Chain", "Remote-Email", "Remote-Groups", "Remote-Name"),
    *("Remote-User", "X-ARR-ClientCert", "X-ARR-SSL", "X-Client-Cert", "X-Forwarded-Access-Token"),
    *("X-Forwarded-Client-Cert", "X-Forwarded-Email", "X-Forwarded-Groups"),
    *("X-Forwarded-Preferred-Username", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-User"),
    *("X-Remote-User", "X-SSL-Client-Cert", "X-SSL-Client-DN", "X-SSL-Client-S-DN"),
    "X-SSL-Client-Verify",
    # the variable HTTP_PROXY of a CGI program (CVE-2016-5385)
    "Proxy",
)
_TRUSTED: Final = "portico_trusted"


def trusts(site: Site) -> bool:
    """Whether headers of a proxy in front are believed. One that speaks the PROXY protocol passes
    bytes on: the headers are the client's.
    """
    return site.real_ip is not None and not site.real_ip.proxy_protocol


def claim_variable(header: str) -> str:
    """The variable with what a trusted proxy said; empty, or our own value, where none did."""
    return f"portico_said_{_snake(header)}"


def trusted_peers(name: str, site: Site) -> Iterator[Directive]:
    """In the server block: whether the peer of this connection is a proxy to believe."""
    if trusts(site):
        yield d("set", Raw(f"${_TRUSTED}"), Raw(f"${_peers(name)}"))


def claim_maps(desired: Desired, ours: dict[str, str]) -> Iterator[Directive]:
    """`ours` is what some headers have where a trusted proxy said nothing."""
    trusting = {name: site.real_ip for name, site in desired.sites.items() if trusts(site)}
    for name, real_ip in trusting.items():
        if real_ip is not None:
            every = "1" if "all" in real_ip.trust else '""'
            networks = (net for net in real_ip.trust if net not in {"all", "unix:"})
            yield d(
                "geo",
                Raw("$realip_remote_addr"),
                Raw(f"${_peers(name)}"),
                block=(d("default", Raw(every)), *(d(net, "1") for net in networks)),
            )
    for header in CLAIMS if trusting else ():
        yield _map(header, f"${_TRUSTED}", '""', "1")
    for header, fallback in ours.items() if trusting else ():
        yield _map(header, f'"${_TRUSTED}:{_header_variable(header)}"', fallback, '"~^1:."')


def _map(header: str, source: str, fallback: str, trusted: str) -> Directive:
    lines = (d("default", Raw(fallback)), d(trusted, Raw(_header_variable(header))))
    return d("map", Raw(source), Raw(f"${claim_variable(header)}"), block=lines)


def _header_variable(header: str) -> str:
    return f"$http_{_snake(header)}"


def _peers(name: str) -> str:
    return f"{_TRUSTED}_{digest(name)}"


def _snake(header: str) -> str:
    return header.lower().replace("-", "_")
