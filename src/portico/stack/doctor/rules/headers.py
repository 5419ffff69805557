"""What programs are sent, and what clients are answered with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.doctor.proxied_programs import is_loopback
from portico.stack.doctor.rule import Facts, Fault, nginx_example, place_of, rule, server_example
from portico.stack.doctor.tree import Block, Pass, split_address

_LOCATION: Final = "location / {\n    proxy_pass http://127.0.0.1:3000;\n%s}\n"
_UPSTREAM: Final = (
    "upstream app {\n    server 127.0.0.1:3000;\n    keepalive 8;\n}\n"
    "server {\nlisten 80;\nlocation / {\n    proxy_http_version 1.1;\n"
)
_HOST: Final = "    proxy_set_header Host $host;\n"
_FORWARDED_FOR: Final = "    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
_HALF_A_YEAR: Final = 15768000
_PROTO: Final = "    proxy_set_header X-Forwarded-Proto $scheme;\n"


def _to_programs(facts: Facts) -> Iterator[Pass]:
    """Requests to programs of one's own; another site of the internet wants its own name."""
    for each in facts.nginx.passes:
        host = split_address(each.host)[0]
        is_own = each.upstream or is_loopback(host) or host.startswith("unix:")
        if is_own and each.line.name == "proxy_pass":
            yield each


def _headers(block: Block, directive: str = "proxy_set_header") -> dict[str, Line]:
    return {line.args[0].lower(): line for line in block.inherited_lines(directive) if line.args}


def _without_header(facts: Facts, *names: str) -> Iterator[Pass]:
    for each in _to_programs(facts):
        is_set = any(name in _headers(each.block) for name in names)
        if not is_set and not each.block.may_have("proxy_set_header"):
            yield each


@rule(
    "host-not-passed",
    "warning",
    "The program is not sent the name that the client asked for",
    why="Without `proxy_set_header Host` nginx sends the name of the upstream, or the address. "
    "Links, redirects, cookies and the choice of the site by name are wrong in the program.",
    fix="Write `proxy_set_header Host $host;`.",
    example=server_example(_LOCATION % "", _LOCATION % (_HOST + _FORWARDED_FOR + _PROTO)),
)
def host_not_passed(facts: Facts) -> Iterator[Fault]:
    for each in _without_header(facts, "host"):
        yield place_of(each.line), f"the program is sent `Host: {each.host}`"


@rule(
    "client-address-not-passed",
    "warning",
    "The program is not sent the address of the client",
    why="For the program all requests come from 127.0.0.1: its log, its limits and its bans treat "
    "all clients as one.",
    fix="Write `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`, and let the "
    "program trust it (`app.set('trust proxy', 'loopback')` in Express).",
    example=server_example(_LOCATION % _HOST, _LOCATION % (_HOST + _FORWARDED_FOR + _PROTO)),
)
def address_not_passed(facts: Facts) -> Iterator[Fault]:
    names = ("x-forwarded-for", "x-real-ip", "forwarded", "x-client-ip", "true-client-ip")
    for each in _without_header(facts, *names):
        yield place_of(each.line), "X-Forwarded-For is not set"


@rule(
    "scheme-not-passed",
    "warning",
    "The program is not sent whether the client used HTTPS",
    why="The program builds links and redirects with http://, and does not set secure cookies; "
    "one that redirects to HTTPS by itself redirects without end.",
    fix="Write `proxy_set_header X-Forwarded-Proto $scheme;`.",
    example=server_example(_LOCATION % _HOST, _LOCATION % (_HOST + _FORWARDED_FOR + _PROTO)),
)
def scheme_not_passed(facts: Facts) -> Iterator[Fault]:
    names = ("x-forwarded-proto", "forwarded", "x-forwarded-ssl", "x-scheme", "x-forwarded-scheme")
    for each in _without_header(facts, *names):
        yield place_of(each.line), "X-Forwarded-Proto is not set"


_PROTECTIVE_HEADERS: Final = frozenset(
    {
        "strict-transport-security",
        "content-security-policy",
        "x-frame-options",
        "x-content-type-options",
        "referrer-policy",
        "permissions-policy",
        "cross-origin-opener-policy",
        "cross-origin-embedder-policy",
        "cross-origin-resource-policy",
        "x-xss-protection",
    }
)
"""Headers that a site has on every page or not at all; others are often meant for one level."""


@rule(
    "headers-to-program-lost",
    "warning",
    "`proxy_set_header` at an inner level removes those of the outer one",
    why="A level that sets one header inherits none: the Host and X-Forwarded-For of the server "
    "are not sent from there.",
    fix="Repeat the outer lines, or put all of them into a file and include it in both levels.",
    example=server_example(
        "proxy_set_header Host $host;\nlocation / {\n    proxy_set_header X-Forwarded-For "
        "$remote_addr;\n    proxy_set_header X-Forwarded-Proto $scheme;\n"
        "    proxy_pass http://127.0.0.1:3000;\n}\n",
        "location / {\n    proxy_set_header Host $host;\n    proxy_set_header X-Forwarded-For "
        "$remote_addr;\n    proxy_set_header X-Forwarded-Proto $scheme;\n"
        "    proxy_pass http://127.0.0.1:3000;\n}\n",
    ),
)
def program_headers_lost(facts: Facts) -> Iterator[Fault]:
    to_own = {id(level) for each in _to_programs(facts) for level in each.block.levels()}
    yield from _lost_headers(block for block in facts.nginx.blocks if id(block) in to_own)


