"""Headers on requests to an app, and on its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from portico.core.model.desired import Desired, Listeners
from portico.core.model.place import Build
from portico.core.model.site import Hsts, Site
from portico.core.render.claims import (
    CLAIMS,
    FORWARDED_HEADERS,
    HTTPS_VARIABLE,
    claim_variable,
    trusts,
)
from portico.core.render.client_certificates import certificate_headers
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    literal,
    variable_map,
    with_variables,
)
from portico.core.render.identity import identity_headers
from portico.core.render.scope import Scope

UPGRADE, CONNECTION, PORT = "portico_upgrade", "portico_connection", "portico_port"
IF_MATCH = "portico_if_match"
TRACE = "portico_trace"
FIRST_SPAN = "0000000000000001"
"""Of a trace that starts here; such an id is unique in its trace (W3C Trace Context 3.2.2.4)."""
SERVER_PORT = "portico_server_port"
"""Where the client came to, also if nginx has passed the connection on to itself."""
# The client's address is set, not added to what the client claims: programs believe it. Where a
# site trusts a proxy in front, realip has put the real client's into $remote_addr.
_FORWARDED_HEADERS = {
    "Host": f"$host${PORT}",
    "X-Real-IP": "$remote_addr",
    "X-Forwarded-For": "$remote_addr",
    "X-Forwarded-Host": f"$host${PORT}",
    "X-Forwarded-Port": f"${SERVER_PORT}",
    "X-Forwarded-Proto": "$scheme",
    "X-Request-ID": "$request_id",
    "Traceparent": f"${TRACE}",
    "If-Match": f"${IF_MATCH}",
}
_PREFIX = "X-Forwarded-Prefix"
_CONDITIONS = (
    *("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"),
    "Range",
)
HSTS_NAME = "Strict-Transport-Security"
ALT_SVC_NAME, ALT_SVC = "Alt-Svc", "portico_alt_svc"
ALT_SVC_MAX_AGE = 86400
"""Seconds; that of the example in nginx's documentation."""
_UPGRADE_HEADERS = {"Upgrade": f"${UPGRADE}", "Connection": f"${CONNECTION}"}
_NO_UPGRADE_HEADERS = {"Upgrade": "", "Connection": ""}


def header_maps(desired: Desired, build: Build) -> tuple[Directive, ...]:
    """`Connection` is empty unless there is an upgrade, so that connections to instances are
    kept. An upgrade to h2c is not passed on: it would take requests past every rule here.

    `$host` is the name that chose this site, and a client may have sent another one in its
    header (RFC 9112 3.2.2); only the port is taken from there.
    """
    return (
        directive(
            "map",
            Raw("$http_upgrade"),
            Raw(f"${UPGRADE}"),
            block=(directive("default", Raw("$http_upgrade")), directive('"~*h2c"', "")),
        ),
        directive(
            "map",
            Raw(f"${UPGRADE}"),
            Raw(f"${CONNECTION}"),
            block=(directive("default", "upgrade"), directive('""', "")),
        ),
        _port_map(build),
        # nginx makes the ETag of an answer that it compresses a weak one, which never matches in
        # If-Match (RFC 9110 13.1.1): an app gets back the one that it sent.
        directive(
            "map",
            Raw("$http_if_match"),
            Raw(f"${IF_MATCH}"),
            block=(
                directive("default", Raw("$http_if_match")),
                directive(r'"~^W/(\"[^\"]*\")$"', Raw("$1")),
            ),
        ),
        _server_port_map(desired),
    )


def _port_map(build: Build) -> Directive:
    """What follows the name in `Host`, `:8443`. nginx computes a map that looks at nothing once a
    request and in half of the instructions; a request of HTTP/3 has no `$http_host`.
    """
    if "request_port" in build.can:
        return variable_map('""', PORT, '"$is_request_port$request_port"')
    return variable_map("$http_host", PORT, '""', directive('"~(:[0-9]+)$"', Raw("$1")))


def _server_port_map(desired: Desired) -> Directive:
    """Where nginx passes connections on to itself, the port is the one before that."""
    cases = tuple(_public_ports(desired.listeners))
    if desired.uses_tls_alpn:
        cases = (directive('""', Raw("$proxy_protocol_server_port")), *cases)
    return variable_map("$server_port" if cases else '""', SERVER_PORT, "$server_port", *cases)


