"""nginx's own limits: workers, connections, files, times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from portico.stack.doctor.machine import Machine
from portico.stack.doctor.rule import Facts, Fault, place_of, rule, server_example, whole_example
from portico.stack.doctor.tree import Block, seconds
from portico.stack.model import Place

_DEFAULT_CONNECTIONS = 512
_SITE = "server {\n    listen 80 default_server;\n    root /srv;\n}\n"


@rule(
    "one-worker",
    "warning",
    "`worker_processes` is not set",
    why="nginx uses one core, however many the machine has: TLS and compression stop there.",
    fix="Write `worker_processes auto;` at the beginning of nginx.conf.",
    example=whole_example("worker_shutdown_timeout 1m;\n\n" + _SITE, _SITE),
)
def one_worker(facts: Facts) -> Iterator[Fault]:
    unread = facts.nginx.main.has_unread("worker_processes")
    unset = facts.nginx.is_whole and not facts.nginx.main.first("worker_processes")
    if unset and not unread and facts.machine.cores != 1:
        yield place_of(facts.nginx.start), "worker_processes is not set: one worker"


@rule(
    "fewer-workers-than-cores",
    "advice",
    "Fewer workers than the machine has cores",
    why="The other cores do nothing for TLS and compression.",
    fix="Write `worker_processes auto;`.",
    example=whole_example(
        "worker_processes 1;\nworker_shutdown_timeout 1m;\n\n" + _SITE, _SITE, Machine(cores=4)
    ),
)
def fewer_workers(facts: Facts) -> Iterator[Fault]:
    cores, line = facts.machine.cores, facts.nginx.main.first("worker_processes")
    given = " ".join(line.args) if line else ""
    if line and cores and given.isdecimal() and int(given) < cores:
        yield place_of(line), f"{given} of {cores} cores are used"


@rule(
    "nginx-built-for-size",
    "advice",
    "The nginx that serves was built for size, not for speed",
    why="A request takes it 1.5 to 2 times the processor time of one that was built with -O2 "
    "(docs/decisions/0005).",
    fix="Use the nginx of the distribution or of nginx.org; with Portico `portico nginx use` or "
    "`portico nginx build`.",
    example=replace(
        whole_example(_SITE, _SITE, Machine(nginx_arguments="--with-cc-opt='-Os -fPIC'")),
        fixed_machine=Machine(nginx_arguments="--with-cc-opt='-O2 -fPIC'"),
    ),
)
def built_for_size(facts: Facts) -> Iterator[Fault]:
    if re.search(r"(?<![\w-])-O[s0z]\b(?!.*-O[23])", facts.machine.nginx_arguments):
        where = place_of(facts.nginx.start) if facts.nginx.is_whole else None
        own = next((Place(each.path) for each in facts.own), None)
        if place := own or where:
            yield place, "nginx -V shows that it was built with -Os"


@rule(
    "few-connections",
    "warning",
    "`worker_connections` is small",
    why="Each client that waits takes one, each request to a program another one: a worker with "
    "512 refuses from 256 requests under way on.",
    fix="Write `worker_connections 4096;` or more in `events`, and as many open files.",
    example=whole_example(
        "worker_processes auto;\nworker_shutdown_timeout 1m;\nevents {}\n\n" + _SITE, _SITE
    ),
)
def few_connections(facts: Facts) -> Iterator[Fault]:
    events = next((b for b in facts.nginx.main.blocks if b.name == "events"), None)
    if events is None or events.has_unread() or not facts.nginx.is_whole:
        return
    line = events.first("worker_connections")
    given = line.args[0] if line and line.args else str(_DEFAULT_CONNECTIONS)
    if given.isdecimal() and int(given) <= _DEFAULT_CONNECTIONS:
        yield place_of(line or events.line), f"a worker has {given} connections"


@rule(
    "fewer-files-than-connections",
    "warning",
    "Fewer open files than connections need",
    why="A connection is an open file, and so is the connection to the program, or the file that "
    "is served: nginx logs `Too many open files` and refuses clients before its own limit.",
    fix="Write `worker_rlimit_nofile` with at least twice `worker_connections`.",
    example=whole_example(
        "worker_processes auto;\nworker_shutdown_timeout 1m;\nworker_rlimit_nofile 1024;\n"
        "events {\n    worker_connections 4096;\n}\n\n" + _SITE,
        "worker_processes auto;\nworker_shutdown_timeout 1m;\nworker_rlimit_nofile 8192;\n"
        "events {\n    worker_connections 4096;\n}\n\n" + _SITE,
    ),
)
def fewer_files(facts: Facts) -> Iterator[Fault]:
    events = next((b for b in facts.nginx.main.blocks if b.name == "events"), None)
    line = events.first("worker_connections") if events else None
    given = line.args[0] if line and line.args else ""
    limit = facts.nginx.main.first("worker_rlimit_nofile")
    files = " ".join(limit.args) if limit else str(facts.machine.open_files or "")
    if line and given.isdecimal() and files.isdecimal() and int(files) < 2 * int(given):
        yield place_of(limit or line), f"{files} open files for {given} connections"


@rule(
    "no-worker-shutdown-timeout",
    "warning",
    "`worker_shutdown_timeout` is not set",
    why="After each reload the old workers live as long as their WebSockets and downloads do: "
    "with a reload each hour memory piles up until the machine has none.",
    fix="Write `worker_shutdown_timeout 1m;` at the beginning of nginx.conf.",
    example=whole_example(
        "worker_processes auto;\n\n"
        'map $http_upgrade $upgrade {\n    default upgrade;\n    "" "";\n}\n'
        "server {\n    listen 80;\n    location / {\n        proxy_set_header Upgrade "
        "$http_upgrade;\n        proxy_set_header Connection $upgrade;\n        proxy_pass "
        "http://127.0.0.1:3000;\n    }\n}\n",
        _SITE,
    ),
)
def old_workers(facts: Facts) -> Iterator[Fault]:
    upgrades = any(
        line.args[:1] and line.args[0].lower() == "upgrade"
        for _, line in facts.nginx.lines_named("proxy_set_header")
    )
    unset = facts.nginx.is_whole and not facts.nginx.main.first("worker_shutdown_timeout")
    if upgrades and unset and not facts.nginx.main.has_unread("worker_shutdown_timeout"):
        yield place_of(facts.nginx.start), "workers with WebSockets never end after a reload"


@rule(
    "connections-closed-early",
    "advice",
    "`keepalive_requests` is below 1,000",
    why="A browser over HTTP/2 sends hundreds of requests for a page: nginx closes the connection "
    "in the middle, and each new one takes a handshake.",
    fix="Remove it: 1,000 is the default since nginx 1.19.10.",
    example=server_example("keepalive_requests 100;\n", "keepalive_requests 1000;\n"),
)
def closed_early(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("keepalive_requests"):
        given = " ".join(line.args)
        if given.isdecimal() and int(given) < 1000:  # noqa: PLR2004
            yield place_of(line), f"a connection ends after {given} requests"


@rule(
    "no-keepalive-for-clients",
    "warning",
    "`keepalive_timeout 0` for clients",
    why="Each request takes a new connection and a TLS handshake: two more round trips, and most "
    "of the processor time.",
    fix="Remove it: 75 seconds is the default.",
    example=server_example("keepalive_timeout 0;\n", "keepalive_timeout 65s;\n"),
)
def no_keepalive(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("keepalive_timeout"):
        if block.name != "upstream" and line.args[:1] and seconds(line.args[0]) == 0:
            yield place_of(line), "each request takes a connection of its own"


@rule(
    "body-without-limit",
    "advice",
    "`client_max_body_size 0`",
    why="A stranger fills the disk: nginx stores a body in a file before it passes it on.",
    fix="Write the largest that the program takes, only where it takes one.",
    example=server_example("client_max_body_size 0;\n", "client_max_body_size 20m;\n"),
)
def body_without_limit(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("client_max_body_size"):
        if line.args[:1] and line.args[0].rstrip("kmgKMG") == "0" and block.name != "location":
            yield place_of(line), "bodies have no limit"


@rule(
    "quic-lost-after-reload",
    "warning",
    "`quic_bpf` with `reuseport`",
    why="After each reload about half of the QUIC connections are dropped (nginx/nginx#425).",
    fix="Remove `quic_bpf`.",
    example=whole_example(
        "quic_bpf on;\nworker_processes auto;\n\nserver {\n    listen 443 quic reuseport;\n}\n",
        "worker_processes auto;\n\nserver {\n    listen 443 quic reuseport;\n}\n",
    ),
)
def quic_lost(facts: Facts) -> Iterator[Fault]:
    line = facts.nginx.main.first("quic_bpf")
    listens = [each for server in facts.nginx.servers for each in server.listens]
    if line and line.args == ("on",) and any(e.quic and "reuseport" in e.params for e in listens):
        yield place_of(line), "QUIC connections are dropped after a reload"


@rule(
    "files-looked-up-again",
    "hint",
    "`try_files` without `open_file_cache`",
    why="Each request asks the disk for each of the files in the list.",
    fix="Write `open_file_cache max=1000 inactive=20s;` where files change seldom.",
    example=whole_example(
        "server {\n    listen 80;\n    root /srv;\n    try_files $uri /index.html;\n}\n", _SITE
    ),
)
def looked_up_again(facts: Facts) -> Iterator[Fault]:
    cached = any(True for _ in facts.nginx.lines_named("open_file_cache"))
    if not cached and not any(each.has_unread("open_file_cache") for each in facts.nginx.blocks):
        for _, line in facts.nginx.lines_named("try_files"):
            yield place_of(line), "open_file_cache is not set"


@rule(
    "answers-not-compressed",
    "hint",
    "`gzip` is off",
    why="Text is a third to a fifth of its size with it.",
    fix="Write `gzip on;` and `gzip_types`.",
    example=whole_example(_SITE, "gzip on;\n" + _SITE),
)
def not_compressed(facts: Facts) -> Iterator[Fault]:
    if facts.nginx.never_sets("gzip", "brotli", "zstd") and facts.nginx.servers:
        yield place_of(facts.nginx.start), "gzip is not set"


@rule(
    "body-limit-by-default",
    "hint",
    "`client_max_body_size` is not set",
    why="Uploads above 1 MiB are answered with 413.",
    fix="Write the largest that the program takes.",
    example=whole_example(_SITE, "client_max_body_size 10m;\n" + _SITE),
)
def body_by_default(facts: Facts) -> Iterator[Fault]:
    if facts.nginx.never_sets("client_max_body_size") and facts.nginx.servers:
        yield place_of(facts.nginx.start), "client_max_body_size is not set"


@rule(
    "version-shown-by-default",
    "hint",
    "`server_tokens` is not set",
    why="nginx shows its version in headers and error pages.",
    fix="Write `server_tokens off;`.",
    example=whole_example(_SITE, "server_tokens off;\n" + _SITE),
)
def shown_by_default(facts: Facts) -> Iterator[Fault]:
    if facts.nginx.never_sets("server_tokens") and facts.nginx.servers:
        yield place_of(facts.nginx.start), "server_tokens is not set"


@rule(
    "root-in-location",
    "hint",
    "`root` in a location, and none in the server",
    why="A location that is added later has none, and serves nginx's own folder.",
    fix="Write `root` in the server.",
    example=server_example(
        "location / {\n    root /srv;\n}\n", "root /srv;\nlocation / {\n    index a.html;\n}\n"
    ),
)
def root_in_location(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("root"):
        server = block.enclosing_block("server")
        if (
            block.name == "location"
            and block.line.args == ("/",)
            and server
            and not _has_root(server)
        ):
            yield place_of(line), "the server has no root"


def _has_root(block: Block) -> bool:
    return bool(block.inherited_lines("root")) or block.may_have("root")
