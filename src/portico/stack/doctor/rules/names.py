"""Which server answers which name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.lineage_paths import is_one_letter_off, lineage_of
from portico.stack.doctor.rule import Facts, Fault, nginx_example, place_of, rule
from portico.stack.doctor.tree import Listen, Server

_TLS: Final = (
    "    listen 443 ssl;\n"
    "    ssl_certificate /etc/letsencrypt/live/example.com/fullchain.pem;\n"
    "    ssl_certificate_key /etc/letsencrypt/live/example.com/privkey.pem;\n"
    "    root /srv/www;\n"
)


def _server(names: str) -> str:
    return f"server {{\n    server_name {names};\n{_TLS}}}\n"


@rule(
    "name-misspelt",
    "error",
    "A name that is one letter from the certificate's",
    why="No server has the right name: its clients are answered by the default server, which may "
    "be another site. For the wrong name browsers show a certificate error.",
    fix="Correct the name.",
    example=nginx_example(_server("exaple.com www.example.com"), _server("example.com")),
)
def name_misspelt(facts: Facts) -> Iterator[Fault]:
    served = {name for server in facts.nginx.servers for name in server.names}
    for server in facts.nginx.servers:
        known = {lineage_of(" ".join(e.args)) for e in server.inherited_lines("ssl_certificate")}
        for line in server.all("server_name"):
            for name in line.args:
                for right in sorted(filter(None, known)):
                    if right not in served and is_one_letter_off(name, right):
                        yield (
                            place_of(line),
                            f"{name} is one letter from {right}, the certificate's name",
                        )


@rule(
    "name-of-two-servers",
    "warning",
    "The same name in two servers of one port",
    why="nginx only warns (`conflicting server name … ignored`): the second server never answers.",
    fix="Remove the name from one, or join the servers.",
    example=nginx_example(
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n"
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/b;\n}\n",
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n"
        "server {\n    listen 80;\n    server_name b.example;\n    root /srv/b;\n}\n",
    ),
)
def name_of_two(facts: Facts) -> Iterator[Fault]:
    owner: dict[tuple[str, int, bool, str], Server] = {}
    for server in facts.nginx.servers:
        for listen in server.listens:
            for name in server.names or ("",):
                key = (listen.address, listen.port, listen.quic, name.lower())
                first = owner.setdefault(key, server)
                if first is not server and listen.port:
                    where = f"{first.line.file}:{first.line.number}"
                    what = name or "requests without a name"
                    yield (
                        place_of(server.line),
                        f"{what} on port {listen.port} is answered by {where}",
                    )


@rule(
    "no-default-server",
    "advice",
    "Several servers share a port, and none is the default",
    why="The first in the order of the files answers every name that no server has, also scans by "
    "address: a file that sorts before it changes which.",
    fix="Write a server with `listen 80 default_server;` and `return 444;`, for TLS with "
    "`ssl_reject_handshake on;`.",
    example=nginx_example(
        "events {}\nhttp {\n    server {\n        listen 80;\n        server_name a.example;\n"
        "        root /srv/a;\n    }\n    server {\n        listen 80;\n        server_name "
        "b.example;\n        root /srv/b;\n    }\n}\n",
        "events {}\nhttp {\n    server {\n        listen 80 default_server;\n        return 444;\n"
        "    }\n    server {\n        listen 80;\n        server_name b.example;\n        root "
        "/srv/b;\n    }\n}\n",
    ),
)
def no_default(facts: Facts) -> Iterator[Fault]:
    if not facts.nginx.is_whole or facts.nginx.http.has_unread("server"):
        return
    for listens in _sockets(facts).values():
        names = {name for server, _ in listens for name in server.names}
        has_default = any(each.default for _, each in listens)
        if len(listens) > 1 and not has_default and len(names) > 1:
            server, each = listens[0]
            yield (
                place_of(each.line or server.line),
                (f"this server, the first of port {each.port}, answers all other names"),
            )


def _sockets(facts: Facts) -> dict[tuple[str, int, bool], list[tuple[Server, Listen]]]:
    found: dict[tuple[str, int, bool], list[tuple[Server, Listen]]] = {}
    for server in facts.nginx.servers:
        for each in server.listens:
            found.setdefault((each.address, each.port, each.quic), []).append((server, each))
    return found


@rule(
    "underscore-is-no-wildcard",
    "warning",
    "`server_name _` in a server that is not the default",
    why="`_` is a name like any other that no client asks for: this server answers nothing.",
    fix="Write `default_server` after the address of `listen`.",
    example=nginx_example(
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n"
        "server {\n    listen 80;\n    server_name _;\n    return 444;\n}\n",
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n"
        "server {\n    listen 80 default_server;\n    server_name _;\n    return 444;\n}\n",
    ),
)
def underscore(facts: Facts) -> Iterator[Fault]:
    sockets = _sockets(facts)
    for server in facts.nginx.servers:
        if server.names != ("_",):
            continue
        reached = [
            each.default
            or (
                sockets[each.address, each.port, each.quic][0][0] is server
                and not any(e.default for _, e in sockets[each.address, each.port, each.quic])
            )
            for each in server.listens
        ]
        if reached and not any(reached):
            yield place_of(server.all("server_name")[0]), "no request reaches this server"


@rule(
    "default-answers-other-names",
    "hint",
    "The default server of a port is a real site",
    why="Every name that leads to this address shows the site, also one that another has "
    "registered; search engines see it twice, and links that a program builds from Host lead "
    "there.",
    fix="Write a server of its own with `default_server` and `return 444;`.",
    example=nginx_example(
        "server {\n    listen 80 default_server;\n    server_name a.example;\n"
        "    root /srv/a;\n}\n",
        "server {\n    listen 80 default_server;\n    return 444;\n}\n"
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n",
    ),
)
def answers_others(facts: Facts) -> Iterator[Fault]:
    for server in facts.nginx.servers:
        own = [name for name in server.names if name not in {"_", '""', ""}]
        for listen in server.listens:
            if listen.default and own and not server.rejects and not server.all("return"):
                yield (
                    place_of(listen.line or server.line),
                    f"{own[0]} answers all other names as well",
                )
                break


@rule(
    "misdirected-request",
    "hint",
    "A default server that rejects handshakes and has no answer for what comes through",
    why="A browser with an HTTP/2 connection to one site sends requests for another name over it "
    "where both have one certificate; this server answers them with its default page.",
    fix="Write `return 421;` (or 444) in the server.",
    example=nginx_example(
        "server {\n    listen 443 ssl default_server;\n    http2 on;\n"
        "    ssl_reject_handshake on;\n}\n",
        "server {\n    listen 443 ssl default_server;\n    http2 on;\n"
        "    ssl_reject_handshake on;\n    return 421;\n}\n",
    ),
)
def misdirected(facts: Facts) -> Iterator[Fault]:
    for server in facts.nginx.servers:
        rejects = server.value("ssl_reject_handshake") == "on"
        http2 = server.value("http2") == "on" or any("http2" in e.params for e in server.listens)
        answers = any(block.all("return") for block in server.walk())
        if rejects and http2 and not answers and any(each.default for each in server.listens):
            yield place_of(server.line), "misdirected requests get the default page"