def alt_svc_map(listeners: Listeners) -> Directive:
    """RFC 7838: whoever reached us over TLS may come by HTTP/3 next time."""
    value = f'h3=":{listeners.client_https}"; ma={ALT_SVC_MAX_AGE}'
    return variable_map("$https", ALT_SVC, '""', directive("on", value))


def trace_map() -> Directive:
    """The trace that a request belongs to (W3C Trace Context 3.2): the client's, or a new one with
    the number of the request. It is marked as sampled: programs decide by that mark what they
    record, and without it would record nothing.
    """
    rest = "-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    valid = f'"~^(00{rest}|(?!00|ff)[0-9a-f]{{2}}{rest}(-.*)?)$"'
    new = f'"00-$request_id-{FIRST_SPAN}-01"'
    return variable_map(
        "$http_traceparent", TRACE, new, directive(valid, Raw("$http_traceparent"))
    )


def _public_ports(listeners: Listeners) -> Iterator[Directive]:
    """What clients came to, where another port is forwarded to the one of nginx."""
    for port, public in (
        (listeners.http, listeners.client_http),
        (listeners.https, listeners.client_https),
    ):
        if public != port:
            yield directive(str(port), str(public))


def request_headers(
    scope: Scope,
    directive_name: str = "proxy_set_header",
    prefix: str = "",
    extra: tuple[tuple[str, str], ...] = (),
) -> tuple[Directive, ...]:
    """All of them: nginx inherits headers from the level above only if a level has none. `extra`
    are more of ours, with their variables.
    """
    websocket = scope.value(lambda handling: handling.websocket) is not False
    defaults = _default_headers(
        directive_name, prefix, extra, websocket=websocket, trusting=trusts(scope.site)
    )
    custom = _merge(scope.site.request_headers, scope.request_settings.request_headers)
    identity = identity_headers(scope)
    known = {name.lower() for name in identity}
    if not custom and not known:  # as in nearly every place
        return tuple(defaults.values())
    return (
        *(line for name, line in defaults.items() if name not in custom and name not in known),
        *(
            directive(directive_name, WithDollar(n), with_variables(value))
            for low, (n, value) in custom.items()
            if low not in known
        ),
        *(directive(directive_name, name, Raw(value or '""')) for name, value in identity.items()),
    )


def question_headers(scope: Scope, host: str) -> Iterator[Directive]:
    """Those of a request that another program decides about, for that program: all that the client
    sent but its body and what makes an answer partial, and what was requested.
    """
    trusting = trusts(scope.site)
    proto, name = (
        (f"${claim_variable('X-Forwarded-Proto')}", f"${claim_variable('X-Forwarded-Host')}")
        if trusting
        else ("$scheme", f"$host${PORT}")
    )
    asked = {
        "X-Original-URL": f"{proto}://{name}$request_uri",
        "X-Original-URI": "$request_uri",
        "X-Original-Method": "$request_method",
        "X-Forwarded-Uri": "$request_uri",
        "X-Forwarded-Method": "$request_method",
        "Content-Length": "",
        **dict.fromkeys(_CONDITIONS, ""),
        **({"Host": host} if host else {}),
    }
    own = dict.fromkeys(identity_headers(scope), "") | certificate_headers(scope) | asked
    known = {name.lower() for name in own}
    defaults = _default_headers("proxy_set_header", "", (), websocket=False, trusting=trusting)
    yield from (line for name, line in defaults.items() if name not in known)
    for header, value in own.items():
        yield directive(
            "proxy_set_header", header, value if header == "Host" else Raw(value or '""')
        )


@lru_cache(maxsize=64)
def _default_headers(
    directive_name: str,
    prefix: str,
    extra: tuple[tuple[str, str], ...],
    *,
    websocket: bool,
    trusting: bool,
) -> Mapping[str, Directive]:
    """The same for nearly every place, by name in small letters."""
    headers = _FORWARDED_HEADERS | _claims(prefix, trusting=trusting) | dict(extra)
    if directive_name == "proxy_set_header":
        headers |= _UPGRADE_HEADERS if websocket else _NO_UPGRADE_HEADERS
    return {
        name.lower(): directive(
            directive_name, name, WithDollar(value) if name == _PREFIX else Raw(value or '""')
        )
        for name, value in headers.items()
    }


