"""Lines that nginx goes on doing by itself, as the text of a file that it includes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from portico.core.model.names import folder_name
from portico.core.model.nginx_lines import Line
from portico.core.model.units import parse_size
from portico.stack.importing.part import OutcomeKind, Part
from portico.stack.importing.report import Report
from portico.stack.importing.rules.proxying import is_ours

FOLDER: Final = "portico.d"
HTTP_FILE: Final = f"{FOLDER}/_http.conf"
"""Lines of the http block; no file of a site is called so."""
_OPTIONS: Final = ("default_server", "default", "reuseport", "deferred", "bind", "quic", "spdy")
_LONG_OPTIONS: Final = (
    "backlog=",
    "fastopen=",
    "rcvbuf=",
    "sndbuf=",
    "ipv6only=",
    "so_keepalive=",
)
INHERITED_DIRECTIVES: Final = frozenset(
    {
        *("root", "index", "autoindex", "expires", "default_type", "charset"),
        *("resolver", "resolver_timeout"),
    }
)
"""Lines that Portico's own blocks do not have, or with another value."""
_BUSY_SIZE: Final = 32 << 10
_HEADERS: Final = ("proxy_set_header", "grpc_set_header")


def file_of(site: str) -> str:
    """Where the lines of a site are; nginx's include would read a `*` as a pattern."""
    return f"{FOLDER}/{folder_name(site)}.conf"


def text_of(lines: Iterable[Line]) -> str:
    """As nginx reads it, each block with the file that it comes from."""
    found: list[str] = []
    for line in lines:
        found += [f"# {line.where}\n", _text([line])]
    return "".join(found)


def clean(line: Line, part: Part, report: Report) -> Line:
    """Without includes that could not be read, and without headers that Portico sets above."""
    inner = line.block
    if inner is None:
        return line
    headers = [each for each in inner if each.name in _HEADERS]
    ours = headers and all(
        len(each.args) == 2 and is_ours(*each.args, part)  # noqa: PLR2004
        for each in headers
    )
    for each in headers if ours else ():
        report.all_of(each, OutcomeKind.DONE)
    dropped = {id(each) for each in headers} if ours else set()
    dropped |= {id(each) for each in inner if each.name == "include"}
    return replace(
        line, block=tuple(clean(e, part, report) for e in inner if id(e) not in dropped)
    )


def with_inherited(line: Line, part: Part) -> Line:
    """A location with what it had from its server, where Portico's server block has no such
    line.
    """
    own = {each.name for each in line.block or ()}
    above = [
        each for each in part.lines if each.name in INHERITED_DIRECTIVES and each.name not in own
    ]
    return replace(line, block=(*above, *(line.block or ())))


def rename_upstreams(line: Line, names: dict[str, str]) -> Line:
    """With upstreams that have the name of one of ours under another one."""
    args = line.args
    if line.name == "upstream" and args:
        args = (names.get(args[0], args[0]), *args[1:])
    elif line.name.endswith("_pass") and args:
        scheme, mark, rest = args[0].rpartition("://")
        host, slash, path = rest.partition("/")
        args = (f"{scheme}{mark}{names.get(host, host)}{slash}{path}", *args[1:])
    inner = (
        None if line.block is None else tuple(rename_upstreams(each, names) for each in line.block)
    )
    return replace(line, args=args, block=inner)


def whole_server(line: Line, inherited: Iterable[Line], part: Part, report: Report) -> Line:
    """A server block as it can stand among Portico's, which have the options of the sockets."""
    found = clean(line, part, report)
    lines = [_listen(each) if each.name == "listen" else each for each in found.block or ()]
    lines = [each for each in lines if each.name != "listen" or not _is_quic(each)]
    return replace(line, block=(*inherited, *lines))


def with_busy_buffers(lines: list[Line]) -> list[Line]:
    """Portico's own proxy_busy_buffers_size is too small for larger buffers: nginx refuses."""
    sizes = [
        each.args[-1] for each in lines if each.name in {"proxy_buffer_size", "proxy_buffers"}
    ]
    if not sizes or any(each.name == "proxy_busy_buffers_size" for each in lines):
        return lines
    largest = max(sizes, key=parse_size)
    if parse_size(largest) <= _BUSY_SIZE:
        return lines
    first = next(each for each in lines if each.name in {"proxy_buffer_size", "proxy_buffers"})
    return [*lines, replace(first, name="proxy_busy_buffers_size", args=(largest,))]


def _listen(line: Line) -> Line:
    args = [
        each
        for each in line.args
        if each == "quic" or (each not in _OPTIONS and not each.startswith(_LONG_OPTIONS))
    ]
    return replace(line, args=tuple(each for each in args if each != "http2"))


def _is_quic(line: Line) -> bool:
    return "quic" in line.args


def _text(lines: Iterable[Line]) -> str:
    import crossplane  # type: ignore[import-untyped]  # noqa: PLC0415 - imports alone pay

    built: str = crossplane.build(list(_payload(lines)))
    return built + "\n"


def _payload(lines: Iterable[Line]) -> Iterator[dict[str, object]]:
    for line in lines:
        table: dict[str, object] = {
            "directive": line.name,
            "line": line.number,
            "args": list(line.args),
        }
        if line.block is not None:
            table["block"] = list(_payload(line.block))
        yield table
