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
from portico.core.model.site import Handling
from portico.core.render.directive import Directive, Raw, WithDollar, d, milliseconds
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
        mirror = scope.own.mirror
        if mirror and mirror.share != _ALL_REQUESTS:
            is_some = float(mirror.share.rstrip("%")) > 0
            shares = (*((d(mirror.share, "1"),) if is_some else ()), d("*", ""))
            yield d("split_clients", Raw("$request_id"), Raw(f"${_chosen(scope)}"), block=shares)


def mirror_lines(scope: Scope, number: int) -> Iterator[Directive]:
    """In a location whose requests are copied."""
    if mirror := mirror_of(scope):
        yield d("mirror", _place(number))
        yield d("mirror_request_body", "on" if mirror.request_body else "off")


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
    needed += [f"${_chosen(scope.origin(_mirror))}"] if mirror.share != _ALL_REQUESTS else []
    body = () if mirror.request_body else (d("proxy_pass_request_body", "off"),)
    length = () if mirror.request_body else (d("proxy_set_header", "Content-Length", Raw('""')),)
    lines = (
        d("internal"),
        *(d("if", Raw(f'({each} = "")'), block=(d("return", "204"),)) for each in needed),
        d("client_max_body_size", "0"),
        *body,
        *request_headers(scope, prefix=prefix),
        *length,
        *(
            far_question(name, context)
            if away
            else tls_to_servers(upstream, scope.folder, context, "proxy")
        ),
        *(d(f"proxy_{kind}_timeout", timeout) for kind in ("connect", "send", "read")),
        d("proxy_pass", WithDollar(f"{url}{path}")),
    )
    yield d("location", "=", _place(number), block=lines)


def _mirror(handling: Handling) -> Mirror | bool | None:
    return handling.mirror


def _place(number: int) -> str:
    return f"{INTERNAL_PREFIX}/mirror/{number}"


def _chosen(scope: Scope) -> str:
    return f"portico_mirror_{digest(scope.slug)}"
