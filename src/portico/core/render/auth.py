"""Forward authentication (`auth`): the locations that ask another program, and the way to sign in.

nginx asks in a subrequest before it passes a request on, serves a file or redirects: 2xx grants
access, 401 and 403 deny it, and everything else, no answer too, is 500 for the client
(ngx_http_auth_request_module). So nothing passes while the program is down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from portico.core.model.auth import ESCAPED_URI, Auth
from portico.core.model.desired import Desired
from portico.core.model.names import label_of
from portico.core.model.place import RenderContext
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    milliseconds,
    with_variables,
)
from portico.core.render.escaping import ESCAPED_REQUEST_URI, escaping_maps
from portico.core.render.headers import question_headers
from portico.core.render.identity import (
    LOCATION,
    STATUS,
    auth_path,
    auths_of,
    cookie_maps,
    sign_in_place,
)
from portico.core.render.machines import (
    CONNECT_TIMEOUT,
    can_cross,
    far_question,
    far_upstream,
    is_away,
)
from portico.core.render.pages import error_pages
from portico.core.render.passing import tls_to_servers, url_of
from portico.core.render.retries import retry_upstream
from portico.core.render.scope import INTERNAL_PREFIX, Scope
from portico.core.render.settings import common_settings

_PREFLIGHT = "portico_preflight"
_UNUSED_CODE = "418"


def with_auth_upstreams(desired: Desired) -> Desired:
    """With one for each URL that is asked elsewhere."""
    own = {
        auth.upstream_and_path[0]: each for auth in _auths(desired) if (each := auth.url_upstream)
    }
    return replace(desired, upstreams={**desired.upstreams, **own})


def auth_maps(desired: Desired) -> Iterator[Directive]:
    """A browser sends no cookie with the question whether it may ask (Fetch, CORS-preflight)."""
    if any(_auths(desired)):
        yield directive(
            "map",
            Raw('"$request_method|$http_origin|$http_access_control_request_method"'),
            Raw(f"${_PREFLIGHT}"),
            block=(directive("default", ""), directive(r'"~^OPTIONS\|.+\|."', "1")),
        )
        yield from cookie_maps(desired)
    if any(re.search(ESCAPED_URI, auth.sign_in or "") for auth in _auths(desired)):
        yield from escaping_maps()


def auth_locations(
    scopes: Sequence[Scope], desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    for scope in scopes:
        if scope.request_settings.auth:
            yield from _locations(scope, scope.request_settings.auth, desired, context)


def _locations(
    scope: Scope, auth: Auth, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """The question is a GET without a body: where an instance fails another one is asked, and in
    the end all, also those that have just failed.
    """
    name, path = auth.upstream_and_path
    upstream, place = desired.upstreams[name], auth_path(scope)
    tls = tuple(tls_to_servers(upstream, scope.folder, context, "proxy"))
    crosses, away = can_cross(upstream, desired, context), is_away(upstream, desired, context)
    own, again = url_of(upstream, label_of(name)), url_of(upstream, retry_upstream(label_of(name)))
    to_far = (
        *_question(
            scope, auth, far_question(name, context), CONNECT_TIMEOUT, "http_502", "http_504"
        ),
        directive("proxy_pass", f"https://{far_upstream(name)}{path}"),
    )
    question = tuple(_question(scope, auth, tls, 5.0))
    preflight = directive("if", Raw(f"(${_PREFLIGHT})"), block=(directive("return", "204"),))
    if away:
        yield directive("location", "=", place, block=(preflight, *to_far))
    else:
        first = (
            directive("error_page", "502", "=", f"{place}/again"),
            preflight,
            *question,
            directive("proxy_pass", f"{own}{path}"),
        )
        yield directive("location", "=", place, block=first)
        last = (*question, directive("proxy_pass", f"{again}{path}"))
        if crosses:
            to_next = directive("error_page", "502", "=", f"{place}/far")
            last = (to_next, directive("recursive_error_pages", "on"), *last)
            yield directive("location", "=", f"{place}/far", block=to_far)
        yield directive("location", "=", f"{place}/again", block=last)
    yield directive("location", sign_in_place(scope), block=_sign_in(scope, auth))


def _question(
    scope: Scope, auth: Auth, tls: Iterable[Directive], connect_timeout: float, *failures: str
) -> Iterator[Directive]:
    """`connect_timeout` in seconds, at most; `failures` are more that lead to the next peer."""
    host = auth.url.partition("://")[2].partition("/")[0] if auth.url else ""
    timeout = milliseconds(auth.timeout)
    yield directive("internal")
    yield directive("client_max_body_size", "0")
    yield directive("proxy_pass_request_body", "off")
    yield from question_headers(scope, host)
    yield from tls
    yield directive("proxy_connect_timeout", milliseconds(min(connect_timeout, auth.timeout)))
    yield directive("proxy_send_timeout", timeout)
    yield directive("proxy_read_timeout", timeout)
    yield directive("proxy_next_upstream", "error", "timeout", *failures)
    yield directive("proxy_next_upstream_tries", "3")
    yield directive("proxy_next_upstream_timeout", timeout)


def _sign_in(scope: Scope, auth: Auth) -> Iterator[Directive]:
    """A 401 that is not of the program, but of basic_auth, is as it was; and for a client of gRPC,
    to which 401 is UNAUTHENTICATED and a redirect is nothing.
    """
    yield from common_settings(scope)["headers"]
    # With one of these lines the location has none of its server's, which lead here.
    yield directive("error_page", _UNUSED_CODE, f"{INTERNAL_PREFIX}/{_UNUSED_CODE}")
    yield from error_pages(scope.site)
    yield directive("recursive_error_pages", "on")
    yield directive("if", Raw(f'(${STATUS} !~ "401$")'), block=(directive("return", "401"),))
    yield directive(
        "if", Raw('($content_type ~ "^application/grpc")'), block=(directive("return", "401"),)
    )
    if auth.sign_in is None:
        to_location = directive("return", "302", Raw(f"${LOCATION}"))
        yield directive("if", Raw(f"(${LOCATION})"), block=(to_location,))
        yield directive("return", "401")
        return
    parts = re.split(ESCAPED_URI, auth.sign_in)
    to = f"${{{ESCAPED_REQUEST_URI}}}".join(with_variables(part) for part in parts)
    yield directive("return", "302", WithDollar(to))


def _auths(desired: Desired) -> Iterator[Auth]:
    for site in desired.sites.values():
        yield from auths_of(site)
