"""What a program that decides about requests (`auth`) says of the client, and who else may not.

Its headers are on requests to a site's app only as it set them: what a client sends in one of that
name is removed on the whole site, and on every site that passes requests to the same app.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from portico.core.model.auth import Auth
from portico.core.model.desired import Desired
from portico.core.model.site import RequestSettings, Site
from portico.core.render.client_certificates import certificate_headers
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.scope import INTERNAL_PREFIX, Scope, digest

STATUS, LOCATION = "portico_auth_status", "portico_auth_location"
COOKIES: Final = "portico_auth_set_cookie"
MAX_COOKIES: Final = 4
"""That one response of auth may set; nginx has them in one variable."""


def auth_of(scope: Scope) -> Auth | None:
    auth = scope.value(_auth)
    return auth if isinstance(auth, Auth) else None


def auth_origin(scope: Scope) -> Scope:
    """Where it was written."""
    return scope.origin(_auth)


def auth_path(scope: Scope) -> str:
    """The internal location that asks."""
    return f"{INTERNAL_PREFIX}/auth/{digest(auth_origin(scope).slug)}"


def sign_in_place(scope: Scope) -> str:
    """Where a 401 goes."""
    return f"@sign_in_{digest(auth_origin(scope).slug)}"


def decision(scope: Scope) -> tuple[Directive, ...]:
    """What makes nginx ask, and what it keeps of the response."""
    auth = auth_of(scope)
    if auth is None:
        return (directive("auth_request", "off"),) if scope.site.auth else ()
    kept = dict.fromkeys(map(str.lower, (*auth.app_headers.values(), *auth.headers)))
    return (
        directive("auth_request", auth_path(scope)),
        directive("auth_request_set", Raw(f"${STATUS}"), Raw("$upstream_status")),
        directive("auth_request_set", Raw(f"${LOCATION}"), Raw("$upstream_http_location")),
        *(
            directive(
                "auth_request_set",
                Raw(f"${answer_variable(n)}"),
                Raw(f"$upstream_http_{_snake_case(n)}"),
            )
            for n in kept
        ),
    )


def satisfy_lines(scope: Scope) -> tuple[Directive, ...]:
    value = scope.value(lambda handling: handling.satisfy)
    return (directive("satisfy", value),) if value else ()


def sign_in_page(scope: Scope) -> Iterator[Directive]:
    """Of a site, and where a location has an error_page of its own."""
    if auth_of(scope):
        yield directive("error_page", "401", "=", sign_in_place(scope))


def identity_headers(scope: Scope) -> dict[str, str]:
    """Names for the app, with the variable of each; empty where there is none to believe. Those of
    the client's certificate are among them.
    """
    auth = auth_of(scope)
    copied = auth.app_headers if auth else {}
    own = {name.lower(): f"${answer_variable(said)}" for name, said in copied.items()}
    names = {name.lower(): name for name in (*scope.identity, *copied)}
    return certificate_headers(scope) | {name: own.get(low, "") for low, name in names.items()}


def client_headers(scope: Scope) -> Iterator[Directive]:
    """What a response of auth adds to the client's."""
    auth = auth_of(scope)
    for name in auth.headers if auth else ():
        if name.lower() == "set-cookie":
            for number in range(1, MAX_COOKIES + 1):
                yield directive("add_header", name, Raw(f"${_cookie(number)}"), "always")
        else:
            yield directive("add_header", name, Raw(f"${answer_variable(name)}"), "always")


def cookie_maps(desired: Desired) -> Iterator[Directive]:
    """Cookies set together, one by one: nginx joins them with a comma, which dates have too (RFC
    6265 4.1.1), and a browser takes that for one cookie. A name begins the next one.
    """
    auths = [auth for site in desired.sites.values() for auth in auths_of(site)]
    if not any("set-cookie" in map(str.lower, auth.headers) for auth in auths):
        return
    name = r"[!#$%&\'*+.^_`|~0-9A-Za-z-]+="
    for number in range(1, MAX_COOKIES + 1):
        before = f"(?:.*?, (?={name})){{{number - 1}}}" if number > 1 else ""
        line = directive(f'"~^{before}(.*?)(?:, {name}.*)?$"', Raw("$1"))
        source, variable = Raw(f"${COOKIES}"), Raw(f"${_cookie(number)}")
        yield directive("map", source, variable, block=(directive("default", ""), line))


def identity_names(desired: Desired) -> Mapping[str, tuple[str, ...]]:
    """By site, the headers that no client may set there."""
    by_target: dict[str, set[str]] = defaultdict(set)
    own = {
        name: {n for auth in auths_of(site) for n in auth.app_headers}
        for name, site in _sites(desired)
    }
    for name, site in _sites(desired):
        for target in _targets(site, desired):
            by_target[target] |= own[name]
    return {
        name: tuple(sorted(own[name].union(*(by_target[t] for t in _targets(site, desired)))))
        for name, site in _sites(desired)
    }


def answer_variable(header: str) -> str:
    return COOKIES if header.lower() == "set-cookie" else f"portico_auth_{_snake_case(header)}"


def _sites(desired: Desired) -> list[tuple[str, Site]]:
    return list(desired.sites.items())


def auths_of(site: Site) -> Iterator[Auth]:
    """Those that its file has, of the site and of routes."""
    yield from (each.auth for each in site.handlings() if each.auth)


def _targets(site: Site, desired: Desired) -> set[str]:
    """The apps that get its requests, and the upstreams."""
    names = {site.app, site.upstream}
    for _, route in site.placed_routes():
        names |= {route} if isinstance(route, str) else {route.app, route.upstream}
    found = {name for name in names if name}
    return found.union(*(desired.upstreams[n].apps for n in found if n in desired.upstreams))


def _auth(handling: RequestSettings) -> Auth | bool | None:
    return handling.auth


def _cookie(number: int) -> str:
    return f"portico_auth_cookie_{number}"


def _snake_case(header: str) -> str:
    return header.lower().replace("-", "_")
