"""Upstreams: which servers get requests, and by which method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from portico.core.model.nginx_lines import Line
from portico.stack.doctor.machine import Listener, Machine
from portico.stack.doctor.proxied_programs import is_loopback
from portico.stack.doctor.rule import Example, Facts, Fault, nginx_example, place_of, rule
from portico.stack.doctor.tree import Upstream


@rule(
    "ip-hash",
    "advice",
    "`ip_hash` spreads by the network of the client",
    why="All clients of one /24 network, of one office or one mobile carrier, reach the same "
    "process; a load from one address uses one of four. When a server is added, removed or "
    "restarted, clients move, and what the process held for them is lost.",
    fix="Keep sessions outside the process (a database, Redis) and use `least_conn`; or `hash "
    "$remote_addr consistent;`, or a sticky cookie.",
    example=nginx_example(
        """\
upstream app {
    ip_hash;
    server 127.0.0.1:3000;
    server 127.0.0.1:3001;
    keepalive 32;
}
""",
        """\
upstream app {
    least_conn;
    server 127.0.0.1:3000;
    server 127.0.0.1:3001;
    keepalive 32;
}
""",
    ),
)
def ip_hash(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for line in upstream.all("ip_hash"):
            if len(upstream.peers) > 1:
                yield place_of(line), f"upstream {upstream.key} spreads by the client's network"


@rule(
    "ip-hash-behind-proxy",
    "warning",
    "Balancing by client address behind another proxy, without its real address",
    why="nginx sees the address of the proxy before it and not that of the client: all requests "
    "go to one or a few processes.",
    fix="Name the proxy with `set_real_ip_from` and choose its header with `real_ip_header`.",
    example=nginx_example(
        """\
upstream app {
    ip_hash;
    server 127.0.0.1:3000;
    server 127.0.0.1:3001;
}
server {
    listen 80 proxy_protocol;
    location / {
        proxy_pass http://app;
    }
}
""",
        """\
upstream app {
    ip_hash;
    server 127.0.0.1:3000;
    server 127.0.0.1:3001;
}
server {
    listen 80 proxy_protocol;
    set_real_ip_from 10.0.0.0/8;
    real_ip_header proxy_protocol;
    location / {
        proxy_pass http://app;
    }
}
""",
    ),
)
def behind_proxy(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        server = each.block.enclosing_block("server")
        by_address = each.upstream and _by_address(each.upstream)
        listens = server.all("listen") if server else []
        is_behind = any("proxy_protocol" in line.args for line in listens)
        known = each.block.inherited_lines("set_real_ip_from") or each.block.may_have(
            "set_real_ip_from"
        )
        if by_address and is_behind and not known:
            yield place_of(by_address), "the proxy's address is hashed, and not the client's"


def _by_address(upstream: Upstream) -> Line | None:
    return next(
        (
            line
            for line in upstream.methods
            if line.name == "ip_hash"
            or line.args[:1] in {("$remote_addr",), ("$binary_remote_addr",)}
        ),
        None,
    )


@rule(
    "backup-with-hash",
    "error",
    "A `backup` server in an upstream whose method knows none",
    why="With `hash`, `ip_hash` and `random` nginx refuses to start where `backup` follows the "
    "method, and where it stands before it the backup works only by accident of the order.",
    fix="Use `least_conn` or no method, or remove `backup`.",
    example=nginx_example(
        """\
upstream app {
    ip_hash;
    server 127.0.0.1:3000;
    server 127.0.0.1:3001 backup;
}
""",
        """\
