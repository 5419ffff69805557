"""Rules of access that do not do what they look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.rule import Facts, Fault, place_of, rule, server_example

_SAFE_IN_IF: Final = frozenset({"return", "rewrite", "set", "break", "if"})


@rule(
    "allow-without-deny",
    "error",
    "`allow` without `deny`",
    why="Clients that are not listed have access as well: without `deny all;` nothing is refused.",
    fix="Write `deny all;` after the last `allow`.",
    example=server_example(
        "location /admin/ {\n    allow 10.0.0.0/8;\n    root /srv;\n}\n",
        "location /admin/ {\n    allow 10.0.0.0/8;\n    deny all;\n    root /srv;\n}\n",
    ),
)
def allow_without_deny(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        allowed = [each for each in block.all("allow") if each.args != ("all",)]
        lets_any = block.value("satisfy") == "any"
        if allowed and not block.all("deny") and not block.has_unread("deny") and not lets_any:
            yield place_of(allowed[-1]), "all other clients have access, too"


@rule(
    "return-before-deny",
    "error",
    "`return` in the level of a `deny`",
    why="nginx answers with `return` before it looks at `allow` and `deny`: all clients get it.",
    fix="Serve a file, or use `try_files` or `proxy_pass`, which come after the check.",
    example=server_example(
        "location /admin/ {\n    deny all;\n    return 200 secret;\n}\n",
        "location /admin/ {\n    deny all;\n    root /srv;\n}\n",
    ),
)
def return_before_deny(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        ends = [e for e in block.all("return") if not e.args[:1] or e.args[0] not in _REFUSALS]
        if ends and block.all("deny"):
            yield place_of(ends[0]), "allow and deny of this level have no effect"


_REFUSALS: Final = frozenset(
    {"301", "302", "307", "308", "400", "403", "404", "410", "421", "444"}
)
"""Nobody is let in by these."""


@rule(
    "if-in-location",
    "warning",
    "`if` in a location, with more than `return` and `rewrite`",
    why="nginx turns it into a location of its own, which inherits less than it seems: headers "
    "are lost, `try_files` is skipped, and some combinations crash (nginx's page: If is Evil).",
    fix="Use a `map` and a variable, or an `error_page` with a named location.",
    example=server_example(
        "location /a/ {\n    root /srv;\n    if ($arg_x) {\n        add_header X-Seen 1;\n    }\n"
        "}\n",
        "location /a/ {\n    root /srv;\n    if ($arg_x) {\n        return 403;\n    }\n}\n",
    ),
)
def if_in_location(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        if block.name != "if" or block.parent is None or block.parent.name != "location":
            continue
        if block.all("return"):
            continue  # nothing of it is served
        other = next((each for each in block.lines if each.name not in _SAFE_IN_IF), None)
        if other:
            yield place_of(other), f"{other.name} is in an if in a location"


@rule(
    "referer-may-be-empty",
    "hint",
    "`valid_referers` with `none` or `blocked`",
    why="A page that sends no referer (`Referrer-Policy: no-referrer`) passes: this protects "
    "images against links, and nothing against forged requests.",
    fix="Remove `none` and `blocked` where it protects more than images.",
    example=server_example(
        "location /a/ {\n    valid_referers none server_names;\n    root /srv;\n}\n",
        "location /a/ {\n    valid_referers server_names;\n    root /srv;\n}\n",
    ),
)
def referer_empty(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("valid_referers"):
        if {"none", "blocked"} & set(line.args):
            yield place_of(line), "requests without a referer pass"
