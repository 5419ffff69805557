"""Listeners and TLS of sites."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from portico.stack.doctor.machine import FileFacts, Machine
from portico.stack.doctor.rule import Facts, Fault, nginx_example, place_of, rule, server_example
from portico.stack.doctor.tree import Block, Listen, Server

_TLS: Final = "    ssl_certificate /etc/ssl/a.pem;\n    ssl_certificate_key /etc/ssl/a.key;\n"
_SITE: Final = (
    "server {\n    listen 443 ssl;\n    server_name a.example;\n" + _TLS + "    root /srv/a;\n}\n"
)
_REDIRECT: Final = (
    "server {\n    listen 80;\n    server_name a.example;\n    return 301 https://a.example"
    "$request_uri;\n}\n"
)


@rule(
    "server-without-listen",
    "warning",
    "A server without `listen`",
    why="nginx listens on port 80 for it (8000 where it does not run as root), with plain HTTP; "
    "where no other server is the default there, it answers every name that leads to this "
    "machine.",
    fix="Write `listen` and `server_name`; for HTTPS `listen 443 ssl;` with a certificate.",
    example=nginx_example(
        "server {\n    root /srv/a;\n}\n",
        "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n",
    ),
)
def without_listen(facts: Facts) -> Iterator[Fault]:
    for server in facts.nginx.servers:
        if any(each.line is None for each in server.listens):
            also = "" if server.names else ", and no server_name"
            yield place_of(server.line), f"this server has no listen{also}: plain HTTP on port 80"


@rule(
    "https-port-without-tls",
    "error",
    "Port 443 without TLS",
    why="nginx answers plain HTTP there, and browsers show an error of the protocol.",
    fix="Write `listen 443 ssl;`.",
    example=nginx_example(_SITE.replace(" ssl;", ";", 1), _SITE),
)
def port_without_tls(facts: Facts) -> Iterator[Fault]:
    with_tls = {e.port for server in facts.nginx.servers for e in server.listens if e.ssl}
    for server in facts.nginx.servers:
        for each in server.listens:
            if each.port == 443 and 443 not in with_tls and server.value("ssl") != "on":  # noqa: PLR2004
                yield place_of(each.line or server.line), "port 443 serves plain HTTP"


@rule(
    "tls-without-certificate",
    "error",
    "A server with TLS and no certificate",
    why="nginx refuses to start, or ends each handshake for this name.",
    fix="Write `ssl_certificate` and `ssl_certificate_key`, or `ssl_reject_handshake on;`.",
    example=nginx_example(
        f"events {{}}\nhttp {{\n{_SITE.replace(_TLS, '')}}}\n",
        f"events {{}}\nhttp {{\n{_SITE}}}\n",
    ),
)
def without_certificate(facts: Facts) -> Iterator[Fault]:
    is_known = _is_http_known(facts)
    for server in facts.nginx.servers:
        unknown = server.may_have("ssl_certificate") or not is_known
        rejects = server.value("ssl_reject_handshake") == "on"
        if (
            server.tls
            and not server.inherited_lines("ssl_certificate")
            and not rejects
            and not unknown
        ):
            yield place_of(server.line), "this server has no ssl_certificate"


def _is_http_known(facts: Facts) -> bool:
    """Some put the certificate of all sites into the main file, which may not have been given."""
    others = any(each.all("ssl_certificate") for each in facts.nginx.servers)
    return facts.nginx.is_whole or others


@rule(
    "http-without-redirect",
    "warning",
    "A site of HTTPS that plain HTTP does not redirect to",
    why="Clients that type the name or follow an old link are served without TLS, or something "
    "else than the site.",
    fix="Answer port 80 with `return 301 https://$host$request_uri;`.",
    example=nginx_example(
        _SITE + "server {\n    listen 80;\n    server_name a.example;\n    root /srv/a;\n}\n",
        _SITE + _REDIRECT,
    ),
)
def without_redirect(facts: Facts) -> Iterator[Fault]:
    plain = [(s, _plain(s)) for s in facts.nginx.servers if _plain(s)]
    secure = {name for s in facts.nginx.servers if s.tls and not s.rejects for name in s.names}
    named = {name for server, _ in plain for name in server.names}
    default = _default(plain)
    for server, listen in plain:
        if server.is_part or _redirects(server) or server.rejects:
            continue
        answered = sorted(secure & set(server.names))
        if server is default:
            answered += sorted(secure - named - set(answered))
        if answered and _serves(server):
            line = listen.line if listen and listen.line else server.line
            yield (
                place_of(line),
                f"http://{answered[0]} is answered here without a redirect to HTTPS",
            )


@rule(
    "http-port-closed",
    "advice",
    "Nothing listens on port 80",
    why="A client that is given the name without https:// gets `connection refused`, in older "
    "programs and browsers, and HTTP-01 validation of certificates fails.",
    fix="Add a server with `listen 80;` and `return 301 https://$host$request_uri;`.",
    example=nginx_example(
        f"events {{}}\nhttp {{\n{_SITE}}}\n", f"events {{}}\nhttp {{\n{_SITE}{_REDIRECT}}}\n"
    ),
)
def port_closed(facts: Facts) -> Iterator[Fault]:
    servers = facts.nginx.servers
    unknown = not facts.nginx.is_whole or any(each.has_unread("listen") for each in servers)
    if unknown or facts.nginx.http.has_unread("server"):
        return
    ports = {each.port for server in servers for each in server.listens}
    on_443 = next((s for s in servers if any(e.port == 443 and e.ssl for e in s.listens)), None)  # noqa: PLR2004
    if on_443 and 80 not in ports:  # noqa: PLR2004
        yield place_of(on_443.line), "no server listens on port 80"


def _plain(server: Server) -> Listen | None:
    return next((e for e in server.listens if e.port == 80 and not e.ssl), None)  # noqa: PLR2004


def _redirects(server: Server) -> bool:
    """Anywhere in it: a path of its own for validation is usual."""
    for block in server.walk():
        for line in block.all("return", "rewrite", "error_page", "set"):
            if any(word.startswith(("https:", "$scheme_https")) for word in line.args):
                return True
    return any(b.name == "if" and "$scheme" in " ".join(b.line.args) for b in server.walk())


def _serves(server: Server) -> bool:
    """Whether there is anything that it would serve."""
    names = ("root", "proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "alias", "return")
    return any(block.all(*names) for block in server.walk())


def _default(plain: Sequence[tuple[Server, Listen | None]]) -> Server | None:
    """The one that answers the names that no server on port 80 has; None where that is by the
    order of files alone, of which some may not have been given.
    """
    chosen = next((each for each, on in plain if on and on.default), None)
    first = plain[0][0] if plain else None
    return chosen or (first if first and not first.names else None)


@rule(
    "retired-tls",
    "warning",
    "A version of TLS that is retired",
    why="TLS 1.0 and 1.1 have not been allowed since 2021 (RFC 8996), SSL 2 and 3 are broken. No "
    "browser uses them, and audits fail.",
    fix="Write `ssl_protocols TLSv1.2 TLSv1.3;`.",
    example=server_example(
        "ssl_protocols TLSv1 TLSv1.1 TLSv1.2;\n", "ssl_protocols TLSv1.2 TLSv1.3;\n"
    ),
)
def retired_tls(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 23, 4):
        for server in facts.nginx.servers:
            if server.tls and not server.inherited_lines("ssl_protocols") and facts.nginx.is_whole:
                yield place_of(server.line), "TLS 1.0 and 1.1 are allowed by default by this nginx"
    for _, line in facts.nginx.lines_named("ssl_protocols"):
        retired = [each for each in line.args if each in {"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"}]
        if retired:
            yield place_of(line), f"{', '.join(retired)} is allowed"


_WEAK_CIPHER: Final = re.compile(
    r"RC4|3DES|DES-CBC3|\bDES\b|NULL|EXP|MD5|LOW|SEED|IDEA|ADH|AECDH|SSLv2"
)


@rule(
    "weak-ciphers",
    "warning",
    "Ciphers that are broken",
    why="RC4, 3DES, export and anonymous ciphers can be read or changed by an attacker in the "
    "network who makes both sides choose them.",
    fix="Use Mozilla's intermediate list (ssl-config.mozilla.org), or remove `ssl_ciphers`: "
    "`HIGH:!aNULL:!MD5` is the default.",
    example=server_example(
        "ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:DES-CBC3-SHA;\n",
        "ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:!DES;\n",
    ),
)
def weak_ciphers(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("ssl_ciphers", "proxy_ssl_ciphers"):
        given = [e for e in re.split(r"[:, ]", " ".join(line.args)) if e and e[0] not in "!-@"]
        weak = [each for each in given if _WEAK_CIPHER.search(each)]
        if weak:
            yield place_of(line), f"{', '.join(weak)} is allowed"


@rule(
    "weak-dh-parameters",
    "warning",
    "Diffie-Hellman parameters of less than 2,048 bits",
    why="1,024 bits can be broken with the means of a state (Logjam); OpenSSL 3 refuses them, and "
    "nginx does not start.",
    fix="Remove `ssl_dhparam`, and DHE from `ssl_ciphers`: every browser has ECDHE. Or use "
    "ffdhe2048 of RFC 7919.",
    example=server_example(
        "ssl_dhparam /etc/nginx/dh.pem;\n",
        "ssl_dhparam /etc/nginx/ffdhe2048.pem;\n",
        Machine(
            files={
                "/etc/nginx/dh.pem": FileFacts(key_bits=1024),
                "/etc/nginx/ffdhe2048.pem": FileFacts(key_bits=2048),
            }
        ),
    ),
)
def weak_dh(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("ssl_dhparam"):
        found = facts.machine.file(" ".join(line.args))
        named = re.search(r"(?<!\d)(512|768|1024)(?!\d)", " ".join(line.args).rpartition("/")[2])
        bits = found.key_bits if found and found.key_bits else int(named[1]) if named else 0
        if 0 < bits < 2048:  # noqa: PLR2004
            yield place_of(line), f"they have {bits} bits"


@rule(
    "stapling-without-responder",
    "warning",
    "OCSP stapling for a certificate that has no responder",
    why="Let's Encrypt ended OCSP in 2025: nginx warns at each start, and staples nothing.",
    fix="Remove `ssl_stapling` and `ssl_stapling_verify`.",
    example=nginx_example(
        _SITE.replace("/etc/ssl/a.pem", "/etc/letsencrypt/live/a.example/fullchain.pem").replace(
            "    root", "    ssl_stapling on;\n    resolver 127.0.0.53;\n    root"
        ),
        _SITE.replace("/etc/ssl/a.pem", "/etc/letsencrypt/live/a.example/fullchain.pem"),
    ),
)
def without_responder(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("ssl_stapling"):
        if line.args == ("on",) and _all_without_responder(block, facts):
            yield place_of(line), "the certificate names no responder"


def _all_without_responder(block: Block, facts: Facts) -> bool:
    paths = [
        " ".join(line.args)
        for each in (block.walk() if block.name == "http" else [block])
        for line in each.inherited_lines("ssl_certificate")
    ]
    known = [
        not found.has_ocsp if found else path.startswith("/etc/letsencrypt/")
        for path, found in ((path, facts.machine.file(path)) for path in paths)
    ]
    return bool(known) and all(known)


@rule(
    "stapling-without-resolver",
    "warning",
    "OCSP stapling without a `resolver`",
    why="nginx cannot look up the responder's name, and staples nothing.",
    fix="Remove `ssl_stapling`, or write `resolver` with the machine's own (127.0.0.53).",
    example=nginx_example(
        _SITE.replace("    root", "    ssl_stapling on;\n    root"),
        _SITE.replace("    root", "    ssl_stapling on;\n    resolver 127.0.0.53;\n    root"),
    ),
)
def without_resolver(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("ssl_stapling"):
        has_one = block.inherited_lines("resolver") or block.inherited_lines("ssl_stapling_file")
        known = facts.nginx.is_whole or block.name == "server"
        if line.args == ("on",) and not has_one and not block.may_have("resolver") and known:
            yield place_of(line), "no resolver is set"


@rule(
    "http2-as-parameter",
    "advice",
    "`http2` as a parameter of `listen`",
    why="It is deprecated since nginx 1.25.1, which warns at each start, and it switches HTTP/2 "
    "on for every server of that address.",
    fix="Write `http2 on;` in the server (from nginx 1.25.1 on).",
    example=nginx_example(
        _SITE.replace("443 ssl;", "443 ssl http2;"),
        _SITE.replace("443 ssl;", "443 ssl;\n    http2 on;"),
    ),
)
def http2_parameter(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 25, 1):
        return
    for server in facts.nginx.servers:
        listens = [e for e in server.listens if e.line and "http2" in e.params]
        if listens and listens[0].line:
            yield place_of(listens[0].line), "http2 is a parameter of listen"


@rule(
    "retired-directive",
    "warning",
    "A directive that nginx no longer has",
    why="nginx of today refuses to start with `ssl on;`, and ignores the others with a warning.",
    fix="`ssl on;` is `listen … ssl;` today; `spdy` and `http2_push` have no successor: remove "
    "them.",
    example=server_example("ssl on;\n", ""),
)
def retired_directive(facts: Facts) -> Iterator[Fault]:
    retired = {
        **dict.fromkeys(("http2_push", "http2_push_preload"), "http2_push"),
        **dict.fromkeys(("http2_recv_timeout", "http2_idle_timeout"), "http2 timeouts"),
        "spdy_chunk_size": "SPDY",
    }
    for _, line in facts.nginx.lines_named("ssl", *retired):
        if line.args != ("off",):
            yield place_of(line), f"{line.name} was removed from nginx"
    for server in facts.nginx.servers:
        for each in server.listens:
            if each.line and "spdy" in each.params:
                yield place_of(each.line), "SPDY was removed from nginx"


@rule(
    "curve-of-newer-openssl",
    "advice",
    "A post-quantum group in `ssl_ecdh_curve`",
    why="OpenSSL before 3.5 (Debian 12, Ubuntu 24.04) refuses the whole list for one unknown "
    "name, and nginx does not start.",
    fix="Remove `ssl_ecdh_curve`: OpenSSL 3.5 and later offer X25519MLKEM768 by themselves.",
    example=server_example("ssl_ecdh_curve X25519MLKEM768:X25519;\n", "ssl_ecdh_curve X25519;\n"),
)
def newer_curve(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("ssl_ecdh_curve"):
        if re.search(r"mlkem|kyber", " ".join(line.args), re.IGNORECASE):
            yield place_of(line), "OpenSSL 3.5 is needed"