upstream app {
    least_conn;
    server 127.0.0.1:3000;
    server 127.0.0.1:3001 backup;
}
""",
    ),
)
def backup_with_hash(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for method in upstream.all("hash", "ip_hash", "random"):
            for peer in upstream.peers:
                if peer.has("backup"):
                    yield place_of(peer.line), f"backup cannot be combined with {method.name}"


@rule(
    "method-twice",
    "warning",
    "Two balancing methods in one upstream",
    why="nginx only warns, and uses the last.",
    fix="Keep one.",
    example=nginx_example(
        "upstream app {\n    ip_hash;\n    least_conn;\n    server 127.0.0.1:3000;\n}\n",
        "upstream app {\n    least_conn;\n    server 127.0.0.1:3000;\n}\n",
    ),
)
def method_twice(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for line in upstream.methods[:-1]:
            last = upstream.methods[-1].name
            yield place_of(line), f"{line.name} has no effect: {last} follows"


@rule(
    "sticky-before-method",
    "error",
    "`sticky` stands before the balancing method",
    why="nginx only warns, and sticky sessions do not work: no cookie is set (tried with nginx "
    "1.31.3).",
    fix="Write the method first.",
    example=nginx_example(
        "upstream app {\n    sticky cookie id;\n    least_conn;\n    server 127.0.0.1:3000;\n}\n",
        "upstream app {\n    least_conn;\n    sticky cookie id;\n    server 127.0.0.1:3000;\n}\n",
    ),
)
def sticky_first(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for sticky in upstream.all("sticky"):
            for method in upstream.methods:
                if upstream.lines.index(sticky) < upstream.lines.index(method):
                    yield place_of(sticky), f"sticky has no effect: {method.name} follows"


@rule(
    "every-server-down",
    "error",
    "Every server of an upstream is `down`",
    why="nginx starts with it, and answers every request with 502.",
    fix="Remove `down` from a server that runs.",
    example=nginx_example(
        "upstream app {\n    server 127.0.0.1:3000 down;\n}\n",
        "upstream app {\n    server 127.0.0.1:3000;\n}\n",
    ),
)
def every_server_down(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        if upstream.peers and all(peer.has("down") for peer in upstream.peers):
            yield (
                place_of(upstream.line),
                f"upstream {upstream.key} has no server that is not down",
            )


@rule(
    "max-fails-on-single-server",
    "advice",
    "`max_fails` or `fail_timeout` on the only server",
    why="nginx ignores both where an upstream has one server: it is never taken out.",
    fix="Remove them, or add a second server.",
    example=nginx_example(
        "upstream app {\n    server 127.0.0.1:3000 max_fails=3 fail_timeout=30s;\n}\n",
        "upstream app {\n    server 127.0.0.1:3000;\n}\n",
    ),
)
def fails_of_single(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        if len(upstream.peers) != 1 or upstream.has_unread():
            continue
        [peer] = upstream.peers
        is_one = peer.host.startswith("unix:") or _is_address(peer.host)
        given = [k for k in ("max_fails", "fail_timeout") if peer.param(k) not in {None, "0"}]
        if given and is_one:
            yield place_of(peer.line), f"{given[0]} has no effect: it is the only server"


def _is_address(host: str) -> bool:
    return host.startswith("[") or host.replace(".", "").isdecimal()


@rule(
    "max-conns-without-zone",
    "warning",
    "`max_conns` in an upstream without a `zone`",
    why="Each worker of nginx counts for itself: with 8 workers, 8 times as many connections are "
    "allowed.",
    fix="Write `zone NAME 64k;` in the upstream.",
    example=nginx_example(
        "upstream app {\n    server 127.0.0.1:3000 max_conns=100;\n}\n",
        "upstream app {\n    zone app 64k;\n    server 127.0.0.1:3000 max_conns=100;\n}\n",
    ),
)
def conns_without_zone(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for peer in upstream.peers:
            limit = peer.param("max_conns")
            if (
                limit not in {None, "0"}
                and not upstream.first("zone")
                and not upstream.has_unread()
            ):
                yield (
                    place_of(peer.line),
                    f"max_conns={limit} is counted by each worker for itself",
                )


@rule(
    "server-twice",
    "warning",
    "The same server twice in an upstream",
    why="It gets twice as many requests, and is tried twice when it fails.",
    fix="Remove one, or say `weight=2`.",
    example=nginx_example(
        "upstream app {\n    server 127.0.0.1:3000;\n    server 127.0.0.1:3000;\n}\n",
        "upstream app {\n    server 127.0.0.1:3000;\n    server 127.0.0.1:3001;\n}\n",
    ),
)
def server_twice(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        count = Counter(peer.address for peer in upstream.peers)
        seen: set[str] = set()
        for peer in upstream.peers:
            if count[peer.address] > 1 and peer.address in seen:
                yield place_of(peer.line), f"{peer.address} is listed above already"
            seen.add(peer.address)


@rule(
    "hash-not-consistent",
    "advice",
    "`hash` without `consistent`",
    why="When one of N servers is added or removed, almost all keys move to another server "
    "instead of one in N: caches and sessions are lost.",
    fix="Write `hash KEY consistent;`.",
    example=nginx_example(
        "upstream app {\n    hash $request_uri;\n    server 127.0.0.1:3000;\n"
        "    server 127.0.0.1:3001;\n}\n",
        "upstream app {\n    hash $request_uri consistent;\n    server 127.0.0.1:3000;\n"
        "    server 127.0.0.1:3001;\n}\n",
    ),
)
def not_consistent(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for line in upstream.all("hash"):
            if "consistent" not in line.args and len(upstream.peers) > 1:
                yield (
                    place_of(line),
                    f"upstream {upstream.key} moves almost all keys when it changes",
                )


@rule(
    "post-sent-twice",
    "warning",
    "`non_idempotent` repeats requests that change something",
    why="A POST that a process had received when it failed is sent to the next one: an order is "
    "made twice.",
    fix="Remove `non_idempotent` from `proxy_next_upstream`.",
    example=nginx_example(
        "server {\n    listen 80;\n    proxy_next_upstream error timeout non_idempotent;\n}\n",
        "server {\n    listen 80;\n    proxy_next_upstream error timeout;\n}\n",
    ),
)
def post_twice(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("proxy_next_upstream"):
        if "non_idempotent" in line.args:
            yield place_of(line), "a POST may be sent to a second server"


@rule(
    "upstream-not-used",
    "hint",
    "An upstream that nothing passes to",
    why="It looks as if its servers were balanced; they get no request.",
    fix="Pass to it, or remove it.",
    example=nginx_example(
        "events {}\nhttp {\n    upstream app {\n        server 127.0.0.1:3000;\n"
        "        keepalive 32;\n    }\n    server {\n        listen 80;\n"
        "        return 404;\n    }\n}\n",
        "events {}\nhttp {\n    upstream app {\n        server 127.0.0.1:3000;\n"
        "        keepalive 32;\n    }\n    server {\n        listen 80;\n        location / {\n"
        "            proxy_pass http://app;\n        }\n    }\n}\n",
    ),
)
def upstream_not_used(facts: Facts) -> Iterator[Fault]:
    if not facts.nginx.is_whole or facts.nginx.http.has_unread():
        return
    used = " ".join(
        arg
        for block in facts.nginx.blocks
        for line in block.lines
        for arg in line.args
        if block.name != "upstream" and line.name != "upstream"
    )
    unread = any(block.has_unread() for block in facts.nginx.servers)
    for upstream in facts.nginx.upstreams:
        if upstream.key not in used and not unread:
            yield place_of(upstream.line), f"nothing passes to upstream {upstream.key}"


@rule(
    "peer-without-process",
    "error",
    "A balanced server on which nothing listens",
    why="Every request that nginx sends there is refused and sent to the next one; where all are "
    "so, clients get 502.",
    fix="Start the process, or remove the server from the upstream.",
    example=Example(
        {
            "site.conf": "upstream app {\n    server 127.0.0.1:3000;\n"
            "    server 127.0.0.1:3009;\n}\n"
        },
        {"site.conf": "upstream app {\n    server 127.0.0.1:3000;\n}\n"},
        Machine(listening={3000: Listener("node")}),
    ),
)
def without_process(facts: Facts) -> Iterator[Fault]:
    listening = facts.machine.listening
    for upstream in facts.nginx.upstreams:
        for peer in upstream.peers:
            nobody = listening is not None and peer.port not in listening
            if is_loopback(peer.host) and peer.port and nobody and not peer.has("down"):
                yield place_of(peer.line), f"nothing listens on {peer.address}"
