"""One site of a Caddyfile: its directives as keys of the site and of its routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from portico.core.model.labels import app_label
from portico.core.model.nginx_lines import Line
from portico.stack.model import NO_EQUIVALENT
from portico.stack.reading.caddy_matchers import (
    ANY_REQUEST,
    Matcher,
    is_matcher,
    matcher_of,
    no_equal,
)
from portico.stack.reading.caddy_proxy import header, read_proxy

_REASONS: Final[Mapping[str, str]] = {
    "respond": "a fixed answer has no equivalent: serve a file, or let the app answer",
    "php_fastcgi": "Portico does not speak FastCGI",
    "rewrite": "a path is rewritten only by strip_prefix, or by the app",
    "uri": "a path is rewritten only by strip_prefix, or by the app",
    "handle_errors": "set error_pages",
    "bind": "set bind in [edge]",
    "log": "access logs are in PORTICO_HOME/logs; see access_log and [edge]",
    "import": "the file does not exist",
    "acme_server": "Portico is not an authority for others",
}
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_CODES: Final = {"permanent": 301, "temporary": 302, "": 302}
_ALL_HOSTS: Final = re.compile(r"https://\{(?:host|http\.request\.host)\}(\{uri\})?")
_SITE_DIRECTIVES: Final = frozenset(("tls", "log", "try_files", "import", "bind", "handle_errors"))
_SLOW_HASH: Final = re.compile(r"\$2[aby]\$(?!0[4-7])")
_SLOW_HASH_REASON: Final = (
    "nginx computes a hash for every request, and one of bcrypt takes up to seconds; write "
    "others with `htpasswd -m`"
)
_HASH: Final = re.compile(r"\$(2[aby]|apr1|5|6|y)\$.+")


@dataclass(frozen=True, slots=True)
class _Scope:
    matcher: Matcher = ANY_REQUEST
    is_stripped: bool = False
    root: str = ""
    try_files: tuple[str, ...] = ()


@dataclass
class CaddySite:
    """Reads the block of a site when it is made."""

    name: str
    block: Line
    table: dict[str, object] = field(default_factory=dict)
    upstreams: tuple[Line, ...] = ()
    gaps: list[tuple[Line, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._named: dict[str, Line] = {}
        self._routes: dict[str, list[dict[str, object]]] = {}
        self._directives(self.block.block or (), _Scope())
        if self._routes:
            self.table["routes"] = {key: _short_form(each) for key, each in self._routes.items()}

    def _directives(self, lines: Sequence[Line], scope: _Scope) -> None:
        self._named |= {each.name: each for each in lines if each.name.startswith("@")}
        scope = _Scope(scope.matcher, scope.is_stripped, *_files_of(lines, scope))
        ordered = sorted(lines, key=lambda line: line.name == "file_server")
        for line in ordered:
            if not line.name.startswith("@"):
                self._directive(line, scope)

    def _directive(self, line: Line, scope: _Scope) -> None:
        args = line.args
        matcher: Matcher | None = scope.matcher
        if (
            args
            and line.name not in _SITE_DIRECTIVES
            and is_matcher(args[0])
            and not (line.name == "root" and len(args) == 1)
        ):
            inner = matcher_of(args[0], self._named)
            matcher, args = inner and _combine(scope, inner), args[1:]
        if matcher is None:
            self.gaps.append((line, no_equal(line.args[0], self._named)))
            return
        read = _DIRECTIVES.get(line.name)
        why = _REASONS.get(line.name, NO_EQUIVALENT)
        if read:
            inner_scope = _Scope(matcher, scope.is_stripped, scope.root, scope.try_files)
            why = read(self, line, args, inner_scope)
        if why:
            self.gaps.append((line, why))

    def tables(self, scope: _Scope) -> list[dict[str, object]]:
        """Where the keys of a directive go: the site, or routes."""
        keys, match = scope.matcher.keys, scope.matcher.match
        if not keys and not match:
            return [self.table]
        found = []
        for key in keys or ("/",):
            routes = self._routes.setdefault(key, [])
            own = next((each for each in routes if each.get("match", {}) == match), None)
            if own is None:
                own = {"match": match} if match else {}
                routes.append(own)
            if scope.is_stripped:
                own["strip_prefix"] = True
            found.append(own)
        return found

    def handle(self, line: Line, _: Sequence[str], scope: _Scope) -> str:
        is_stripped = line.name == "handle_path"
        self._directives(
            line.block or (), _Scope(scope.matcher, is_stripped, scope.root, scope.try_files)
        )
        return ""

    def reverse_proxy(self, line: Line, args: Sequence[str], scope: _Scope) -> str:
        proxy = read_proxy(line, args)
        self.gaps += proxy.gaps
        if not proxy.addresses:
            return "" if proxy.gaps else "it names no address"
        address = proxy.addresses[0]
        if len(proxy.addresses) > 1:
            address = f"{app_label(self.name)}-{len(self.upstreams) + 1}"
            self.upstreams += (_upstream(address, proxy.addresses, proxy.lines, line),)
        for table in self.tables(scope):
            table |= {"app": {"address": address}, **proxy.table}
        return ""

    def file_server(self, line: Line, args: Sequence[str], scope: _Scope) -> str:
        root = next(
            (e.args[0] for e in line.block or () if e.name == "root" and e.args), scope.root
        )
        if not root:
            return "it has no root: set folder"
        if "{" in root:
            return "its root has a placeholder, which has no equivalent"
        flags = _flags(args, line, scope)
        for table in self.tables(scope):
            if "app" in table:
                return "reverse_proxy answers before it; with a folder files would answer first"
            key = self._key_of(table)
            below = "" if scope.is_stripped or not key.startswith("/") else key.rstrip("/")
            path = f"{_absolute(root, line).rstrip('/')}{below}" or "/"
            table["folder"] = {"path": path, **flags} if flags else path
            table.pop("strip_prefix", None)
        return ""

    def _key_of(self, table: dict[str, object]) -> str:
        return next((k for k, each in self._routes.items() if any(t is table for t in each)), "")

    def redir(self, _: Line, args: Sequence[str], scope: _Scope) -> str:
        to, code = args[0] if args else "", args[1] if len(args) > 1 else ""
        if _ALL_HOSTS.fullmatch(to):
            to = f"https://{self.name}{{uri}}"
        path = to.removesuffix("{uri}")
        status = _CODES.get(code) or (int(code) if code.isdecimal() else 0)
        if "{" in path or not re.match(r"https?://|/", path):
            return "its target has a placeholder or no scheme, which has no equivalent"
        if status not in _REDIRECTS:
            return "it is not a status of a redirect; see redirect"
        kept = {"keep_path": True} if path != to else {}
        for table in self.tables(scope):
            table["redirect"] = {"to": path, "status": status, **kept}
        return ""

    def basic_auth(self, line: Line, args: Sequence[str], scope: _Scope) -> str:
        users = {each.name: each.args[0] for each in line.block or () if each.args}
        if not users or not all(map(_HASH.fullmatch, users.values())):
            return self.deny(line, args, scope)
        if any(map(_SLOW_HASH.match, users.values())):
            self.gaps.append((line, _SLOW_HASH_REASON))
        realm = {"realm": args[1]} if len(args) > 1 else {}
        for table in self.tables(scope):
            table["basic_auth"] = {**realm, "users": users}
        return ""

    def deny(self, line: Line, _: Sequence[str], scope: _Scope) -> str:
        """What would be open to all without it."""
        for table in self.tables(scope):
            table["deny"] = ["all"]
        key = "auth" if line.name == "forward_auth" else "basic_auth"
        return f"access is denied until {key} is set"

    def respond(self, line: Line, args: Sequence[str], scope: _Scope) -> str:
        if args[-1:] != ("403",):
            return _REASONS[line.name]
        self.deny(line, args, scope)
        return ""

    def header(self, line: Line, args: Sequence[str], scope: _Scope) -> str:
        key = "headers" if line.name == "header" else "request_headers"
        inner = line.block or ()
        lines = [(each, (each.name, *each.args)) for each in inner]
        for place, words in lines or [(line, tuple(args))]:
            if words == ("defer",):
                continue
            for table in self.tables(scope):
                if why := header(table, key, words):
                    self.gaps.append((place, why))
        return ""

    def tls(self, line: Line, args: Sequence[str], _: _Scope) -> str:
        match args:
            case ("internal",):
                self.table["tls"] = {"issuer": "local"}
            case (email,) if "@" in email:
                self.table["tls"] = {"email": email}
            case (certificate, key):
                self.table |= {
                    "certificate": _absolute(certificate, line),
                    "key": _absolute(key, line),
                }
            case _:
                if not line.block:
                    return NO_EQUIVALENT
        self.gaps += [(each, "see the keys of tls") for each in line.block or ()]
        return ""

    def encode(self, line: Line, args: Sequence[str], _: _Scope) -> str:
        named = (*args, *(each.name for each in line.block or ()))
        if "zstd" in named or "br" in named:
            return "gzip is on; zstd = true and brotli = true need modules of nginx"
        return ""

    def request_body(self, line: Line, _: Sequence[str], scope: _Scope) -> str:
        for each in line.block or ():
            if each.name != "max_size" or not each.args:
                self.gaps.append((each, NO_EQUIVALENT))
                continue
            for table in self.tables(scope):
                table["client_max_body_size"] = each.args[0].lower().replace("ib", "").rstrip("b")
        return ""

    def root(self, _: Line, args: Sequence[str], scope: _Scope) -> str:
        return "" if scope.matcher is ANY_REQUEST or args else NO_EQUIVALENT

    def try_files(self, _: Line, args: Sequence[str], scope: _Scope) -> str:
        spa, clean = _try_files(args)
        return "" if (spa or clean) and scope.root else "see spa and clean_urls of a folder"

    def log(self, line: Line, *_: object) -> str:
        return _REASONS["log"] if line.block else ""


def _absolute(path: str, line: Line) -> str:
    """Caddy's working folder is not known; most often it is that of the file."""
    return path if path.startswith("/") else str((Path(line.file).parent / path).absolute())