def _claims(prefix: str, *, trusting: bool) -> dict[str, str]:
    """What a client may not say, and the path that was taken off."""
    if not trusting:
        return dict.fromkeys(CLAIMS, "") | ({_PREFIX: literal(prefix)} if prefix else {})
    claims = {name: f"${claim_variable(name)}" for name in (*CLAIMS, *FORWARDED_HEADERS)}
    return claims | {_PREFIX: f"${{{claim_variable(_PREFIX)}}}{literal(prefix)}"}


def replaced_headers(
    scope: Scope, directive_name: str = "proxy_hide_header"
) -> tuple[Directive, ...]:
    """The headers of a program that do not pass: those that are set here, or removed by an empty
    value. An answer may have many cookies, so that those of a program stay.
    """
    names = [
        name for name, _ in _merge(scope.site.headers, scope.request_settings.headers).values()
    ]
    names += [HSTS_NAME] if scope.site.hsts and scope.site.https else []
    names += [ALT_SVC_NAME] if announces_http3(scope) else []
    known = {name.lower(): name for name in names}
    return tuple(
        directive(directive_name, WithDollar(n)) for low, n in known.items() if low != "set-cookie"
    )


def sets_header(scope: Scope, name: str) -> bool:
    """Whether the operator sets this header of answers, written in small letters."""
    return name in _merge(scope.site.headers, scope.request_settings.headers)


def response_headers(scope: Scope) -> tuple[Directive, ...]:
    """The site's and the route's together. Repeated instead of merged by nginx
    (`add_header_inherit`), so that a route's header replaces the site's of the same name.
    """
    headers = _merge(scope.site.headers, scope.request_settings.headers)
    return (
        *_hsts_header(scope.site),
        *_alt_svc_header(scope),
        *(
            directive("add_header", WithDollar(name), with_variables(value), "always")
            for name, value in headers.values()
            if value
        ),
    )


def hsts_maps(desired: Desired) -> Iterator[Directive]:
    """Over plain HTTP the header must not be sent (RFC 6797 7.2)."""
    sites = [site for site in desired.sites.values() if _is_on_both_ports(site)]
    for trusting, value in dict.fromkeys((trusts(site), _hsts(site)) for site in sites):
        yield directive(
            "map",
            Raw(f"${HTTPS_VARIABLE}" if trusting else "$https"),
            Raw(f"${_hsts_variable(value, trusting=trusting)}"),
            block=(directive("default", ""), directive("on", value)),
        )


def _merge(*tables: Mapping[str, str] | None) -> dict[str, tuple[str, str]]:
    """Later ones win, whatever the case of their letters."""
    return {name.lower(): (name, text) for t in tables if t for name, text in t.items()}


def _hsts_header(site: Site) -> Iterator[Directive]:
    if site.hsts and site.https:
        value = _hsts(site)
        variable = f"${_hsts_variable(value, trusting=trusts(site))}"
        text = Raw(variable) if _is_on_both_ports(site) else value
        yield directive("add_header", HSTS_NAME, text, "always")


def _alt_svc_header(scope: Scope) -> Iterator[Directive]:
    if announces_http3(scope):
        yield directive("add_header", ALT_SVC_NAME, Raw(f"${ALT_SVC}"), "always")


def announces_http3(scope: Scope) -> bool:
    """An operator's own header goes before ours."""
    return scope.http3 and scope.site.https and not sets_header(scope, ALT_SVC_NAME.lower())


def _is_on_both_ports(site: Site) -> bool:
    return bool(site.hsts) and site.https and (not site.redirect_http or trusts(site))


def _hsts(site: Site) -> str:
    table = site.hsts if isinstance(site.hsts, Hsts) else Hsts()
    return (
        f"max-age={int(table.max_age)}"
        + ("; includeSubDomains" if table.include_subdomains else "")
        + ("; preload" if table.preload else "")
    )


def _hsts_variable(value: str, *, trusting: bool) -> str:
    letters = "".join(c for c in value.lower() if c.isalnum())
    return f"portico_hsts_{letters}" + ("_said" if trusting else "")