@rule(
    "headers-to-client-lost",
    "warning",
    "`add_header` at an inner level removes those of the outer one",
    why="A level with one `add_header` inherits none: Strict-Transport-Security and the like are "
    "missing for all that this location serves.",
    fix="Repeat the outer lines, or put all of them into a file and include it in both levels; "
    "from nginx 1.29.3 on `add_header_inherit merge;`.",
    example=server_example(
        "add_header X-Frame-Options DENY always;\nlocation /assets/ {\n    add_header "
        'Cache-Control "max-age=3600";\n    root /srv/www;\n}\n',
        "add_header X-Frame-Options DENY always;\nlocation /assets/ {\n    add_header "
        'X-Frame-Options DENY always;\n    add_header Cache-Control "max-age=3600";\n'
        "    root /srv/www;\n}\n",
    ),
)
def client_headers_lost(facts: Facts) -> Iterator[Fault]:
    yield from _lost_headers(facts.nginx.blocks, "add_header")


def _lost_headers(blocks: Iterable[Block], directive: str = "proxy_set_header") -> Iterator[Fault]:
    for block in blocks:
        own = {line.args[0].lower(): line for line in block.all(directive) if line.args}
        if not own or block.parent is None or block.has_unread(directive):
            continue
        if block.value(f"{directive}_inherit") == "merge":
            continue
        outer = _headers(block.parent, directive)
        lost = [
            outer[name].args[0]
            for name in outer
            if name not in own and (directive == "proxy_set_header" or name in _PROTECTIVE_HEADERS)
        ]
        if lost:
            first = min(own.values(), key=lambda line: line.number)
            yield place_of(first), f"{', '.join(lost)} of the outer level is not sent from here on"


@rule(
    "websocket-headers",
    "error",
    "A WebSocket location without what an upgrade takes",
    why="nginx does not pass `Upgrade` and `Connection` on by itself: the handshake fails, and "
    "Socket.IO falls back to polling, which without sticky sessions fails as well.",
    fix="Write `proxy_http_version 1.1;`, `proxy_set_header Upgrade $http_upgrade;` and "
    '`proxy_set_header Connection "upgrade";`.',
    example=server_example(
        "location /socket.io/ {\n    proxy_pass http://127.0.0.1:3000;\n}\n",
        "location /socket.io/ {\n    proxy_http_version 1.1;\n    proxy_set_header Upgrade "
        '$http_upgrade;\n    proxy_set_header Connection "upgrade";\n    proxy_set_header Host '
        "$host;\n    proxy_set_header X-Forwarded-For $remote_addr;\n    proxy_set_header "
        "X-Forwarded-Proto $scheme;\n    proxy_pass http://127.0.0.1:3000;\n}\n",
    ),
)
def websocket_headers(facts: Facts) -> Iterator[Fault]:
    for each in _to_programs(facts):
        if any(map(each.block.may_have, ("proxy_set_header", "proxy_http_version"))):
            continue
        path = each.location.line.args[-1:] or ("",)
        is_meant = re.search(r"/(socket\.io|sockjs-node|wss?|websocket|cable)/?$", path[0])
        headers = _headers(each.block)
        missing = [n for n in ("Upgrade", "Connection") if n.lower() not in headers]
        missing += [] if _speaks_1_1(each, facts) else ["HTTP/1.1"]
        if missing and (is_meant or "upgrade" in headers):
            yield (
                place_of(each.line),
                f"a WebSocket cannot be opened: {', '.join(missing)} missing",
            )


def _speaks_1_1(each: Pass, facts: Facts) -> bool:
    version = each.block.value("proxy_http_version")
    return version == "1.1" or (not version and facts.machine.nginx_before(1, 29, 7) is False)


