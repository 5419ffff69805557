"""A copy of requests for another app (ngx_http_mirror_module).

The client has its answer when the app's is there, but nginx takes the next request of a keepalive
connection only after the copy has ended: so a copy has short timeouts and one try. What stays open
(WebSockets, streams of events) and gRPC have no copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from portico.core.model.desired import Desired
from portico.core.model.mirror import Mirror
from portico.core.model.names import label_of
from portico.core.model.place import RenderContext
from portico.core.model.site import RequestSettings
from portico.core.render.directive import Directive, Raw, WithDollar, directive, milliseconds
from portico.core.render.headers import request_headers
from portico.core.render.machines import far_question, far_upstream, is_away
from portico.core.render.passing import rest_variable, tls_to_servers, url_of
from portico.core.render.scope import INTERNAL_PREFIX, Scope, digest

_ALL_REQUESTS = "100%"


def mirror_of(scope: Scope) -> Mirror | None:
    """None for gRPC too: a copy would need another module's lines."""
    value = scope.value(_mirror)
    is_grpc = scope.value(lambda handling: handling.grpc)
    return value if isinstance(value, Mirror) and not is_grpc else None


def share_maps(scopes: Iterable[Scope]) -> Iterator[Directive]:
    for scope in scopes:
        mirror = scope.request_settings.mirror
        if mirror and mirror.share != _ALL_REQUESTS:
            is_some = float(mirror.share.rstrip("%")) > 0
            shares = (*((directive(mirror.share, "1"),) if is_some else ()), directive("*", ""))
            yield directive(
                "split_clients",
                Raw("$request_id"),
                Raw(f"${_share_variable(scope)}"),
                block=shares,
            )


def mirror_lines(scope: Scope, number: int) -> Iterator[Directive]:
    """In a location whose requests are copied."""
    if mirror := mirror_of(scope):
        yield directive("mirror", _mirror_path(number))
        yield directive("mirror_request_body", "on" if mirror.request_body else "off")


def mirror_location(
    scope: Scope, number: int, desired: Desired, context: RenderContext, prefix: str
) -> Iterator[Directive]:
    """`prefix` is taken off the path; a path that spells it in another way has no copy."""
    mirror = mirror_of(scope)
    if mirror is None:
        return
    name = mirror.app or mirror.upstream or ""
    upstream, timeout = desired.upstreams[name], milliseconds(mirror.timeout)
    away = is_away(upstream, desired, context)
    url = f"https://{far_upstream(name)}" if away else url_of(upstream, label_of(name))
    path = f"${rest_variable(prefix)}" if prefix else "$request_uri"
    needed = [f"${rest_variable(prefix)}"] if prefix else []
    needed += (
        [f"${_share_variable(scope.origin(_mirror))}"] if mirror.share != _ALL_REQUESTS else []
    )
    body = () if mirror.request_body else (directive("proxy_pass_request_body", "off"),)
    length = (
        ()
        if mirror.request_body
        else (directive("proxy_set_header", "Content-Length", Raw('""')),)
    )
    lines = (
        directive("internal"),
        *(
            directive("if", Raw(f'({each} = "")'), block=(directive("return", "204"),))
            for each in needed
        ),
        directive("client_max_body_size", "0"),
        *body,
        *request_headers(scope, prefix=prefix),
        *length,
        *(
            far_question(name, context)
            if away
            else tls_to_servers(upstream, scope.folder, context, "proxy")
        ),
        *(directive(f"proxy_{kind}_timeout", timeout) for kind in ("connect", "send", "read")),
        directive("proxy_pass", WithDollar(f"{url}{path}")),
    )
    yield directive("location", "=", _mirror_path(number), block=lines)


def _mirror(handling: RequestSettings) -> Mirror | bool | None:
    return handling.mirror


def _mirror_path(number: int) -> str:
    return f"{INTERNAL_PREFIX}/mirror/{number}"


def _share_variable(scope: Scope) -> str:
    return f"portico_mirror_{digest(scope.slug)}"
