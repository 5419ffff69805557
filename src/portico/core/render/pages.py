"""Pages that nginx itself answers with: the operator's for errors, and for maintenance."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.site import Maintenance, RequestSettings, Site
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.headers import response_headers, sets_header
from portico.core.render.identity import sign_in_page
from portico.core.render.limits import retry_header
from portico.core.render.scope import INTERNAL_PREFIX, Scope, digest

MAINTENANCE = f"{INTERNAL_PREFIX}/maintenance"
_NO_RANGE: Final = "@no_range"
_RANGE_CODE: Final = "416"
"""Here nginx has added the headers of the file to the answer before it sees that it is another."""
_NO_HEADERS: Final = directive("add_header", "X-Portico", "")
"""Keeps those of the level above away, and adds none: its value is empty."""
_NO_STORE: Final = directive("add_header", "Cache-Control", "no-store", "always")
"""A 404 may be kept by browsers and caches if nothing says otherwise (RFC 9110 15.1)."""
_MAINTENANCE_TEXT = (
    "<!doctype html><html><head><title>Back soon</title></head>"
    "<body><h1>Back soon</h1><p>This site is being worked on.</p></body></html>\n"
)


def error_pages(site: Site, *, without: Collection[str] = ()) -> Iterator[Directive]:
    """For errors of nginx's own."""
    for code in site.error_pages:
        if code not in without and not (code == "503" and site.maintenance):
            yield directive("error_page", code, f"{INTERNAL_PREFIX}/{code}")
    if _needs_range_page(site):
        yield directive("error_page", _RANGE_CODE, _NO_RANGE)
    if site.maintenance:
        yield directive("error_page", "503", MAINTENANCE)


def own_pages(scope: Scope) -> Iterator[Directive]:
    """In a location that has no other: a route whose requests another program decides about."""
    if scope.request_settings.auth and scope.route:
        yield from sign_in_page(scope)
        yield from error_pages(scope.site)


def app_errors(scope: Scope) -> tuple[str, ...]:
    """The statuses of an app that get a page of the site."""
    statuses = scope.value(_intercepted_statuses)
    if not statuses or scope.value(lambda handling: handling.grpc):
        return ()
    return tuple(code for code in scope.site.error_pages if int(code) in statuses)


def app_error_pages(
    scope: Scope, *, without: Collection[str] = (), also: Collection[str] = ()
) -> Iterator[Directive]:
    """For a location that has no other error_page but of `without`: nginx intercepts each status
    that has one. If 418, which enters a named location, were among them, a program that answers
    so would get the request again. `also` are statuses of nginx's own, if they have a page.
    """
    codes = app_errors(scope)
    if codes:
        yield directive("proxy_intercept_errors", "on")
    for code in scope.site.error_pages:
        if code in {*codes, *also} and code not in without:
            yield directive("error_page", code, f"{INTERNAL_PREFIX}/{code}")


def page_locations(scope: Scope) -> Iterator[Directive]:
    is_asked = bool(scope.site.auth)
    for code, file in scope.site.error_pages.items():
        held = tuple(_held_headers(scope)) if code == "503" else ()
        headers = held or (*response_headers(scope), *retry_header(scope))
        kept = () if sets_header(scope, "cache-control") else (_NO_STORE,)
        lines = (_NO_HEADERS,) if code == _RANGE_CODE else (*headers, *kept)
        page = (*lines, *_file(scope.path(file), code))
        yield _page(f"{INTERNAL_PREFIX}/{code}", page, is_asked=is_asked)
    if _needs_range_page(scope.site):
        yield directive(
            "location", _NO_RANGE, block=(_NO_HEADERS, directive("return", _RANGE_CODE))
        )
    if maintenance := _maintenance(scope.site):
        retry = str(int(maintenance.retry_after))
        yield _page(
            MAINTENANCE,
            (
                *response_headers(scope),
                directive("add_header", "Retry-After", retry, "always"),
                *_maintenance_page(scope, maintenance),
            ),
            is_asked=is_asked,
        )


def _needs_range_page(site: Site) -> bool:
    if not site.folder and not site.routes:  # as with most sites, and asked several times for each
        return False
    has_files = any(each.folder for each in site.handlings())
    return has_files and _RANGE_CODE not in site.error_pages


def retry_after(seconds: float) -> Directive:
    return directive("add_header", "Retry-After", str(math.ceil(seconds)), "always")


def _held_headers(scope: Scope) -> Iterator[Directive]:
    """Of a page for requests that were held in vain."""
    wait = next((each.held for each in scope.site.handlings() if each.held), None)
    if wait:
        yield from response_headers(scope)
        yield retry_after(wait.timeout)


def maintenance_gate(scope: Scope) -> Iterator[Directive]:
    """First in every location: closed during maintenance, except to networks allowed in."""
    if scope.site.maintenance:
        yield directive(
            "if", Raw(f"(${_closed_variable(scope.name)})"), block=(directive("return", "503"),)
        )


def maintenance_maps(desired: Desired) -> Iterator[Directive]:
    """`geo` has no word for all, and no unix sockets."""
    for name, site in desired.sites.items():
        if maintenance := _maintenance(site):
            closed = directive("default", "0" if "all" in maintenance.allow else "1")
            inside = (
                directive(net, "0") for net in maintenance.allow if net not in {"all", "unix:"}
            )
            yield directive("geo", Raw(f"${_closed_variable(name)}"), block=(closed, *inside))


def _maintenance(site: Site) -> Maintenance | None:
    if isinstance(site.maintenance, Maintenance):
        return site.maintenance
    return Maintenance() if site.maintenance else None


def _closed_variable(name: str) -> str:
    return f"portico_closed_{digest(name)}"


def _page(path: str, lines: tuple[Directive, ...], *, is_asked: bool) -> Directive:
    """What keeps a client from the site must not keep it from the page that says so."""
    return directive(
        "location",
        "=",
        path,
        block=(
            directive("internal"),
            directive("allow", "all"),
            directive("auth_basic", "off"),
            *((directive("auth_request", "off"),) if is_asked else ()),
            directive("types", block=()),
            directive("default_type", "text/html"),
            *lines,
        ),
    )


def _file(path: str, code: str) -> tuple[Directive, ...]:
    """A page that is not there leaves the error as it was, where `alias` would make it a 404."""
    return directive("root", "/"), directive("try_files", path, f"={code}")


def _maintenance_page(scope: Scope, maintenance: Maintenance) -> tuple[Directive, ...]:
    if maintenance.page:
        return _file(scope.path(maintenance.page), "503")
    return (directive("return", "503", _MAINTENANCE_TEXT.strip()),)


def _intercepted_statuses(handling: RequestSettings) -> Collection[int] | None:
    match handling.proxy_intercept_errors:
        case True:
            return range(300, 600)
        case False:
            return ()
        case statuses:
            return statuses
