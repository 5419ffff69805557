"""What an nginx may be able to do, and the lines of configuration that only such a one takes.

The names are those of `Build.can`. In the lines `{unix}` is an address to listen on that
disturbs nobody. A build that lacks a feature lacks all whose names begin with its name and `_`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

MAIN: Final = {
    "pcre_jit": "pcre_jit on;",
    "threads": "thread_pool probe threads=1;",
}
STREAM: Final = {
    "stream": "return probe;",
    "stream_limit_conn": "limit_conn_log_level error; return probe;",
    "stream_realip": "set_real_ip_from 127.0.0.1; return probe;",
    "stream_ssl": "ssl_handshake_timeout 5s; return probe;",
    "stream_preread": "ssl_preread on; return probe;",
}
STREAM_UPSTREAM: Final = {
    # As UPSTREAM.
    "stream_hash": "hash $remote_addr consistent;",
    "stream_least_conn": "least_conn;",
    "stream_least_time": "least_time connect inflight;",
    "stream_random": "random two least_conn;",
}
UPSTREAM: Final = {
    # Each in an upstream with a zone and one server.
    "hash": "hash $request_uri consistent;",
    "ip_hash": "ip_hash;",
    "least_conn": "least_conn;",
    "least_time": "least_time last_byte inflight;",
    "random": "random two least_conn;",
    "resolve": "resolver 127.0.0.1; server probe.invalid service=http resolve;",
    "sticky": "sticky cookie probe;",
}
SERVER: Final = {
    "add_header_inherit": "add_header_inherit merge;",
    "auth_request": "auth_request /probe;",
    "brotli": "brotli on; brotli_comp_level 5;",
    "cache": "proxy_cache_methods GET;",
    "early_hints": "early_hints 1;",
    "gzip": "gzip on;",
    "gzip_static": "gzip_static on;",
    "headers_more": "more_clear_headers Server;",
    "http2": "http2 on;",
    "http3": "http3 on;",
    "keepalive_min_timeout": "keepalive_min_timeout 2s;",
    "limit_conn": "limit_conn_status 429;",
    "limit_req": "limit_req_status 429;",
    "njs": "js_fetch_timeout 1s;",
    "proxy_http2": "proxy_http_version 2;",
    "realip": "real_ip_recursive on;",
    "request_port": "set $probe $request_port;",
    "ssl": "ssl_session_tickets on;",
    "ssl_certificate_cache": "ssl_certificate_cache max=10;",
    "ssl_early_data": "ssl_early_data on;",
    "ssl_reject_handshake": "ssl_reject_handshake on;",
    "zstd": "zstd on; zstd_comp_level 3;",
    # A key exchange that OpenSSL knows; looked at only where there could be a handshake.
    "X25519MLKEM768": "ssl_reject_handshake on; ssl_ecdh_curve X25519MLKEM768;",
}
LOCATION: Final = {
    "grpc": "grpc_pass {unix};",
    "stub_status": "stub_status;",
}

ALL_DIRECTIVES: Final = frozenset(
    {*MAIN, *STREAM, *STREAM_UPSTREAM, *UPSTREAM, *SERVER, *LOCATION}
)
OPTIONAL_FEATURES: Final = frozenset(
    {"brotli", "gzip_static", "headers_more", "http3", "njs", "stub_status", "zstd"}
)
"""What most builds have only some of: to find out by nginx itself takes a run for each."""
LOADABLE_MODULES: Final = {
    "brotli": "ngx_http_brotli_filter_module.so",
    "stream": "ngx_stream_module.so",
    "zstd": "ngx_http_zstd_filter_module.so",
}
"""What a package may bring as a file in nginx's folder of modules."""
REQUIRED_FEATURES: Final = frozenset({"resolve", "keepalive_min_timeout"})
"""Without these Portico cannot use an nginx at all."""


def probe(
    features: frozenset[str], folder: str, modules: Mapping[str, str]
) -> tuple[str, list[str]]:
    """A configuration that uses all of these; and whose each of its lines is, or empty. `modules`
    are files to load, by feature.
    """
    lines, owners = zip(*_lines(features, modules), strict=True)
    # One address for each: a default server's parameters may be given only once.
    text = (line.replace("{unix}", f"unix:{folder}/{n}") for n, line in enumerate(lines))
    return "\n".join(text), list(owners)


def named_in(program: bytes) -> frozenset[str]:
    """All but those of `OPTIONAL_FEATURES` that have a directive whose name is nowhere in a
    program's file: nginx knows it by that, with a zero at its end. Where the file has no names
    at all, as one that is packed, that says nothing.
    """
    if not _has(program, "worker_processes"):
        return ALL_DIRECTIVES
    table = SERVER | LOCATION
    return frozenset(
        feature
        for feature in ALL_DIRECTIVES
        if feature not in OPTIONAL_FEATURES
        or all(_has(program, each.split()[0]) for each in table[feature].split(";")[:-1])
    )


def _has(program: bytes, name: str) -> bool:
    return f"{name}\0".encode() in program


def without_feature(features: frozenset[str], lacking: str) -> frozenset[str]:
    return frozenset(
        name for name in features if name != lacking and not name.startswith(f"{lacking}_")
    )


def with_modules(features: frozenset[str], modules: Iterable[str]) -> frozenset[str]:
    """With all that could come with these."""
    loaded = tuple(modules)
    more = (
        n
        for n in ALL_DIRECTIVES
        if n in loaded or n.startswith(tuple(f"{each}_" for each in loaded))
    )
    return features.union(more)


def _lines(features: frozenset[str], modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    def each(table: dict[str, str], before: str, after: str) -> Iterator[tuple[str, str]]:
        return ((before + text + after, name) for name, text in table.items() if name in features)

    for name, path in modules.items():
        if name in features:
            yield f'load_module "{path}";', name
    yield "pid nginx.pid; events { }", ""
    yield from each(MAIN, "", "")
    if "stream" in features:
        yield "stream {", "stream"
        for text, name in each(STREAM_UPSTREAM, "", ""):
            yield f"upstream {name} {{ zone {name} 64k; {text} server 127.0.0.1:9; }}", name
        yield from each(STREAM, "server { listen {unix}; ", " }")
        yield "}", ""
    yield "http { access_log off;", ""
    for text, name in each(UPSTREAM, "", ""):
        yield f"upstream {name} {{ zone {name} 64k; {text} server 127.0.0.1:9; }}", name
    yield from each(SERVER, "server { listen {unix}; ", " }")
    yield from each(LOCATION, "server { listen {unix}; location / { ", " } }")
    yield "}", ""
