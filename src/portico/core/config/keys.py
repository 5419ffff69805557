"""The right key for one that does not exist: a slip of the pen, or a word of another tool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from portico.core.config.findings import did_you_mean, nearest
from portico.core.model.app import App
from portico.core.model.auth import Auth
from portico.core.model.balancing import Method
from portico.core.model.check import Check
from portico.core.model.cluster import Machine
from portico.core.model.document import Document
from portico.core.model.edge import Edge, Tls
from portico.core.model.match import Match
from portico.core.model.site import Folder, Redirect, Route, Site
from portico.core.model.stream import Stream
from portico.core.model.units import Table
from portico.core.model.upstream import Server, Upstream

_CLOSE, _FAR = 0.8, 0.6  # share of a key's letters that agree with the right one's
TABLES: Final[Mapping[str, type[Table]]] = {
    "[apps.NAME]": App,
    "[upstreams.NAME]": Upstream,
    '[sites."NAME"]': Site,
    '[streams."PORT"]': Stream,
    "[edge]": Edge,
    "[tls]": Tls,
    "[machines.NAME]": Machine,
}
_NGINX_PLACES: Final[Mapping[type[Table], str]] = {
    Site: "include",
    Route: "include of the site",
    Edge: "include",
}
_NGINX_DIRECTIVE: Final = (  # compiled with the first unknown key
    r"(proxy|ssl|gzip|brotli|zstd|client|fastcgi|uwsgi|scgi|memcached|grpc|http2|limit|auth|userid"
    r"|image_filter|ssi|mp4|open_file|xslt|add|autoindex|sub_filter|keepalive|lingering|secure_link"
    r"|server|types|aio|charset|dav|directio|error|gunzip|log|mirror|real_ip|referer|resolver|rewrite|send"
    r"|sendfile|tcp|variables)_[a-z0-9_]+"
    r"|absolute_redirect|access_log|addition_types|aio|break|charset|chunked_transfer_encoding"
    r"|connection_pool_size|default_type|directio|disable_symlinks|empty_gif|etag|expires|geo|if"
    r"|if_modified_since|ignore_invalid_headers|index|internal|large_client_header_buffers|log_format"
    r"|map|max_ranges|merge_slashes|mirror|output_buffers|port_in_redirect|postpone_output"
    r"|recursive_error_pages|request_pool_size|reset_timedout_connection|return|rewrite|root"
    r"|satisfy|sendfile|server_tokens|set|slice|split_clients|ssi|stub_status|sub_filter"
    r"|subrequest_output_buffer_size|try_files|underscores_in_headers"
)


def hint_for(key: str, table: type[Table]) -> str | None:
    """What to write instead of a key that the table does not have, if it can be guessed."""
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).replace("-", "_").lower()
    known = list(table.model_fields)
    if there := other_names(table).get(word):
        return did_you_mean(there) if re.fullmatch(r"[a-z_.]+", there) else there
    if right := nearest(word, known, min_ratio=_CLOSE):
        return did_you_mean(right)
    if table in _NGINX_PLACES and re.fullmatch(_NGINX_DIRECTIVE, word):
        return f"to use nginx's {word}, put its line into a file for {_NGINX_PLACES[table]}"
    if home := next((name for name, other in TABLES.items() if word in other.model_fields), None):
        return f"it is a key of {home}"
    return did_you_mean(nearest(word, known, min_ratio=_FAR))


def other_names(table: type[Table]) -> Mapping[str, str]:
    """What other tools call the keys of a table, each with the right key, or a sentence."""
    return {
        word: right
        for right, words in _OTHER_WORDS.get(table, {}).items()
        for word in words.split()
    }


_BALANCE = {f'write balance = "{method} ..."': method for method in ("hash", "least_time")} | {
    f'write balance = "{method}"': method
    for method in Method
    if method not in {Method.HASH, Method.LEAST_TIME}
}
_SERVING_WORDS = {
    "app": "proxy_pass pass grpc_pass to target backend service reverse_proxy",
    "folder": "root static public document_root path",
    "folder.listing": "autoindex",
    "folder.index": "index",
    "folder.spa": "try_files spa",
    "folder.expires": "expires",
    "redirect": "return rewrite redir",
    "headers": "add_header header response_headers",
    "request_headers": "proxy_set_header",
    "rate_limit": "limit_req limit_req_zone",
    "connection_limit": "limit_conn limit_conn_zone",
    "basic_auth": "auth_basic htpasswd",
    "basic_auth.file": "auth_basic_user_file",
    "auth": "auth_request forward_auth",
    "auth.request_headers": "auth_request_set copy_headers auth_response_headers",
    "mirror": "shadow mirroring copy",
    "client_max_body_size": "max_body_size body_size max_body",
    "proxy_read_timeout": "timeout read_timeout",
    "proxy_connect_timeout": "connect_timeout",
    "proxy_send_timeout": "send_timeout",
    "websocket": "websockets ws upgrade",
    "buffering": "proxy_buffering flush_interval",
    "request_buffering": "proxy_request_buffering",
    "gzip": "compress encode compression",
    "cache": "proxy_cache caching",
}
_OTHER_WORDS: Final[Mapping[type[Table], Mapping[str, str]]] = {
    # a right key, or a sentence: the words that other tools have for it
    Document: {
        "apps": "app application applications service services program programs processes",
        "sites": "site server servers vhost vhosts virtual_hosts domains hosts",
        "upstreams": "upstream backend backends pools",
        "streams": "stream tcp udp listeners ports entrypoints layer4",
        "tls": "ssl",
        "edge": "nginx http global listen options",
        "machines": "nodes cluster members",
        "Portico does not deploy to other machines": "deploy",
        "write a site with a folder": "static",
    },
    App: {
        "script": "exec file",
        "command": "cmd exec_start start run app_start_command",
        "interpreter": "exec_interpreter",
        "interpreter_args": "node_args",
        "cwd": "directory dir working_dir working_directory chdir",
        "env": "environment",
        "env_file": "environment_file envfile dotenv",
        "instances": "workers replicas processes numprocs numprocesses scale count copies",
        "set only instances": "exec_mode",
        "instance_env": "instance_var",
        "port": "listen ports",
        "health": "healthcheck health_check check checks readiness liveness probe",
        "after": "depends_on requires wants needs wait_for dependencies start_after",
        "slow_start": "slowstart warmup warm_up ramp ramp_up",
        "user": "uid username",
        "group": "gid",
        "autorestart": "restart respawn",
        "backoff": "restart_delay exp_backoff_restart_delay restart_sec",
        "max_restarts": "startretries max_retry start_limit_burst",
        "min_uptime": "startsecs",
        "ready_timeout": "listen_timeout start_timeout startup_timeout",
        "stop_signal": "kill_signal stopsignal",
        "stop_timeout": "kill_timeout graceful_timeout stopwaitsecs timeout_stop_sec",
        "stop_exit_codes": "exitcodes exit_codes success_exit_status",
        "logs.stdout": "out_file out output out_log stdout stdout_logfile",
        "logs.stderr": "error_file error err err_file err_log stderr stderr_logfile",
        "logs": "log log_file",
        "max_memory": "max_memory_restart memory_limit memory_max memory_high",
        "max_age": "max_lifetime runtime_max_sec",
        "watch": "watch_files autoreload auto_reload reload_on_change",
        "ignore_watch": "watch_ignore watch_exclude ignore_watched",
        "restart_schedule": "cron_restart",
        "schedule": "cron crontab timer on_calendar every",
        "tz": "timezone time_zone cron_timezone",
        "the table's name is the app's name: [apps.NAME]": "name",
        'a domain is the name of a site: [sites."NAME"]': "server_name domain domains host",
        **_BALANCE,
        "balance": "lb_policy load_balancing lb method algorithm strategy",
    },
    Check: {
        "path": "url uri endpoint http http_get",
        "command": "cmd exec test script",
        "status": "code codes statuses expect_status expected_status",
        "body": "match expect_body contains",
        "headers": "header request_headers http_headers",
        "interval": "every period period_seconds inter",
        "timeout": "timeout_seconds",
        "rise": "passes success_threshold healthy_threshold successes",
        "fall": "fails failure_threshold unhealthy_threshold failures retries max_fails",
        "grace": "start_period initial_delay initial_delay_seconds delay",
    },
    Upstream: {
        "servers": "server peers members backends targets",
        "tls_name": "proxy_ssl_name sni",
        "tls_verify": "proxy_ssl_verify",
        "tls_ca": "proxy_ssl_trusted_certificate ca",
        "tls": "ssl https",
        "Portico sets it automatically": "zone resolver resolve",
        "nginx has it only in its commercial build": "queue slow_start health_check state ntlm",
        "keepalive": "keepalive_connections",
        **_BALANCE,
        "balance": "lb_policy load_balancing lb method algorithm strategy",
    },
    Server: {"address": "server host url target", "max_conns": "maxconn max_connections"},
    Site: {
        **_SERVING_WORDS,
        "aliases": "server_name server_names names domain domains host hosts",
        "certificate": "ssl_certificate cert tls_certificate",
        "key": "ssl_certificate_key private_key tls_key",
        "https": "ssl",
        "the ports are http and https in [edge]": "listen port ports",
        "routes": "location locations route paths handle",
        "hsts": "strict_transport_security",
        "client_certificates": "mtls client_auth ssl_client_certificate client_ca",
        "client_certificates.verify": "ssl_verify_client",
        "real_ip.trust": "set_real_ip_from trusted_proxies",
        "real_ip.header": "real_ip_header",
        "error_pages": "error_page",
        "default": "default_server",
        "Portico enables it if nginx supports it": "http2",
        "it is a key of [edge]: http3 = true": "quic",
    },
    Route: {**_SERVING_WORDS, "match": "matcher matchers"},
    Match: {
        "method": "methods limit_except",
        "header": "headers",
        "cookie": "cookies",
        "query": "args arg arguments parameters params query_param",
    },
    Stream: {
        "app": "proxy_pass pass to target backend service",
        "upstream": "servers server",
        'the port is the name of a stream: [streams."5432"]': "listen port",
        "proxy_timeout": "timeout idle_timeout timeout_client timeout_server",
        "proxy_connect_timeout": "connect_timeout timeout_connect",
        **_BALANCE,
        "balance": "lb_policy load_balancing lb method algorithm strategy",
    },
    Folder: {"path": "root alias folder dir directory", "listing": "autoindex browse"},
    Auth: {
        "url": "uri address to server",
        "request_headers": "copy_headers auth_response_headers response_headers",
        "sign_in": "signin login error_page redirect",
        "timeout": "proxy_read_timeout",
    },
    Redirect: {"to": "url location target return", "status": "code"},
    Machine: {"address": "host ip url server", "labels": "label tags roles"},
    Edge: {
        "http": "listen port http_port",
        "https": "https_port ssl_port",
        "http3": "quic h3",
        "bind": "address addresses host ip",
        "workers": "worker_processes processes",
        "shutdown_timeout": "worker_shutdown_timeout",
        "access_log_format": "log_format",
        "nginx": "binary program path",
    },
    Tls: {
        "certificate": "ssl_certificate cert",
        "key": "ssl_certificate_key private_key",
        "Portico follows Mozilla's intermediate profile": "protocols ssl_protocols ciphers "
        "ssl_ciphers min_version",
    },
}
