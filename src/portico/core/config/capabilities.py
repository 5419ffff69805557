"""What a file asks of nginx that not every nginx can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.config.findings import Finding, Path, path_text
from portico.core.config.issuing_rules import challenged_by_alpn
from portico.core.model.app import App
from portico.core.model.balancing import Method
from portico.core.model.document import Document
from portico.core.model.place import Build
from portico.core.model.site import ENCODERS, RequestSettings, Site
from portico.core.model.stream import Stream
from portico.core.model.upstream import Upstream
from portico.errors import Problem

FIRST_VERSIONS: Final = {
    # what a build can do: the first version of open-source nginx that has it
    "grpc": (1, 13, 10),
    "http2": (1, 25, 1),
    "least_time": (1, 31, 0),
    "random": (1, 15, 1),
    "request_port": (1, 29, 3),
    "resolve": (1, 27, 3),
    "sticky": (1, 29, 6),
}
FEATURES: Final = {
    # what a file may ask for, in words of the reference: what it needs, as `Build.can` calls it
    "apps behind sites and streams": ("resolve",),
    "auth": ("auth_request",),
    'balance = "hash" or "ip_hash"': ("hash",),
    'balance = "ip_hash" of servers only': ("ip_hash",),
    'balance = "least_conn"': ("least_conn",),
    'balance = "least_time"': ("least_time",),
    'balance = "random"': ("random",),
    "brotli": ("brotli",),
    "cache": ("cache",),
    'challenge = "tls-alpn-01"': ("stream_preread", "realip"),
    "connection_limit": ("limit_conn",),
    "grpc": ("grpc", "http2"),
    "http3": ("http3", "request_port"),
    "https": ("ssl",),
    "rate_limit": ("limit_req",),
    "real_ip": ("realip",),
    "sticky": ("sticky",),
    "streams": ("stream",),
    'streams: balance = "hash" or "ip_hash"': ("stream_hash",),
    'streams: balance = "least_conn"': ("stream_least_conn",),
    'streams: balance = "least_time"': ("stream_least_time",),
    'streams: balance = "random"': ("stream_random",),
    "streams: connection_limit": ("stream_limit_conn",),
    "streams: server_names": ("stream_preread",),
    "streams: set_real_ip_from": ("stream_realip",),
    "streams: tls": ("stream_ssl",),
    "zstd": ("zstd",),
}
AUTOMATIC_FEATURES: Final = {
    # what Portico has nginx do wherever that can
    "HTTP/2": ("http2",),
    "idle connections kept while nginx reloads": ("keepalive_min_timeout",),
    "post-quantum key exchange": ("X25519MLKEM768",),
    "regular expressions compiled to machine code": ("pcre_jit",),
}
OWN_LINES: Final = (
    # what no key asks for, and an operator's own lines may
    "add_header_inherit",
    "early_hints",
    "gzip",
    "gzip_static",
    "headers_more",
    "njs",
    "proxy_http2",
    "ssl_certificate_cache",
    "ssl_early_data",
    "ssl_reject_handshake",
    "stub_status",
    "threads",
)
_STREAM_MODULES: Final = {
    # key: nginx's module, and what `Build.can` calls it
    "connection_limit": ("limit_conn", "stream_limit_conn"),
    "server_names": ("ssl_preread", "stream_preread"),
    "set_real_ip_from": ("realip", "stream_realip"),
    "tls": ("ssl", "stream_ssl"),
}


def needed_of_nginx(document: Document) -> frozenset[str]:
    """What the file asks for, as `Build.can` calls it."""
    return frozenset(needed for _, _, needed in _required_features(document))


def capability_problems(document: Document, build: Build) -> list[Problem]:
    """Everything the file asks for and the nginx at hand cannot do."""
    return [
        Finding(path, f"{what} {_missing_text(needed, build)}").problem()
        for path, what, needed in _required_features(document)
        if needed not in build.can
    ]


def capability_notes(document: Document, build: Build) -> Iterator[str]:
    """What the nginx at hand leaves out, because clients get the same without it."""
    for key, module in ENCODERS.items():
        places = (place for place, handling in _handlings(document) if getattr(handling, key))
        if key not in build.can and (place := next(places, None)):
            yield (
                f"{path_text((*place, key))}: has no effect, because {build.program} "
                f"({build.version_text}) was built without {module}"
            )


def _missing_text(needed: str, build: Build) -> str:
    since = FIRST_VERSIONS.get(needed, build.version)
    if build.version < since:
        first = ".".join(map(str, since))
        return f"needs nginx {first} or later; {build.program} is {build.version_text}"
    return (
        f"needs an nginx built with it; {build.program} ({build.version_text}) was built "
        "without it"
    )


def _required_features(document: Document) -> Iterator[tuple[Path, str, str]]:
    """A key, what it asks for in words, and what `Build.can` calls that."""
    if (document.sites or document.streams) and any(app.listens for app in document.apps.values()):
        yield ("apps",), "finding instances by DNS (server ... resolve)", "resolve"
    if document.edge.http3:
        yield ("edge", "http3"), "http3, of ngx_http_v3_module,", "http3"
        yield ("edge", "http3"), "the port that a client of http3 requests", "request_port"
    for name, app in document.apps.items():
        yield from _balancing(("apps", name), app)
    for name, upstream in document.upstreams.items():
        if upstream.health:
            here: Path = ("upstreams", name, "health")
            yield here, "finding servers by DNS (server ... resolve)", "resolve"
        yield from _balancing(("upstreams", name), upstream)
    for name, site in document.sites.items():
        yield from _site(("sites", name), site)
    for key, stream in document.streams.items():
        yield from _stream(("streams", key), stream, document)
    for path in challenged_by_alpn(document):
        yield path, "tls-alpn-01", "stream_preread"
        yield path, "the client's address during tls-alpn-01", "realip"


def _balancing(path: Path, group: App | Upstream) -> Iterator[tuple[Path, str, str]]:
    match group.balance.method:
        case Method.ROUND_ROBIN:
            pass
        case Method.IP_HASH if isinstance(group, App) or group.apps:
            yield (*path, "balance"), "ip_hash of apps, by hash,", "hash"
        case method:
            yield (*path, "balance"), str(method), str(method)
    if group.sticky:
        yield (*path, "sticky"), "sticky", "sticky"


def _stream(path: Path, stream: Stream, document: Document) -> Iterator[tuple[Path, str, str]]:
    yield path, "a stream, of ngx_stream_core_module,", "stream"
    groups: dict[str, App | Upstream] = {**document.apps, **document.upstreams}
    for group in (groups[name] for name in stream.targets):
        yield from _stream_balancing(path, (stream.balance or group.balance).method)
        if isinstance(group, Upstream) and group.tls:
            yield path, "TLS to the servers, of ngx_stream_ssl_module,", "stream_ssl"
    for key, (module, feature) in _STREAM_MODULES.items():
        if getattr(stream, key):
            yield (*path, key), f"{key}, of ngx_stream_{module}_module,", feature


def _stream_balancing(path: Path, method: Method) -> Iterator[tuple[Path, str, str]]:
    match method:
        case Method.ROUND_ROBIN:
            pass
        case Method.IP_HASH:
            what = "ip_hash, by hash of ngx_stream_upstream_hash_module,"
            yield (*path, "balance"), what, "stream_hash"
        case _:
            what = f"{method}, of ngx_stream_upstream_{method}_module,"
            yield (*path, "balance"), what, f"stream_{method}"


def _site(path: Path, site: Site) -> Iterator[tuple[Path, str, str]]:
    if site.https:
        yield (*path, "https"), "https", "ssl"
    if site.real_ip is not None:
        yield (*path, "real_ip"), "real_ip", "realip"
    for place, handling in _request_settings(path, site):
        if handling.rate_limit is not None:
            yield (*place, "rate_limit"), "rate_limit", "limit_req"
        if handling.connection_limit is not None:
            yield (*place, "connection_limit"), "connection_limit", "limit_conn"
        if handling.auth:
            yield (*place, "auth"), "auth (auth_request)", "auth_request"
        if handling.cache:
            yield (*place, "cache"), "cache", "cache"
        if handling.grpc:
            yield (*place, "grpc"), "grpc", "grpc"
            yield (*place, "grpc"), "grpc over HTTP/2", "http2"


def _handlings(document: Document) -> Iterator[tuple[Path, RequestSettings]]:
    for name, site in document.sites.items():
        yield from _request_settings(("sites", name), site)


def _request_settings(path: Path, site: Site) -> Iterator[tuple[Path, RequestSettings]]:
    yield path, site
    for place, route in site.placed_routes():
        if not isinstance(route, str):
            yield (*path, "routes", *place), route
