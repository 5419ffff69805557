"""Everything of nginx that belongs to no site: workers, limits against slow clients, defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from portico.core.model.desired import Desired
from portico.core.model.names import label_of
from portico.core.model.place import Build, RenderContext
from portico.core.model.site import ENCODERS
from portico.core.render.access_log import error_log_path, log_basics
from portico.core.render.alpn import FOLDER as ALPN_FOLDER
from portico.core.render.alpn import socket_trust
from portico.core.render.challenge import RedirectedSites
from portico.core.render.directive import DOLLAR, Directive, Raw, directive
from portico.core.render.headers import header_maps, trace_map
from portico.core.render.machine_server import certificate_keys
from portico.core.render.machines import is_clustered
from portico.core.render.mime import compression, mime_types
from portico.core.render.passing import passing_basics
from portico.core.render.retries import retry_maps
from portico.core.render.settings import DEFAULTS, difference
from portico.core.render.static import hidden_map
from portico.core.render.tls import tls_basics
from portico.core.render.upstream_block import network_map

SMALLEST_BUCKET = 128
SMALL_MAP, SHORT_KEY = 500, 32
"""Keys of a `map`, and characters of each, that fit into nginx's usual tables everywhere."""


def main_block(
    desired: Desired, context: RenderContext, http: Iterable[Directive]
) -> Iterator[Directive]:
    edge, home = desired.edge, context.home
    yield from _modules(desired, context.build)
    if user := context.user(desired.edge.user):
        yield directive("user", *user.split())
    workers = context.cores if edge.workers == "auto" else edge.workers
    yield directive("worker_processes", str(workers))
    yield directive("worker_rlimit_nofile", str(context.open_files))
    yield directive("worker_shutdown_timeout", f"{edge.shutdown_timeout}s")
    yield directive("pid", f"{home}/nginx/nginx.pid")
    yield directive("error_log", error_log_path(home), "warn")
    if "pcre_jit" in context.build.can:
        yield directive("pcre_jit", "on")
    connections = min(edge.worker_connections, context.open_files)
    yield directive("events", block=(directive("worker_connections", str(connections)),))
    yield directive("http", block=http)


def _modules(desired: Desired, build: Build) -> Iterator[Directive]:
    """Only what the file asks for: a module of others may have faults of its own."""
    used = {"stream"} if desired.streams or desired.uses_tls_alpn else set()
    for site in desired.sites.values():
        used |= {key for each in site.handlings() for key in ENCODERS if getattr(each, key)}
    for name in sorted(used & build.modules.keys()):
        yield directive("load_module", build.modules[name])


def http_basics(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    yield from mime_types()
    yield from _connections(context)
    yield from _temp_folders(context.home, context.user(desired.edge.user).partition(" ")[0])
    yield from _hash_tables(desired, context)
    yield directive("geo", Raw(f"${DOLLAR}"), block=(directive("default", Raw('"$"')),))
    yield from header_maps(desired, context.build)
    yield trace_map()
    yield hidden_map()
    yield network_map()
    yield from log_basics()
    yield from tls_basics(context.build)
    yield from compression()
    yield from retry_maps(is_clustered=is_clustered(desired, context))
    yield from passing_basics()
    if desired.uses_tls_alpn:
        yield from socket_trust()
    yield from difference(DEFAULTS, {})


def _connections(context: RenderContext) -> Iterator[Directive]:
    """A client that sends its header or body too slowly is let go; one that reads slowly is
    nginx's matter alone, not an instance's.
    """
    yield directive("sendfile", "on")
    yield directive("tcp_nopush", "on")
    yield directive("server_tokens", "off")
    yield directive("absolute_redirect", "off")
    yield directive("keepalive_timeout", "65s")
    # What nginx recommends against clients that open streams only to reset them: a connection
    # ends after so many (HTTP/2 Rapid Reset, CVE-2023-44487).
    yield directive("keepalive_requests", "1000")
    if "keepalive_min_timeout" in context.build.can:
        # After a reload, an idle connection is answered for so long instead of being cut.
        yield directive("keepalive_min_timeout", "2s")
    yield directive("client_header_timeout", "15s")
    yield directive("client_body_timeout", "60s")
    yield directive("send_timeout", "60s")
    yield directive("reset_timedout_connection", "on")
    yield directive("large_client_header_buffers", "4", "16k")
    # Half of nginx's own: the first record of an answer arrives whole in the first round trip, and
    # musl, in the nginx of the wheel, keeps the memory for the next request.
    yield directive("ssl_buffer_size", "8k")
    if "http2" in context.build.can:
        yield directive("http2", "on")
        yield directive("http2_max_concurrent_streams", "128")


def _temp_folders(home: str, user: str) -> Iterator[Directive]:
    """All that nginx would otherwise make in its compiled-in place, even if it never uses them.

    Each user has its own: what workers of another one have made in them would be closed to it.
    """
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi"):
        name = f"{kind}-{user}" if user else kind
        yield directive(f"{kind}_temp_path", f"{home}/nginx/temp/{name}")
    # No site speaks SCGI; but nginx makes this folder for its workers alone, before it listens.
    yield directive("scgi_temp_path", f"{home}/nginx/{ALPN_FOLDER}")


def _hash_tables(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    """A name that does not fit a bucket keeps nginx from starting; of few buckets it warns."""
    names = [name for site, table in desired.sites.items() for name in (site, *table.aliases)]
    headers = [
        name
        for site in desired.sites.values()
        for table in site.handlings()
        for name in (
            *(table.request_headers or ()),
            *(table.headers or ()),
            *(table.auth.app_headers if table.auth else ()),
        )
    ]
    yield from server_name_hash(names)
    yield directive("proxy_headers_hash_max_size", "1024")
    yield directive("proxy_headers_hash_bucket_size", str(_bucket(headers)))
    yield directive("variables_hash_bucket_size", str(SMALLEST_BUCKET))
    yield directive(
        "variables_hash_max_size", str(max(2048, _power_of_two(4 * len(desired.sites))))
    )
    keys = [*RedirectedSites.of(desired).names, *_keys_in_cluster(desired, context)]
    keys += [f"|{desired.health_path}"] if desired.health_path else []
    if len(keys) > SMALL_MAP or any(len(key) > SHORT_KEY for key in keys):
        yield directive("map_hash_max_size", str(max(2048, _power_of_two(4 * len(keys)))))
        yield directive("map_hash_bucket_size", str(_bucket(keys)))


def _keys_in_cluster(desired: Desired, context: RenderContext) -> Iterator[str]:
    """Those of the maps of crossings."""
    if context.machine and desired.machine:
        yield from map(label_of, desired.upstreams)
        yield from desired.machines
        yield from certificate_keys(context.machine, desired)


def server_name_hash(names: Sequence[str]) -> Iterator[Directive]:
    yield directive("server_names_hash_max_size", str(max(1024, _power_of_two(4 * len(names)))))
    yield directive("server_names_hash_bucket_size", str(_bucket(names)))


def name_hash(names: Iterable[str]) -> Iterator[Directive]:
    """Of the maps of nginx's stream that have names, as `_hash_tables` of its http."""
    if found := list(names):
        yield directive("map_hash_max_size", str(max(2048, _power_of_two(4 * len(found)))))
        yield directive("map_hash_bucket_size", str(_bucket(found)))


def _bucket(names: Iterable[str]) -> int:
    longest = max(map(len, names), default=0)
    return max(SMALLEST_BUCKET, _power_of_two(longest + 32))


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length() if least > 1 else 1