@rule(
    "connection-upgrade-for-all",
    "advice",
    "`Connection: upgrade` is sent with every request",
    why="With a fixed value nginx cannot keep connections to the upstream open: `keepalive` has "
    "no effect for this location.",
    fix='Use a map: `map $http_upgrade $connection_upgrade { default upgrade; "" ""; }` and '
    "`proxy_set_header Connection $connection_upgrade;`.",
    example=nginx_example(
        _UPSTREAM + "    proxy_set_header Connection upgrade;\n    proxy_pass http://app;\n}\n}\n",
        _UPSTREAM + '    proxy_set_header Connection "";\n    proxy_pass http://app;\n}\n}\n',
    ),
)
def upgrade_for_all(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        line = _headers(each.block).get("connection")
        fixed = line and line.args[1:] and line.args[1].lower() in {"upgrade", "close"}
        kept = each.upstream and each.upstream.first("keepalive")
        if line and fixed and kept and each.location.line.args[-1:] == ("/",):
            yield place_of(line), f"every request is sent with `Connection: {line.args[1]}`"


@rule(
    "host-from-request",
    "advice",
    "The program is sent the Host header as the client wrote it",
    why="`$http_host` is what the client sent, also where the request line names another host: "
    "links in mails (password resets) can be made to lead elsewhere.",
    fix="Write `proxy_set_header Host $host;`.",
    example=server_example(
        _LOCATION % "    proxy_set_header Host $http_host;\n",
        _LOCATION % (_HOST + _FORWARDED_FOR + _PROTO),
    ),
)
def host_from_request(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("proxy_set_header"):
        name, value = (*line.args, "", "")[:2]
        if name.lower() == "host" and (value == "$http_host" or value.startswith("$arg_")):
            yield place_of(line), f"Host is {value}"


@rule(
    "buffering-off-for-all",
    "warning",
    "`proxy_buffering off` for a whole site",
    why="The program is busy with a request for as long as the client takes to read the answer: a "
    "few clients with slow connections hold all of it.",
    fix="Switch it off only in the location of event streams, or let the program send "
    "`X-Accel-Buffering: no` with them.",
    example=server_example(
        "proxy_buffering off;\n",
        "location /events {\n    proxy_buffering off;\n    root /srv;\n}\n",
    ),
)
def buffering_off(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("proxy_buffering"):
        if line.args == ("off",) and block.name in {"http", "server"}:
            yield place_of(line), f"answers are not buffered anywhere in this {block.name}"


@rule(
    "content-type-added",
    "warning",
    "Content-Type is set by `add_header`",
    why="The answer has two: nginx's own and this one. Browsers use either.",
    fix="Use `default_type`, or `types`; for a program's answers `proxy_hide_header "
    "Content-Type;` first.",
    example=server_example(
        "location = /version {\n    add_header Content-Type application/json;\n"
        "    return 200 '{}';\n}\n",
        "location = /version {\n    default_type application/json;\n    return 200 '{}';\n}\n",
    ),
)
def content_type_added(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("add_header"):
        hidden = [each.args[0].lower() for each in block.inherited_lines("proxy_hide_header")]
        if line.args and line.args[0].lower() == "content-type" and "content-type" not in hidden:
            yield place_of(line), "Content-Type is added, and not replaced"


@rule(
    "header-over-lines",
    "error",
    "A header whose value has a line break",
    why="A header of more than one line has not been allowed since 2014 (RFC 9112 5.2); over "
    "HTTP/2 the whole answer is refused.",
    fix="Write the value on one line.",
    example=server_example(
        "add_header Content-Security-Policy \"default-src 'self';\n    img-src *\";\n",
        "add_header Content-Security-Policy \"default-src 'self'; img-src *\";\n",
    ),
)
def header_over_lines(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("add_header", "more_set_headers", "proxy_set_header"):
        if any("\n" in arg for arg in line.args):
            yield place_of(line), f"the value of {line.args[0].split(':')[0]} has a line break"


@rule(
    "hsts-missing",
    "hint",
    "A site of static files over HTTPS without Strict-Transport-Security",
    why="A browser that is given http:// by an old link asks over plain HTTP first, where an "
    "attacker in the network answers.",
    fix='Write `add_header Strict-Transport-Security "max-age=31536000" always;` once all '
    "is served over HTTPS.",
    example=server_example(
        "listen 443 ssl;\nroot /srv/www;\n",
        'listen 443 ssl;\nroot /srv/www;\nadd_header Strict-Transport-Security "max-age=31536000"'
        " always;\n",
    ),
)
def hsts_missing(facts: Facts) -> Iterator[Fault]:
    passing = {id(each.block.enclosing_block("server")) for each in facts.nginx.passes}
    for server in facts.nginx.servers:
        headers = " ".join(_headers(server, "add_header")) + server.value("more_set_headers")
        unknown = server.may_have("add_header") or server.rejects or id(server) in passing
        if server.tls and not unknown and "strict-transport-security" not in headers.lower():
            yield place_of(server.line), "Strict-Transport-Security is not sent"


@rule(
    "hsts-short",
    "advice",
    "Strict-Transport-Security for less than half a year",
    why="Browsers forget it between two visits; the list that browsers ship takes a year.",
    fix="Raise `max-age` to 31536000.",
    example=server_example(
        'add_header Strict-Transport-Security "max-age=86400" always;\n',
        'add_header Strict-Transport-Security "max-age=31536000" always;\n',
    ),
)
def hsts_short(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("add_header"):
        text = " ".join(line.args).lower()
        age = re.search(r"max-age=\"?(\d+)", text)
        if text.startswith("strict-transport-security") and age and 0 < int(age[1]) < _HALF_A_YEAR:
            yield place_of(line), f"max-age is {int(age[1]) // 86400} days"
