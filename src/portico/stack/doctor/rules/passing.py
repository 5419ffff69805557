"""Where requests are passed to: names, addresses and paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.proxied_programs import is_loopback
from portico.stack.doctor.rule import Facts, Fault, nginx_example, place_of, rule, server_example
from portico.stack.doctor.tree import Block, split_address

_HEADERS: Final = (
    "    proxy_set_header Host $host;\n    proxy_set_header X-Forwarded-For $remote_addr;\n"
    "    proxy_set_header X-Forwarded-Proto $scheme;\n"
)


def _location(path: str, target: str, more: str = "") -> str:
    return f"location {path} {{\n{_HEADERS}{more}    proxy_pass {target};\n}}\n"


def _is_name(host: str) -> bool:
    """Whether it is looked up in DNS."""
    known = is_loopback(host) or host.startswith(("[", "unix:")) or "$" in host
    return not known and re.fullmatch(r"[\d.]+", host) is None


@rule(
    "name-resolved-once",
    "advice",
    "The name of a server is looked up at the start and never again",
    why="When the address behind it changes (cloud load balancers, containers), requests go to "
    "the old one until nginx is reloaded; when it cannot be looked up, nginx does not start.",
    fix="Write `resolve` after the server, with `zone` and `resolver` in the upstream (nginx "
    "1.27.3 and later).",
    example=nginx_example(
        "upstream app {\n    server app.example.net:3000;\n}\n",
        "upstream app {\n    zone app 64k;\n    resolver 127.0.0.53;\n    server "
        "app.example.net:3000 resolve;\n}\n",
    ),
)
def resolved_once(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for peer in upstream.peers:
            if _is_name(peer.host) and not peer.has("resolve"):
                yield place_of(peer.line), f"{peer.host} is looked up once"
    for each in facts.nginx.passes:
        host = split_address(each.host)[0]
        is_known = "." in host or facts.nginx.is_whole
        if each.upstream is None and is_known and _is_name(host):
            yield place_of(each.line), f"{host} is looked up once"


@rule(
    "resolve-without-zone",
    "error",
    "`resolve` without `zone` or `resolver`",
    why="nginx refuses to start: it needs a shared zone for the addresses, and a server to ask.",
    fix="Write `zone NAME 64k;` and `resolver 127.0.0.53;` in the upstream.",
    example=nginx_example(
        "upstream app {\n    server app.example.net:3000 resolve;\n}\n",
        "upstream app {\n    zone app 64k;\n    resolver 127.0.0.53;\n    server "
        "app.example.net:3000 resolve;\n}\n",
    ),
)
def without_zone(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for peer in upstream.peers:
            missing = [] if upstream.first("zone") else ["zone"]
            asks = upstream.inherited_lines("resolver") or not facts.nginx.is_whole
            missing += [] if asks or upstream.may_have("resolver") else ["resolver"]
            if peer.has("resolve") and missing and not upstream.has_unread():
                yield place_of(peer.line), f"the upstream has no {' and no '.join(missing)}"


@rule(
    "variable-without-resolver",
    "error",
    "`proxy_pass` with a variable and no `resolver`",
    why="A name in a variable is looked up for each request; without a `resolver` each is "
    "answered with 502.",
    fix="Write `resolver 127.0.0.53;`, or name an upstream in the variable.",
    example=server_example(
        "location / {\n    set $to app.example.net;\n"
        + _HEADERS
        + "    proxy_pass http://$to;\n}\n",
        "resolver 127.0.0.53;\nlocation / {\n    set $to app.example.net;\n"
        + _HEADERS
        + "    proxy_pass http://$to;\n}\n",
    ),
)
def without_resolver(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        found = re.fullmatch(r"\$\{?(\w+)\}?(:\d+)?", each.host)
        if not found or each.block.inherited_lines("resolver") or each.block.may_have("resolver"):
            continue
        names = [v for v in _values(each.block, found[1], facts) if _must_be_looked_up(v, facts)]
        if names and (facts.nginx.is_whole or each.block.enclosing_block("server")):
            yield place_of(each.line), f"{names[0]} cannot be looked up: no resolver is set"


def _values(block: Block, variable: str, facts: Facts) -> list[str]:
    """What is written for it, in `set` and `map`."""
    set_here = (e for level in block.levels() for inner in level.walk() for e in inner.all("set"))
    values = [e.args[1] for e in set_here if e.args[:1] == (f"${variable}",) and len(e.args) > 1]
    for each in facts.nginx.http.blocks:
        if each.name == "map" and each.line.args[1:] == (f"${variable}",):
            values += [line.args[0] for line in each.lines if line.args]
    return values


def _must_be_looked_up(value: str, facts: Facts) -> bool:
    host = re.sub(r"^\w+://", "", value).partition("/")[0]
    name = split_address(host)[0]
    is_upstream = any(each.key == host for each in facts.nginx.upstreams)
    return "." in name and _is_name(name) and not is_upstream and not name.startswith("$")


@rule(
    "path-joined-wrongly",
    "warning",
    "A location and its `proxy_pass` do not agree on the slash",
    why="nginx replaces the location's path by that of `proxy_pass`, letter by letter: "
    "`location /api` with `http://app/` sends `/api/x` as `//x`; `location /api/` with "
    "`http://app/v1` sends it as `/v1x`.",
    fix="End both with a slash, or leave the path of `proxy_pass` out.",
    example=server_example(
        _location("/api", "http://127.0.0.1:3000/"), _location("/api/", "http://127.0.0.1:3000/")
    ),
)
def joined_wrongly(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        args = each.block.line.args
        is_prefix = each.block.name == "location" and args and args[0] not in {"=", "~", "~*"}
        path = args[-1] if is_prefix else ""
        if not each.uri or not path or path.startswith("@") or "$" in each.line.args[0]:
            continue
        if each.block.all("rewrite"):
            continue
        if path.endswith("/") and not each.uri.endswith(("/", "=")):
            yield place_of(each.line), f"{path}x is sent as {each.uri}x"
        elif not path.endswith("/") and each.uri.endswith("/"):
            yield place_of(each.line), f"{path}/x is sent as {each.uri}/x"


@rule(
    "path-escaped-twice",
    "advice",
    "The raw address is escaped a second time",
    why="After `rewrite ^ $request_uri` nginx takes the raw address for a decoded one, and "
    "escapes each `%` again: `/a%20b` reaches the program as `/a%2520b`.",
    fix="Leave the path of `proxy_pass` out: without one nginx sends the address as it came.",
    example=server_example(
        _location("/", "http://127.0.0.1:3000", "    rewrite ^ $request_uri break;\n"),
        _location("/", "http://127.0.0.1:3000"),
    ),
)
def escaped_twice(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        raw = [r for r in each.block.all("rewrite") if r.args[1:2] == ("$request_uri",)]
        if raw and "$" not in each.line.args[0]:
            yield place_of(raw[0]), "the address is escaped twice"


@rule(
    "files-before-program",
    "warning",
    "`try_files` and `proxy_pass` in one location",
    why="nginx passes every request to the program, also for files that exist: `try_files` only "
    "changes the path.",
    fix="Pass from a named location: `try_files $uri @app;`.",
    example=server_example(
        _location("/", "http://127.0.0.1:3000", "    try_files $uri $uri/ =404;\n"),
        "location / {\n    root /srv;\n    try_files $uri @app;\n}\n"
        + _location("@app", "http://127.0.0.1:3000"),
    ),
)
def files_first(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        tried = each.block.all("try_files")
        if tried and each.block.name == "location":
            yield place_of(tried[0]), "files are not served: the location passes to a program"


@rule(
    "localhost-twice",
    "advice",
    "`localhost` is two addresses",
    why="nginx takes 127.0.0.1 and ::1 as two servers: each process counts twice, and where it "
    "listens on one of them only, half of the first attempts are refused.",
    fix="Write 127.0.0.1.",
    example=nginx_example(
        "upstream app {\n    server localhost:3000;\n}\n",
        "upstream app {\n    server 127.0.0.1:3000;\n}\n",
    ),
)
def localhost_twice(facts: Facts) -> Iterator[Fault]:
    for upstream in facts.nginx.upstreams:
        for peer in upstream.peers:
            if peer.host == "localhost":
                yield place_of(peer.line), f"{peer.address} is 127.0.0.1 and [::1]"
                break


@rule(
    "path-in-proxy-pass",
    "hint",
    "`proxy_pass` with a path",
    why="nginx decodes the address, replaces the location's path and encodes it again: `%2F` "
    "becomes a slash, and two slashes one.",
    fix="Leave it out where the program can have the path as it came.",
    example=server_example(
        _location("/a/", "http://127.0.0.1:3000/b/"), _location("/a/", "http://127.0.0.1:3000")
    ),
)
def path_given(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        if each.uri and "$" not in each.line.args[0]:
            yield place_of(each.line), f"the path is rewritten to {each.uri}"
