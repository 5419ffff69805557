"""What Portico does by itself, and what only tunes nginx."""

from __future__ import annotations

from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.importing.part import DONE_OUTCOME, Outcome, Part, Rules, done, lost, no_equal
from portico.stack.importing.values import whole_number

_SILENT_DIRECTIVES: Final = (
    # nginx as a whole
    *("pid", "daemon", "master_process", "events", "worker_rlimit_nofile", "lock_file"),
    *("worker_cpu_affinity", "worker_priority", "pcre_jit", "timer_resolution", "use"),
    *("multi_accept", "accept_mutex", "accept_mutex_delay", "debug_connection", "env"),
    *("worker_rlimit_core", "working_directory", "thread_pool", "ssl_engine"),
    # files and sockets
    *("sendfile", "sendfile_max_chunk", "tcp_nopush", "tcp_nodelay", "aio", "directio"),
    *("output_buffers", "postpone_output", "reset_timedout_connection", "lingering_close"),
    *("lingering_time", "lingering_timeout", "open_file_cache", "open_file_cache_valid"),
    *("open_file_cache_min_uses", "open_file_cache_errors", "read_ahead", "aio_write"),
    *("types", "default_type", "types_hash_max_size", "types_hash_bucket_size"),
    *("server_names_hash_max_size", "server_names_hash_bucket_size", "charset_types"),
    *("variables_hash_max_size", "variables_hash_bucket_size", "map_hash_max_size"),
    *("map_hash_bucket_size", "proxy_headers_hash_max_size", "proxy_headers_hash_bucket_size"),
    *("request_pool_size", "connection_pool_size", "etag", "if_modified_since", "charset"),
    *("server_tokens", "server_name_in_redirect", "port_in_redirect", "absolute_redirect"),
    *("log_not_found", "log_subrequest", "rewrite_log", "msie_padding", "msie_refresh"),
    *("keepalive_timeout", "keepalive_requests", "keepalive_time", "keepalive_disable"),
    *("keepalive_min_timeout", "client_body_temp_path", "client_body_in_file_only"),
    *("client_body_in_single_buffer", "proxy_temp_path", "fastcgi_temp_path", "source_charset"),
    *("uwsgi_temp_path", "scgi_temp_path", "proxy_socket_keepalive", "recursive_error_pages"),
    *("gzip_types", "gzip_comp_level", "gzip_min_length", "gzip_vary", "gzip_proxied"),
    *("gzip_disable", "gzip_http_version", "gzip_buffers", "gzip_static", "gunzip"),
    *("brotli_types", "brotli_comp_level", "brotli_static", "brotli_min_length", "brotli_window"),
    *("brotli_buffers", "zstd_types", "zstd_comp_level", "zstd_static", "zstd_min_length"),
    *("http2", "http2_max_concurrent_streams", "http2_push_preload", "http2_chunk_size"),
    *("http2_recv_timeout", "http2_idle_timeout", "http2_max_requests", "http2_max_field_size"),
    *("http2_max_header_size", "http2_body_preread_size", "http2_push"),
    # HTTPS
    *("ssl_ciphers", "ssl_prefer_server_ciphers", "ssl_session_cache", "ssl_session_timeout"),
    *("ssl_session_tickets", "ssl_session_ticket_key", "ssl_dhparam", "ssl_ecdh_curve"),
    *("ssl_buffer_size", "ssl_stapling", "ssl_stapling_verify", "ssl_trusted_certificate"),
    *("ssl_early_data", "ssl_reject_handshake", "ssl_conf_command", "ssl_stapling_file"),
    *("ssl_stapling_responder", "ssl", "ssl_password_file"),
    # passing on
    *("proxy_pass_request_headers", "proxy_pass_request_body", "proxy_ignore_client_abort"),
    *("proxy_next_upstream_timeout", "proxy_cache_path", "proxy_cache_revalidate"),
    *("proxy_cache_background_update", "proxy_cache_lock_timeout", "proxy_cache_lock_age"),
    *("limit_req_log_level", "limit_conn_log_level", "limit_req_zone", "limit_conn_zone"),
    *("log_format", "resolver", "resolver_timeout", "satisfy_any", "listen"),
    *("server_name", "root", "alias", "index", "try_files", "autoindex", "proxy_pass"),
    *("autoindex_exact_size", "autoindex_localtime", "autoindex_format", "grpc_pass"),
    *("fastcgi_cache_path", "uwsgi_cache_path", "scgi_cache_path", "return", "upstream"),
    *("http3", "quic_retry", "ssi_types", "map", "geo", "split_clients"),
)
"""Some of these are read elsewhere: a server's names, a location's root, an upstream."""
_LOG: Final = "Portico writes its own error log: `portico logs --nginx`"
_SIZES: Final = {
    "client_body_buffer_size": 16 << 10,
    "client_header_buffer_size": 1 << 10,
    "proxy_buffer_size": 16 << 10,
    "proxy_buffers": 8 * (16 << 10),
    "proxy_busy_buffers_size": 32 << 10,
    "large_client_header_buffers": 4 * (16 << 10),
    "proxy_max_temp_file_size": 1 << 30,
    "proxy_temp_file_write_size": 32 << 10,
}
"""What nginx has of it here: less needs no line."""
_TIMES: Final = {"send_timeout": 60, "client_body_timeout": 60, "client_header_timeout": 15}
TUNING: Final = frozenset({*_SIZES, *_TIMES})
"""Lines that may stand for the whole site where they stood in a location."""


def without_effect(_: Line, __: Part) -> Outcome:
    return DONE_OUTCOME


def own_limit(line: Line, _: Part) -> Outcome:
    """A limit that is lower than Portico's, or the same, changes no answer."""
    name, numbers = line.name, [_bytes(word) for word in line.args]
    if name in _TIMES:
        number = _seconds(line.args[0])
        return DONE_OUTCOME if number is None or number <= _TIMES[name] else no_equal()
    product = 1
    for number in numbers:
        product *= number or 0
    return DONE_OUTCOME if 0 < product <= _SIZES[name] else no_equal()


def _bytes(word: str) -> int | None:
    number, unit = word.rstrip("kKmMgG"), word[-1:].lower()
    power = {"k": 10, "m": 20, "g": 30}.get(unit, 0)
    return int(number) << power if number.isdecimal() else None


def _seconds(word: str) -> int | None:
    number = whole_number(word.rstrip("sm"))
    return number * 60 if number and word.endswith("m") else number


def error_log(_: Line, __: Part) -> Outcome:
    return done(_LOG)


def internal(line: Line, part: Part) -> Outcome:
    """Set after the folder that it closes: `location.translated` looks at it last."""
    folder = part.table.get("folder")
    is_plain = isinstance(folder, str) or (
        isinstance(folder, dict) and not folder.keys() - {"path", "index"}
    )
    if not is_plain or not part.path.removeprefix("^~ ").startswith("/"):
        return no_equal("only a folder below a path can be internal")
    return part.set("internal", value=True, line=line)


def include(_: Line, __: Part) -> Outcome:
    """One that could not be read; the reader has listed it."""
    return lost("")


RULES: Final[Rules] = {
    **dict.fromkeys(_SILENT_DIRECTIVES, without_effect),
    **dict.fromkeys(TUNING, own_limit),
    "error_log": error_log,
    "include": include,
    "internal": internal,
}
