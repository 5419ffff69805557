"""nginx's lines with the blocks around them: what a level has, and what it inherits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Final

from portico.core.model.nginx_lines import Line

_MAIN: Final = frozenset({"http", "events", "stream", "mail", "user", "pid", "worker_processes"})
_SERVER_DIRECTIVES: Final = frozenset({"location", "listen", "server_name", "return", "rewrite"})
_KNOWN_INCLUDES: Final = {
    "options-ssl-nginx.conf": "ssl_",
    "mime.types": "types",
    "ffdhe2048.txt": "ssl_",
    "ssl-params.conf": "ssl_",
    "fastcgi_params": "fastcgi_",
    "fastcgi.conf": "fastcgi_",
    "uwsgi_params": "uwsgi_",
    "scgi_params": "scgi_",
    "proxy_params": "proxy_set_header",
}
"""What files that distributions and certbot ship hold: directives that begin so."""


class Block:
    """A block with the one that it is in. One of `http` that no file has stands around servers of
    files that are included there.
    """

    def __init__(self, line: Line, parent: Block | None = None) -> None:
        self.line, self.parent = line, parent
        self.lines = tuple(each for each in line.block or () if _is_sound(each))
        self.blocks = tuple(Block(each, self) for each in self.lines if each.block is not None)
        self._by_name: dict[str, list[Line]] = {}
        for each in self.lines:
            self._by_name.setdefault(each.name, []).append(each)

    @property
    def name(self) -> str:
        return self.line.name

    def all(self, *names: str) -> list[Line]:
        """Of this level alone."""
        found = [each for name in names for each in self._by_name.get(name, ())]
        return found if len(names) == 1 else sorted(found, key=self.lines.index)

    def first(self, name: str) -> Line | None:
        return next(iter(self._by_name.get(name, ())), None)

    def inherited_lines(self, name: str) -> list[Line]:
        """Of the nearest level that has any: how nginx inherits lists and single values alike."""
        here: Block | None = self
        while here is not None:
            if found := here.all(name):
                return found
            here = here.parent
        return []

    def value(self, name: str) -> str:
        """The arguments of the nearest; empty where there is none."""
        found = self.inherited_lines(name)
        return " ".join(found[-1].args) if found else ""

    def may_have(self, name: str) -> bool:
        """Whether an include that could not be read may have set it here or further out."""
        return any(level.has_unread(name) for level in self.levels())

    def has_unread(self, name: str = "") -> bool:
        """The same, of this level alone."""
        return any(_may_hold(each, name) for each in self._by_name.get("include", ()))

    def levels(self) -> Iterator[Block]:
        """Itself, and outward."""
        here: Block | None = self
        while here is not None:
            yield here
            here = here.parent

    def walk(self) -> Iterator[Block]:
        """Itself, and all that is in it."""
        yield self
        for each in self.blocks:
            yield from each.walk()

    def enclosing_block(self, name: str) -> Block | None:
        """The nearest of that name: itself, or one further out."""
        return next((each for each in self.levels() if each.name == name), None)


_BARE_DIRECTIVES: Final = frozenset(
    {"ip_hash", "least_conn", "random", "internal", "stub_status", "break", "sticky"}
)
_BLOCKS_ALONE: Final = frozenset({"http", "server", "events", "stream", "mail", "types"})


def _is_sound(line: Line) -> bool:
    """Not what nginx refuses because it has no argument: no rule needs to think of that."""
    return bool(line.args) or line.name in (
        _BARE_DIRECTIVES if line.block is None else _BLOCKS_ALONE
    )


def _may_hold(line: Line, name: str) -> bool:
    if line.name != "include" or not line.args:
        return False
    only = _KNOWN_INCLUDES.get(PurePath(line.args[0]).name)
    return only is None or not name or name.startswith(only)


@dataclass(frozen=True, slots=True)
class Listen:
    line: Line | None
    """None where the server has none, and nginx listens on port 80."""
    address: str
    port: int
    params: tuple[str, ...] = ()

    @property
    def ssl(self) -> bool:
        return "ssl" in self.params or self.quic

    @property
    def quic(self) -> bool:
        return "quic" in self.params

    @property
    def default(self) -> bool:
        return bool({"default_server", "default"} & set(self.params))


class Server(Block):
    """A server of HTTP."""

    @property
    def is_part(self) -> bool:
        """Whether only a part of it was read: a file that is included in a server."""
        return bool(self.line.args)

    @cached_property
    def listens(self) -> tuple[Listen, ...]:
        found = tuple(map(_listen, self.all("listen")))
        unknown = self.is_part or self.has_unread("listen")
        return found if found or unknown else (Listen(None, "*", 80),)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(arg for line in self.all("server_name") for arg in line.args)

    @property
    def tls(self) -> bool:
        return any(each.ssl for each in self.listens) or self.value("ssl") == "on"

    @property
    def rejects(self) -> bool:
        """Whether it answers nobody: for names that have no server of their own."""
        ends = self.all("return")
        closes = bool(ends) and ends[0].args[:1] and ends[0].args[0] in {"444", "421", "404"}
        return bool(self.value("ssl_reject_handshake") == "on" or closes)


def _listen(line: Line) -> Listen:
    where, *params = line.args or ("",)
    address, _, port = where.rpartition(":")
    if where.isdecimal():
        address, port = "*", where
    elif (where.startswith("[") and where.endswith("]")) or not port.isdecimal():
        address, port = where, "80"
    number = 0 if where.startswith("unix:") else int(port)
    return Listen(line, address or "*", number, tuple(params))


@dataclass(frozen=True, slots=True)
class Peer:
    """A `server` of an upstream."""

    line: Line

    @property
    def address(self) -> str:
        return self.line.args[0] if self.line.args else ""

    @property
    def host(self) -> str:
        return split_address(self.address)[0]

    @property
    def port(self) -> int | None:
        return split_address(self.address)[1]

    def has(self, word: str) -> bool:
        return word in self.line.args[1:]

    def param(self, name: str) -> str | None:
        found = (each.partition("=") for each in self.line.args[1:])
        return next((value for key, _, value in found if key == name), None)


METHODS: Final = ("ip_hash", "hash", "random", "least_conn", "least_time")


class Upstream(Block):
    @property
    def key(self) -> str:
        return self.line.args[0] if self.line.args else ""

    @cached_property
    def peers(self) -> tuple[Peer, ...]:
        return tuple(map(Peer, self.all("server")))

    @property
    def methods(self) -> list[Line]:
        return self.all(*METHODS)


def split_address(text: str) -> tuple[str, int | None]:
    """`[::1]:80`, `name:80`, `name`, `unix:/path`."""
    if text.startswith("unix:"):
        return text, None
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else (text, None)


_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


def seconds(text: str) -> float | None:
    """A time as nginx reads it: `75`, `1m30s`, `500ms`. None where it is no such time."""
    parts = re.findall(r"(\d+)(ms|[smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


_TARGET: Final = re.compile(r"^(?:(https?|grpcs?)://)?(unix:[^:]+|[^/]+)(:?/.*)?$")


@dataclass(frozen=True, slots=True)
class Pass:
    """A `proxy_pass`, `grpc_pass` and the like, with where it leads."""

    block: Block
    line: Line
    host: str
    """With its port; `$` in it where that is decided for each request."""
    uri: str
    upstream: Upstream | None

    @property
    def location(self) -> Block:
        """The location that it is in, past an `if`."""
        return next(e for e in self.block.levels() if e.name not in {"if", "limit_except"})


class Nginx:
    """All lines of nginx's files as one tree."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.main = Block(Line("", (), "", 0, _main_lines(lines)))
        https = [each for each in self.main.blocks if each.name == "http"]
        self.http: Block = https[0] if https else Block(Line("http", (), "", 0, ()))
        self.is_whole = any(each.name == "http" for each in lines)
        """Whether the file that holds `http` was read, and so everything around the servers."""

    @cached_property
    def servers(self) -> tuple[Server, ...]:
        return tuple(
            Server(each.line, each.parent) for each in self.http.blocks if each.name == "server"
        )

    @cached_property
    def upstreams(self) -> tuple[Upstream, ...]:
        return tuple(Upstream(e.line, e.parent) for e in self.http.blocks if e.name == "upstream")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Of HTTP, from outside to inside; servers are Servers and upstreams Upstreams."""
        inner = (
            each
            for block in self.http.blocks
            if block.name not in {"server", "upstream"}
            for each in block.walk()
        )
        named = (each for one in (*self.upstreams, *self.servers) for each in one.walk())
        return (self.http, *inner, *named)

    def lines_named(self, *names: str) -> Iterator[tuple[Block, Line]]:
        """Every directive of these names, with the block that it is in."""
        for block in self.blocks:
            for line in block.all(*names):
                yield block, line

    @property
    def start(self) -> Line:
        """Where what is missing in a whole configuration is to be written."""
        lines = self.main.lines
        main = next((e for e in lines if e.name in {"events", "http"} and e.file), self.http.line)
        return Line(main.name, (), main.file, 0)

    def never_sets(self, *names: str) -> bool:
        """Whether a whole configuration has none of these directives at any level."""
        unread = any(block.has_unread(name) for block in self.blocks for name in names)
        return self.is_whole and not unread and not any(True for _ in self.lines_named(*names))

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """What is sent to programs over HTTP."""
        by_name = {each.key: each for each in self.upstreams}
        found = []
        for block, line in self.lines_named("proxy_pass", "grpc_pass"):
            target = line.args[0] if line.args else ""
            match = _TARGET.match(target)
            host, uri = (match[2], (match[3] or "").lstrip(":")) if match else (target, "")
            found.append(Pass(block, line, host, uri, by_name.get(host)))
        return tuple(found)


def _main_lines(lines: Sequence[Line]) -> tuple[Line, ...]:
    """What is loose in a file that others include is put where it is included."""
    http = next((each for each in lines if each.name == "http"), None)
    loose = [e for e in lines if e.name not in _MAIN] if http is None else _http_lines(lines)
    if any(each.name in _SERVER_DIRECTIVES for each in loose):
        outside = {"server", "upstream", "map", "geo", "split_clients", "limit_req_zone"}
        inside = tuple(each for each in loose if each.name not in outside)
        first = inside[0]
        server = Line("server", ("part",), first.file, first.number, inside)
        loose = [each for each in loose if each.name in outside]
        loose.append(server)
    if not loose and http is None:
        return tuple(lines)
    own = http.block or () if http else ()
    joined = Line(
        "http", (), http.file if http else "", http.number if http else 0, (*own, *loose)
    )
    return (*(each for each in lines if each is not http and each not in loose), joined)


def _http_lines(lines: Sequence[Line]) -> list[Line]:
    """Beside a main file: what can only be meant for its `http`."""
    inner = {"server", "upstream", "map", "geo", "split_clients", "location"}
    return [each for each in lines if each.name in inner]