def _files_of(lines: Sequence[Line], scope: _Scope) -> tuple[str, tuple[str, ...]]:
    """`root` and `try_files` of a block hold for all of it, wherever they stand."""
    root, tried = scope.root, scope.try_files
    for line in lines:
        if line.name == "root" and line.args and (line.args[0] == "*" or len(line.args) == 1):
            root = line.args[-1]
        elif line.name == "try_files":
            tried = line.args
    return root, tried


def _try_files(args: Sequence[str]) -> tuple[bool, bool]:
    """Whether it is `spa`, and `clean_urls`; neither where it is anything else."""
    first, rest = (args[0], list(args[1:])) if args else ("", [])
    last = rest.pop() if rest and rest[-1] == "/index.html" else ""
    clean = "{path}.html" in rest
    known = {"{path}.html", "{path}/", "{path}/index.html"}
    if first != "{path}" or set(rest) - known:
        return False, False
    return bool(last), clean


def _flags(args: Sequence[str], line: Line, scope: _Scope) -> dict[str, object]:
    spa, clean = _try_files(scope.try_files)
    names = {*args, *(each.name for each in line.block or ())}
    flags = {"spa": spa, "clean_urls": clean, "listing": "browse" in names}
    return {key: True for key, is_set in flags.items() if is_set}


