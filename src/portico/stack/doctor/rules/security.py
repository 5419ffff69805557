"""What lets strangers read, forge or reach more than was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.regex_reading import (
    group_names,
    location_regex,
    may_hold_line_break,
    parse_regex,
)
from portico.stack.doctor.rule import Facts, Fault, place_of, rule, server_example
from portico.stack.doctor.tree import Block

_CLIENT_VARIABLE: Final = re.compile(r"\$\{?(arg_\w+|http_\w+|cookie_\w+|args|query_string|uri)")
_DECODED_PATH: Final = re.compile(r"\$\{?(document_uri|uri)\b")


@rule(
    "alias-traversal",
    "error",
    "`alias` with a slash in a location without one",
    why="`/files../` leads to the folder above: `location /files { alias /srv/files/; }` serves "
    "`/files../secret` from `/srv/secret`.",
    fix="End both with a slash, or neither.",
    example=server_example(
        "location /files {\n    alias /srv/files/;\n}\n",
        "location /files/ {\n    alias /srv/files/;\n}\n",
    ),
)
def alias_traversal(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("alias"):
        path, target = _prefix(block), " ".join(line.args)
        if path and not path.endswith("/") and target.endswith("/"):
            yield place_of(block.line), f"{path}../ leads out of {target}"


@rule(
    "alias-without-slash",
    "warning",
    "`alias` without a slash in a location with one",
    why="The slash is cut off with the path: `/files/a.png` is looked for as `/srv/filesa.png`.",
    fix="End both with a slash.",
    example=server_example(
        "location /files/ {\n    alias /srv/files;\n}\n",
        "location /files/ {\n    alias /srv/files/;\n}\n",
    ),
)
def alias_without_slash(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("alias"):
        path, target = _prefix(block), " ".join(line.args)
        is_folder = "$" not in target and "." not in target.rpartition("/")[2]
        if path.endswith("/") and not target.endswith("/") and is_folder:
            yield place_of(line), f"{path}a is looked for as {target}a"


def _prefix(block: Block) -> str:
    """Of a location that is one; empty for `=` and regular expressions."""
    args = block.line.args
    if block.name != "location" or not args or args[0] in {"=", "~", "~*"}:
        return ""
    return args[-1] if not args[-1].startswith("@") else ""


@rule(
    "response-splitting",
    "error",
    "Decoded text of the client in a redirect, a header or a request",
    why="`$uri` is decoded: `%0d%0a` in the address is a line break, with which a stranger adds "
    "headers to the answer (cookies, a whole second answer), or to the request that the program "
    "gets.",
    fix="Use `$request_uri`, which is as it was sent.",
    example=server_example(
        "return 301 https://a.example$uri;\n", "return 301 https://a.example$request_uri;\n"
    ),
)
def splitting(facts: Facts) -> Iterator[Fault]:
    names = ("return", "add_header", "proxy_set_header", "proxy_pass", "rewrite")
    for block, line in facts.nginx.lines_named(*names):
        text = _sent_text(line.name, line.args)
        if found := _DECODED_PATH.search(text):
            yield place_of(line), f"${found[1]} is decoded and may have line breaks"
        elif name := _split_by_capture(block, text):
            yield place_of(line), f"${name} may have line breaks"


def _sent_text(name: str, args: tuple[str, ...]) -> str:
    """The part that reaches the other side unescaped."""
    if name == "return":
        is_redirect = len(args) == 1 or args[0] in {"301", "302", "303", "307", "308"}
        return args[-1] if args and is_redirect else ""
    if name == "rewrite":
        # An address is escaped, and its arguments are not.
        goes_out = args[2:3] in {("redirect",), ("permanent",)} or (args[1:2] and "://" in args[1])
        return (
            args[1].partition("?")[0] if goes_out and len(args) > 1 and "$uri" in args[1] else ""
        )
    return " ".join(args[1:] if name != "proxy_pass" else args)


def _split_by_capture(block: Block, text: str) -> str:
    location = next((each for each in block.levels() if location_regex(each)), None)
    tree = parse_regex(location_regex(location)) if location else None
    if tree is None or block.all("rewrite") or block.name == "if":
        return ""
    known = {str(number): number for number in range(1, 10)} | group_names(tree)
    for name in re.findall(r"\$\{?(\w+)", text):
        if name in known and may_hold_line_break(tree, known[name]):
            return str(name)
    return ""


@rule(
    "request-forgery",
    "error",
    "The client chooses where a request goes",
    why="A stranger reaches what only this machine can: the metadata service of the cloud "
    "(169.254.169.254), databases, admin pages of the network.",
    fix='Map what is allowed to an upstream: `map $arg_to $target { default ""; a app_a; }`.',
    example=server_example(
        "resolver 127.0.0.53;\nlocation /fetch {\n    proxy_pass http://$arg_url;\n    "
        "proxy_set_header Host $proxy_host;\n    proxy_set_header X-Forwarded-For $remote_addr;\n"
        "    proxy_set_header X-Forwarded-Proto $scheme;\n}\n",
        "location /fetch {\n    proxy_pass http://127.0.0.1:3000;\n}\n",
    ),
)
def request_forgery(facts: Facts) -> Iterator[Fault]:
    for each in facts.nginx.passes:
        if "$" not in each.host or any(b.all("internal") for b in each.block.levels()):
            continue
        by_client = _CLIENT_VARIABLE.search(each.host)
        location = next((b for b in each.block.levels() if location_regex(b)), None)
        captured = location and re.match(r"\$\{?(\d|\w+)", each.host)
        tree = parse_regex(location_regex(location)) if location else None
        names = {*map(str, range(1, 10)), *(group_names(tree) if tree is not None else ())}
        if by_client and by_client.start() == 0:
            yield place_of(each.line), f"{each.host} is what the client sent"
        elif captured and captured[1] in names:
            yield place_of(each.line), f"{each.host} is part of the address"


@rule(
    "origin-by-pattern",
    "error",
    "A pattern for an origin or referer that matches strangers' sites",
    why="Without `^` and `$`, or with a dot that is not escaped, `https://a.example.evil.test` or "
    "`https://axexample.com` match too: their pages may read answers with the user's cookies.",
    fix=r"Write the whole address: `^https://(www\.)?a\.example$`.",
    example=server_example(
        'if ($http_origin ~ "https://a.example") {\n    return 403;\n}\n',
        'if ($http_origin ~ "^https://a\\.example$") {\n    return 403;\n}\n',
    ),
)
def origin_by_pattern(facts: Facts) -> Iterator[Fault]:
    for block in facts.nginx.blocks:
        args = block.line.args
        if block.name == "if" and len(args) >= 3 and "~" in args[1]:  # noqa: PLR2004
            source, patterns = args[0], [(block.line, args[2])]
        elif block.name == "map" and args:
            source = args[0]
            patterns = [(e, e.name.lstrip("~*")) for e in block.lines if e.name.startswith("~")]
        else:
            continue
        for line, pattern in patterns:
            if wrong := _loose_pattern(source, pattern):
                yield place_of(line), f"the pattern for {source} {wrong}"


def _loose_pattern(source: str, pattern: str) -> str:
    if source not in {"$http_origin", "$http_referer"} or "." not in pattern:
        return ""
    if not pattern.startswith(("^", "(?i)^")):
        return "does not begin with ^"
    if source == "$http_origin" and not pattern.endswith(("$", "$)")):
        return "does not end with $"
    if re.search(r"(?<=[a-z0-9-])(?<!\\)\.(?=[a-z]{2,}(?![\w*+?]))", pattern):
        return "has a dot that is not escaped"
    return ""


@rule(
    "root-of-filesystem",
    "error",
    "The whole filesystem, or a folder of the system, is served",
    why="`/etc/passwd`, keys and databases can be downloaded.",
    fix="Name the folder of the site.",
    example=server_example("root /;\n", "root /srv/www;\n"),
)
def root_of_filesystem(facts: Facts) -> Iterator[Fault]:
    folders = {"/", "/etc", "/root", "/var", "/home", "/usr", "/proc", "/boot", "/var/lib"}
    for block, line in facts.nginx.lines_named("root", "alias"):
        path = " ".join(line.args)
        whole = (path.rstrip("/") or "/") in folders
        exact = block.line.args[:1] == ("=",) or bool(location_regex(block))
        if whole and not exact and not block.all("return", "internal"):
            yield place_of(line), f"{path} is served"


@rule(
    "listing-of-folders",
    "advice",
    "`autoindex` lists what is in folders",
    why="Backups and files that no page links to can be found by anyone.",
    fix="Remove `autoindex on;`, unless the list is meant.",
    example=server_example("root /srv/www;\nautoindex on;\n", "root /srv/www;\n"),
)
def listing(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("autoindex"):
        if line.args == ("on",) and block.name in {"server", "http"}:
            yield place_of(line), f"every folder of this {block.name} is listed"


@rule(
    "version-shown",
    "advice",
    "nginx shows its version",
    why="Scanners look for versions with a known hole; the header says at once which.",
    fix="Write `server_tokens off;`.",
    example=server_example("server_tokens on;\n", "server_tokens off;\n"),
)
def version_shown(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("server_tokens"):
        if line.args in {("on",), ("build",)}:
            yield place_of(line), "server_tokens is on"


@rule(
    "public-resolver",
    "advice",
    "A public server as `resolver`",
    why="Answers from outside can be forged on the way, and then lead requests to another "
    "machine; each is also slower than the machine's own.",
    fix="Use the machine's resolver: 127.0.0.53 with systemd-resolved, or the first of "
    "/etc/resolv.conf.",
    example=server_example("resolver 8.8.8.8;\n", "resolver 127.0.0.53;\n"),
)
def public_resolver(facts: Facts) -> Iterator[Fault]:
    public = re.compile(
        r"^(8\.8\.[48]\.[48]|1\.[01]\.[01]\.1|9\.9\.9\.\d+|208\.67\.22[02]\.22[02])"
    )
    for _, line in facts.nginx.lines_named("resolver"):
        if found := next((each for each in line.args if public.match(each)), None):
            yield place_of(line), f"{found} is on the internet"


@rule(
    "status-page-open",
    "warning",
    "nginx's status page without a limit of who may see it",
    why="Anyone can see how busy the site is, and an attacker whether the attack works.",
    fix="Write `allow 127.0.0.1; deny all;` in the location.",
    example=server_example(
        "location = /status {\n    stub_status;\n}\n",
        "location = /status {\n    stub_status;\n    allow 127.0.0.1;\n    deny all;\n}\n",
    ),
)
def status_open(facts: Facts) -> Iterator[Fault]:
    for block, line in facts.nginx.lines_named("stub_status"):
        limits = ("deny", "auth_basic", "auth_request", "auth_jwt", "internal")
        limited = any(block.inherited_lines(name) or block.may_have(name) for name in limits)
        server = next(
            (s for s in facts.nginx.servers if s is block.enclosing_block("server")), None
        )
        local = server and all(_is_local(each.address) for each in server.listens)
        if not limited and not local:
            yield place_of(line), "anyone can see the status"


def _is_local(address: str) -> bool:
    return address.startswith(("127.", "localhost", "[::1]", "unix:"))
