"""Headers by which proxies tell a program about its client, and which a client can write as well.

A program believes them, because it knows that a proxy stands before it. So they are taken off,
but for what a proxy says that the site trusts (`real_ip.trust`), as the peer of the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.site import Site
from portico.core.render.directive import Directive, Raw, directive, variable_map
from portico.core.render.scope import digest
from portico.core.render.site_urls import HTTPS_PORT, port_suffix

_ADDRESSES: Final = (
    # of the client
    *("CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "Client-IP", "DO-Connecting-IP"),
    *("Fastly-Client-IP", "Fly-Client-IP", "Forwarded", "Incap-Client-IP", "Proxy-Client-IP"),
    *("True-Client-IP", "WL-Proxy-Client-IP", "X-Appengine-User-IP", "X-Azure-ClientIP"),
    *("X-Azure-SocketIP", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address"),
    *("X-Forwarded", "X-Forwarded-By", "X-Forwarded-Client-IP", "X-Nf-Client-Connection-IP"),
    *("X-Original-For", "X-Original-Forwarded-For", "X-Originating-IP", "X-ProxyUser-IP"),
    *("X-Real-Port", "X-Remote-Addr", "X-Remote-IP", "X-True-Client-IP"),
)
REQUEST_CLAIMS: Final = (
    # what it asked for, and how
    *("CF-Visitor", "Front-End-Https", "X-Envoy-Original-Path", "X-Forwarded-Method"),
    *("X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Protocol", "X-Forwarded-Scheme"),
    *("X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Uri", "X-Forwarded-Url", "X-Host"),
    *("X-HTTP-Host-Override", "X-Original-Host", "X-Original-Method", "X-Original-Prefix"),
    *("X-Original-Proto", "X-Original-Scheme", "X-Original-URI", "X-Original-URL"),
    *("X-Rewrite-URL", "X-Scheme", "X-Script-Name", "X-Url-Scheme"),
)
IDENTITIES: Final = (
    # who it is
    *("Client-Cert", "Client-Cert-Chain", "Remote-Email", "Remote-Groups", "Remote-Name"),
    *("Remote-User", "X-ARR-ClientCert", "X-ARR-SSL", "X-Client-Cert", "X-Forwarded-Access-Token"),
    *("X-Forwarded-Client-Cert", "X-Forwarded-Email", "X-Forwarded-Groups"),
    *("X-Forwarded-Preferred-Username", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-User"),
    *("X-Remote-User", "X-SSL-Client-Cert", "X-SSL-Client-DN", "X-SSL-Client-S-DN"),
    *("X-SSL-Client-Verify", "X-Client-Fingerprint", "X-Client-Subject", "X-Client-Verify"),
)
# The last is the variable HTTP_PROXY of a CGI program (CVE-2016-5385). Those before it tell a
# program to have the proxy send a file, and under which path (CVE-2025-61780).
CLAIMS: Final = (
    *_ADDRESSES,
    *REQUEST_CLAIMS,
    *IDENTITIES,
    *("X-Accel-Mapping", "X-Sendfile-Type", "Proxy"),
)
_TRUSTED_VARIABLE: Final = "portico_trusted"
FORWARDED_HEADERS: Final = ("X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto")
"""What a trusted proxy in front knows better, where it says so: in these, or in the Forwarded of
RFC 7239.
"""
HTTPS_VARIABLE, ORIGIN_VARIABLE, PLAIN_VARIABLE = (
    "portico_https",
    "portico_origin",
    "portico_plain",
)
"""Whether the client uses HTTPS; where it is redirected to if not; whether it is to be redirected.
For sites that trust a proxy.
"""
_CLAIMED_PORT: Final = "portico_claimed_port"


def trusts(site: Site) -> bool:
    """Whether headers of a proxy in front are believed. One that speaks the PROXY protocol passes
    bytes on: the headers are the client's.
    """
    return site.real_ip is not None and not site.real_ip.proxy_protocol


def claim_variable(header: str) -> str:
    """The variable with what a trusted proxy said; empty, or our own value, where none did."""
    return f"portico_said_{_snake_case(header)}"


def trusted_peers(name: str, site: Site) -> Iterator[Directive]:
    """In the server block: whether the peer of this connection is a proxy to believe."""
    if trusts(site):
        yield directive("set", Raw(f"${_TRUSTED_VARIABLE}"), Raw(f"${_peers(name)}"))


def claim_maps(desired: Desired, origin: str) -> Iterator[Directive]:
    """`origin` is where plain requests are redirected to where no trusted proxy says more."""
    trusting = {name: site.real_ip for name, site in desired.sites.items() if trusts(site)}
    for name, real_ip in trusting.items():
        if real_ip is not None:
            every = "1" if "all" in real_ip.trust else '""'
            networks = (net for net in real_ip.trust if net not in {"all", "unix:"})
            yield directive(
                "geo",
                Raw("$realip_remote_addr"),
                Raw(f"${_peers(name)}"),
                block=(
                    directive("default", Raw(every)),
                    *(directive(net, "1") for net in networks),
                ),
            )
    if not trusting:
        return
    for header in CLAIMS:
        trusted = directive("1", Raw(_header_variable(header)))
        yield variable_map(f"${_TRUSTED_VARIABLE}", claim_variable(header), '""', trusted)
    yield from _forwarded_maps(desired, origin)


def _forwarded_maps(desired: Desired, origin: str) -> Iterator[Directive]:
    host, port, proto = (claim_variable(header) for header in FORWARDED_HEADERS)
    yield _claim_map("X-Forwarded-Proto", "$scheme", r"proto=\W?(https?)\b")
    yield _claim_map(
        "X-Forwarded-Host", "$host$portico_port", r"host=[^a-z0-9[]?([a-z0-9_.:[\]-]+)"
    )
    yield variable_map(
        f'"${proto}|${host}"',
        _CLAIMED_PORT,
        "80",
        directive(r'"~:([0-9]+)$"', Raw("$1")),
        directive('"~*^https"', "443"),
    )
    yield variable_map(
        f'"${_TRUSTED_VARIABLE}|$http_x_forwarded_port|$http_x_forwarded_proto$http_forwarded"',
        port,
        "$portico_server_port",
        directive(r'"~^1\|[^|]+\|"', Raw("$http_x_forwarded_port")),
        directive(r'"~^1\|\|."', Raw(f"${_CLAIMED_PORT}")),
    )
    yield variable_map(
        f"${proto}",
        HTTPS_VARIABLE,
        "$https",
        directive('"~*^https"', "on"),
        directive('"~*^http"', ""),
    )
    suffix = port_suffix(desired.listeners.public_https or HTTPS_PORT, HTTPS_PORT)
    claimed = directive(r'"~^1\|(\[[^]]+\]|[^:|,]+)"', Raw(f'"https://$1{suffix}"'))
    yield variable_map(f'"${_TRUSTED_VARIABLE}|${host}"', ORIGIN_VARIABLE, f'"{origin}"', claimed)
    open_paths = [r'"~^\|/\.well-known/acme-challenge/"']
    open_paths += [f'"|{desired.health_path}"'] if desired.health_path else []
    exempt = (directive(path, "") for path in (r'"~^on\|"', *open_paths))
    yield variable_map(f'"${HTTPS_VARIABLE}|$uri"', PLAIN_VARIABLE, "1", *exempt)


def _claim_map(header: str, fallback: str, parameter: str) -> Directive:
    """What a trusted proxy says in a header, or in that parameter of Forwarded (RFC 7239 4)."""
    said = _header_variable(header)
    return variable_map(
        f'"${_TRUSTED_VARIABLE}|{said}|$http_forwarded"',
        claim_variable(header),
        fallback,
        directive(r'"~^1\|[^|]+\|"', Raw(said)),
        directive(rf'"~*^1\|\|(.*[;,\s])?{parameter}"', Raw("$2")),
    )


def _header_variable(header: str) -> str:
    return f"$http_{_snake_case(header)}"


def _peers(name: str) -> str:
    return f"{_TRUSTED_VARIABLE}_{digest(name)}"


def _snake_case(header: str) -> str:
    return header.lower().replace("-", "_")
