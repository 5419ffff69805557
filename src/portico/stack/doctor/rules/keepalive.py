"""Connections that nginx keeps open to programs."""

from __future__ import annotations

from collections.abc import Iterator

from portico.stack.doctor.proxied_programs import is_loopback, node_ports
from portico.stack.doctor.rule import Example, Facts, Fault, nginx_example, place_of, rule
from portico.stack.doctor.tree import seconds

_NODE = """\
{"apps": [{"name": "web", "script": "index.js", "env": {"PORT": 3000}}]}
"""


@rule(
    "upstream-without-keepalive",
    "warning",
    "An upstream has no `keepalive`",
    why="Before 1.29.7, nginx then opens a connection to the program for each request, and closes "
    "it afterwards. Measured with four Node processes: more than twice of nginx's processor time "
    "a request, and a third of the requests/s (docs/benchmarks.md).",
    fix="Write `keepalive 32;` after the method, and `proxy_http_version 1.1;` with "
    '`proxy_set_header Connection "";` where it is used.',
    example=nginx_example(
        """\
upstream app {
    server 127.0.0.1:3000;
    server 127.0.0.1:3001;
}
""",
        """\
upstream app {
    server 127.0.0.1:3000;
    server 127.0.0.1:3001;
    keepalive 32;
}
""",
    ),
)
def without_keepalive(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 29, 7) is False:
        return
    protocols = ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass")
    others = {line.args[0] for _, line in facts.nginx.lines_named(*protocols)}
    for upstream in facts.nginx.upstreams:
        is_http = upstream.key not in others
        if is_http and not upstream.first("keepalive") and not upstream.has_unread():
            yield place_of(upstream.line), f"upstream {upstream.key} has no keepalive"


@rule(
    "keepalive-without-http-1-1",
    "warning",
    "An upstream has `keepalive`, and requests to it cannot use it",
    why="Before nginx 1.29.7 requests are sent with HTTP/1.0 and `Connection: close` unless two "
    "lines say otherwise. Without both, `keepalive` has no effect, and each request has a "
    "connection of its own: about a third of the requests/s (docs/benchmarks.md).",
    fix='Write `proxy_http_version 1.1;` and `proxy_set_header Connection "";` in the same '
    "level as the other `proxy_set_header` lines.",
    example=nginx_example(
        """\
upstream app {
    server 127.0.0.1:3000;
    keepalive 32;
}
server {
    listen 80;
    location / {
        proxy_pass http://app;
    }
}
""",
        """\
upstream app {
    server 127.0.0.1:3000;
    keepalive 32;
}
server {
    listen 80;
    location / {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_pass http://app;
    }
}
""",
    ),
)
def keepalive_unused(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 29, 7) is False:
        return
    for each in facts.nginx.passes:
        kept = each.upstream.first("keepalive") if each.upstream else None
        if kept is None or kept.args == ("0",) or each.line.name != "proxy_pass":
            continue
        unknown = any(map(each.block.may_have, ("proxy_http_version", "proxy_set_header")))
        headers = [line.args[0].lower() for line in each.block.inherited_lines("proxy_set_header")]
        missing = [] if each.block.value("proxy_http_version") in {"1.1", "2"} else ["HTTP/1.1"]
        missing += [] if "connection" in headers else ["an empty Connection header"]
        if missing and not unknown:
            yield (
                place_of(each.line),
                f"upstream {each.host} has keepalive, but {_enumerate(missing)} not set",
            )


def _enumerate(words: list[str]) -> str:
    return " and ".join(words) + (" is" if len(words) == 1 else " are")


@rule(
    "keepalive-before-method",
    "warning",
    "`keepalive` stands before the balancing method",
    why="Before nginx 1.29.7 the method replaces it: nginx only warns `load balancing method "
    "redefined`, and keeps no connection open.",
    fix="Write `keepalive` after the method.",
    example=nginx_example(
        """\
upstream app {
    keepalive 32;
    least_conn;
    server 127.0.0.1:3000;
}
""",
        """\
upstream app {
    least_conn;
    server 127.0.0.1:3000;
    keepalive 32;
}
""",
    ),
)
def keepalive_first(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 29, 7) is False:
        return
    for upstream in facts.nginx.upstreams:
        for method in upstream.methods:
            for kept in upstream.all("keepalive"):
                if upstream.lines.index(kept) < upstream.lines.index(method):
                    yield place_of(kept), f"keepalive stands before {method.name}"


@rule(
    "keepalive-race",
    "warning",
    "nginx keeps idle connections longer than the program does",
    why="Node and uvicorn close a connection that was idle for 5 seconds, nginx keeps it for 60. "
    "A request that is sent while the program closes gets 502; a POST is not repeated.",
    fix="Write `keepalive_timeout 4s;` in the upstream, or raise the program's own "
    "(`server.keepAliveTimeout` in Node) above 60 seconds.",
    example=Example(
        {
            "ecosystem.config.json": _NODE,
            "site.conf": "upstream app {\n    server 127.0.0.1:3000;\n    keepalive 32;\n}\n",
        },
        {
            "ecosystem.config.json": _NODE,
            "site.conf": "upstream app {\n    server 127.0.0.1:3000;\n    keepalive 32;\n"
            "    keepalive_timeout 4s;\n}\n",
        },
    ),
)
def keepalive_race(facts: Facts) -> Iterator[Fault]:
    nodes = node_ports(facts)
    for upstream in facts.nginx.upstreams:
        kept = upstream.first("keepalive")
        of_node = any(is_loopback(each.host) and each.port in nodes for each in upstream.peers)
        if kept is None or kept.args == ("0",) or not of_node or upstream.has_unread():
            continue
        timeout = upstream.first("keepalive_timeout")
        length = seconds(timeout.args[0]) if timeout and timeout.args else 60
        if length is not None and length >= 5:  # noqa: PLR2004 - Node's keepAliveTimeout
            yield (
                place_of(timeout or kept),
                (
                    f"upstream {upstream.key} keeps idle connections for {length:g} s, its Node "
                    "processes for 5 s"
                ),
            )
