"""Certificates that clients show: who needs one, and what an app hears of it.

nginx chooses the authority in the handshake, by the name in it (SNI), and the site by the Host of
each request. It answers 421 where these differ, but not for a connection without a name, nor one
with a name that no site has: a certificate for the default site would do for any other one
(https://github.com/nginx/nginx.org/pull/302). So a site compares them itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.scope import Scope, digest

_OTHER_HANDSHAKE = "portico_other_handshake"
CLIENT_HEADERS = {
    "X-Client-Verify": "$ssl_client_verify",
    "X-Client-Subject": "$ssl_client_s_dn",
    "X-Client-Fingerprint": "$ssl_client_fingerprint",
    "X-Client-Cert": "$ssl_client_escaped_cert",
}


def handshake_map(desired: Desired) -> Iterator[Directive]:
    """Whether TLS ended in another server than the one that a request is for."""
    if any(site.client_certificates for site in desired.sites.values()):
        same = (directive(r'"~*^on\|([^|]*)\|\1$"', ""), directive(r'"~^\|"', ""))
        yield directive(
            "map",
            Raw('"$https|$ssl_server_name|$host"'),
            Raw(f"${_OTHER_HANDSHAKE}"),
            block=(directive("default", "1"), *same),
        )


def authority_files(scope: Scope, context: RenderContext) -> Iterator[tuple[str, str]]:
    """Name and text; they lie beside the main file, where nginx looks for relative names."""
    asked = scope.site.client_certificates
    for file in (asked.authority, asked.crl) if asked else ():
        path = scope.path(file) if file else ""
        if path in context.client_authorities:
            yield _copy(path), context.client_authorities[path]


def verification(scope: Scope, context: RenderContext, *, is_default: bool) -> Iterator[Directive]:
    """In the server block. `is_default`: handshakes without a name, or one that no site has, end
    here.
    """
    asked = scope.site.client_certificates
    if asked is None:
        return
    yield directive("ssl_client_certificate", _file(scope.path(asked.authority), context))
    yield directive("ssl_verify_client", asked.verify)
    yield directive("ssl_verify_depth", str(asked.depth))
    if asked.crl:
        yield directive("ssl_crl", _file(scope.path(asked.crl), context))
    if not is_default:
        yield directive("if", Raw(f"(${_OTHER_HANDSHAKE})"), block=(directive("return", "421"),))


def certificate_gate(scope: Scope) -> Iterator[Directive]:
    """First in a location that needs one; also for plain HTTP, which has none."""
    asked, route = scope.site.client_certificates, scope.route
    if asked and (asked.verify == "on" or (route and route.require_client_certificate)):
        yield directive(
            "if", Raw("($ssl_client_verify != SUCCESS)"), block=(directive("return", "403"),)
        )


def certificate_headers(scope: Scope) -> dict[str, str]:
    return dict(CLIENT_HEADERS) if scope.site.client_certificates else {}


def _file(path: str, context: RenderContext) -> str:
    """What cannot be read is for nginx to complain of."""
    return _copy(path) if path in context.client_authorities else path


def _copy(path: str) -> str:
    return f"clients-{digest(path)}.pem"
