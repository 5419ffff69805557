"""Regular expressions, maps and variables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from portico.stack.doctor.regex_reading import (
    group_names,
    groups,
    has_nested_capture,
    has_nested_repetition,
    location_regex,
    parse_regex,
    regexes,
)
from portico.stack.doctor.rule import Facts, Fault, nginx_example, place_of, rule, server_example


@rule(
    "pattern-takes-forever",
    "warning",
    "A regular expression with a repetition in a repetition",
    why="For an address that nearly matches, the ways to try double with each letter: one request "
    "of a stranger keeps a worker busy for seconds, until PCRE gives up with 500.",
    fix="Repeat once: `^/([a-z]+)$` instead of `^/([a-z]+)+$`.",
    example=server_example(
        "location ~ ^/(([a-z])+.)+[A-Z]([a-z])+$ {\n    root /srv;\n}\n"
        "location ~ ^/([a-z]+)+$ {\n    root /srv;\n}\n",
        "location ~ ^/[a-z]+$ {\n    root /srv;\n}\n",
    ),
)
def takes_forever(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        for line, regex in regexes(block):
            tree = parse_regex(regex)
            if tree is not None and has_nested_repetition(tree):
                yield place_of(line), f"{regex} may take very long"


@rule(
    "capture-that-does-not-exist",
    "error",
    "A number of a capture that the pattern does not have",
    why="`$1` is empty there, and the address is wrong. A `rewrite` forgets what an `if` or a "
    "location around it has captured (tried with nginx 1.31.3).",
    fix="Put the part into parentheses; keep what an `if` captured with `set $id $1;`, or in a "
    "named capture.",
    example=server_example(
        "rewrite ^/old/.*$ /new/$1 permanent;\n", "rewrite ^/old/(.*)$ /new/$1 permanent;\n"
    ),
)
def no_such_capture(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("rewrite"):
        tree = parse_regex(line.args[0]) if len(line.args) > 1 else None
        used = [int(number) for number in re.findall(r"\$\{?(\d)", " ".join(line.args[1:2]))]
        missing = sorted(number for number in used if tree is not None and number > groups(tree))
        if missing:
            yield place_of(line), f"{line.args[0]} has no capture ${missing[0]}"


@rule(
    "location-never-reached",
    "warning",
    "The same pattern in two locations",
    why="nginx takes the first that matches: the second never answers.",
    fix="Remove one.",
    example=server_example(
        "location ~ \\.png$ {\n    root /srv/a;\n}\nlocation ~ \\.png$ {\n    root /srv/b;\n}\n",
        "location ~ \\.png$ {\n    root /srv/a;\n}\n",
    ),
)
def never_reached(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        seen: dict[tuple[str, ...], int] = {}
        for location in block.blocks:
            if not location_regex(location):
                continue
            first = seen.setdefault(location.line.args, location.line.number)
            if first != location.line.number:
                yield (
                    place_of(location.line),
                    f"the location of line {first} answers what this one matches",
                )


@rule(
    "map-without-default",
    "hint",
    "A `map` or `geo` without `default`",
    why="What is not listed is the empty text: where it decides on access, strangers may pass.",
    fix='Write what is meant: `default "";` or `default 0;`.',
    example=nginx_example(
        "map $http_upgrade $to {\n    websocket upgrade;\n}\n",
        'map $http_upgrade $to {\n    default "";\n    websocket upgrade;\n}\n',
    ),
)
def without_default(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.http.blocks:
        if block.name not in {"map", "geo"} or block.has_unread():
            continue
        whole = {"default", "0.0.0.0/0"}
        if not any(line.name in whole for line in block.lines):
            yield (
                place_of(block.line),
                f"{block.line.args[-1] if block.line.args else ''} has no default",
            )


@rule(
    "variable-in-two-cases",
    "hint",
    "A variable is written in upper and lower case",
    why="For nginx both are the same: people read two.",
    fix="Write it in lower case.",
    example=server_example(
        "set $Target a;\nadd_header X-Target $target;\n",
        "set $target a;\nadd_header X-Target $target;\n",
    ),
)
def two_cases(facts: Facts) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for block in facts.nginx.blocks:
        for line in block.lines:
            for name in re.findall(r"\$\{?([A-Za-z]\w*)", " ".join(line.args)):
                other = first.setdefault(name.lower(), name)
                if other != name:
                    yield place_of(line), f"${name} is ${other}"


@rule(
    "location-not-anchored",
    "hint",
    "A pattern of a location that matches anywhere in the path",
    why="`location ~ /admin` matches `/a/admin.txt` too, and each request is searched to its end.",
    fix="Begin it with `^`, or end it with `$`.",
    example=server_example(
        "location ~ /admin {\n    root /srv;\n}\n", "location ~ ^/admin {\n    root /srv;\n}\n"
    ),
)
def not_anchored(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        regex = location_regex(block)
        ends = regex.startswith(("^", "(?i)^")) or regex.endswith(("$", "$)"))
        if regex and not ends and not re.search(r"/\\\.|\(\^\||\|\$\)", regex):
            yield place_of(block.line), f"{regex} matches anywhere in the path"


@rule(
    "pattern-of-one-path",
    "hint",
    "A pattern that matches one path alone",
    why="An exact location is found without running through the patterns.",
    fix="Write `location = /path`.",
    example=server_example(
        "location ~ ^/health$ {\n    root /srv;\n}\n", "location = /health {\n    root /srv;\n}\n"
    ),
)
def one_path(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        regex = location_regex(block)
        if re.fullmatch(r"\^/[\w/-]*\$", regex) and block.line.args[0] == "~":
            yield place_of(block.line), f"this is `location = {regex[1:-1]}`"


@rule(
    "rewrite-overflow",
    "hint",
    "A `rewrite` that older versions of nginx write past its buffer with",
    why="Before nginx 1.30.2 and 1.31.1 a request can crash a worker, or more, where captures are "
    "nested and used by number in a redirect (CVE-2026-9256), or a `set` uses `$1` after a "
    "replacement with `?` (CVE-2026-42945).",
    fix="Update nginx. Until then name the captures: `(?<rest>.*)` and `$rest`.",
    example=server_example(
        "rewrite ^/((a|b).*)$ /to?x=$1&y=$2 redirect;\n",
        "rewrite ^/(?<rest>.*)$ /to?x=$rest redirect;\n",
    ),
)
def rewrite_overflow(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 30, 2) is False and facts.machine.nginx != (1, 31, 0):
        return
    for block, line in facts.nginx.lines_named("rewrite"):
        tree = parse_regex(line.args[0]) if len(line.args) > 1 else None
        to = line.args[1] if len(line.args) > 1 else ""
        used = re.findall(r"\$\{?\d", to)
        goes_out = line.args[2:3] in {("redirect",), ("permanent",)} or "?" in to
        if tree is not None and has_nested_capture(tree) and len(used) > 1 and goes_out:
            yield place_of(line), "captures that are nested are used by number"
        following = block.lines[block.lines.index(line) + 1 :]
        after = next(
            (e for e in following if e.name == "set" and re.search(r"\$\d", e.args[-1])), None
        )
        if "?" in to and after and tree is not None and not group_names(tree):
            yield place_of(after), "a capture is used by number after a rewrite with `?`"


@rule(
    "map-capture-in-subrequest",
    "hint",
    "A `map` whose pattern has a capture without a name",
    why="Before nginx 1.30.4 and 1.31.3 such a map that is evaluated in a background subrequest "
    "(`proxy_cache_background_update`, `slice`) reads freed memory (CVE-2026-42533).",
    fix="Update nginx, or name the capture.",
    example=nginx_example(
        'map $uri $to {\n    default "";\n    "~^/(.*)" $1;\n}\n',
        'map $uri $to {\n    default "";\n    "~^/(?<rest>.*)" $rest;\n}\n',
    ),
)
def map_capture(facts: Facts) -> Iterator[Fault]:
    if facts.machine.nginx_before(1, 30, 4) is False and facts.machine.nginx[:2] != (1, 31):
        return
    if facts.machine.nginx_before(1, 31, 3) is False:
        return
    for block in facts.nginx.http.blocks:
        if block.name != "map":
            continue
        for line, regex in regexes(block):
            tree = parse_regex(regex)
            if tree is not None and groups(tree) > len(group_names(tree)):
                yield place_of(line), f"{regex} has a capture without a name"