def _combine(scope: _Scope, inner: Matcher) -> Matcher | None:
    """Both together; None where they cannot be one route."""
    outer = scope.matcher
    keys = inner.keys or outer.keys
    if inner.keys and outer.keys:
        if scope.is_stripped and len(outer.keys) == 1 and all(k[:1] == "/" for k in inner.keys):
            keys = tuple(f"{outer.keys[0]}{key}" for key in inner.keys)
        elif not all(any(k.startswith(o) for o in outer.keys) for k in inner.keys):
            return None
    return Matcher(keys, {**outer.match, **inner.match})


def _upstream(
    name: str, addresses: Sequence[str], lines: Sequence[tuple[str, ...]], at: Line
) -> Line:
    """As nginx would have it."""
    words = [*(("server", each) for each in addresses), *lines]
    inner = tuple(Line(first, tuple(rest), at.file, at.number) for first, *rest in words)
    return Line("upstream", (name,), at.file, at.number, inner)


def _short_form(routes: list[dict[str, object]]) -> object:
    return routes if len(routes) > 1 or "match" in routes[0] else routes[0]


_Directive = Callable[[CaddySite, Line, Sequence[str], _Scope], str]
"""Empty where it is carried over, else why not."""
_DIRECTIVES: Final[Mapping[str, _Directive]] = {
    "handle": CaddySite.handle,
    "handle_path": CaddySite.handle,
    "route": CaddySite.handle,
    "reverse_proxy": CaddySite.reverse_proxy,
    "file_server": CaddySite.file_server,
    "redir": CaddySite.redir,
    "basic_auth": CaddySite.basic_auth,
    "basicauth": CaddySite.basic_auth,
    "forward_auth": CaddySite.deny,
    "respond": CaddySite.respond,
    "header": CaddySite.header,
    "request_header": CaddySite.header,
    "tls": CaddySite.tls,
    "encode": CaddySite.encode,
    "request_body": CaddySite.request_body,
    "root": CaddySite.root,
    "try_files": CaddySite.try_files,
    "log": CaddySite.log,
}
