"""What an operator's own lines take away from a site.

nginx inherits some directives from the level above only if a level has none of them: a location
with one `proxy_set_header` has no other. What stands in the server block itself does no harm,
because Portico writes its own there as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from portico.core.model.desired import Desired, paths
from portico.core.model.names import label_of
from portico.core.model.nginx_lines import Line
from portico.core.model.site import Site
from portico.core.render.headers import request_headers
from portico.core.render.identity import identity_names
from portico.core.render.scope import Scope
from portico.core.render.settings import settings

_SETTERS: Final = {"proxy_pass": "proxy_set_header", "grpc_pass": "grpc_set_header"}
_NOT_MERGED: Final = {
    *("add_header", "allow", "deny", "limit_req", "limit_conn", "auth_basic", "access_log"),
}
"""What is inherited as a whole, or, like `auth_basic`, replaced."""
_HINT: Final = "remove it, or use request_headers in the site or a route"
_OVERRIDES: Final = {
    "error_page": "has no effect on requests passed to an app; use error_pages",
    "proxy_next_upstream": "makes nginx repeat requests more often than `retries` allows",
    "proxy_http_version": "disables WebSockets and keepalive connections if it is not 1.1",
}
"""In a server block or a location."""
_LENIENT_SETTINGS: Final = {"underscores_in_headers": "on", "ignore_invalid_headers": "off"}
"""What passes headers whose names a program of WSGI or CGI cannot tell from ours."""


@dataclass(frozen=True, slots=True)
class Loss:
    where: str
    """File and line."""
    what: str
    hint: str = ""
    misleads: bool = False
    """Whether a program would be told what a client made up."""


def all_losses(
    desired: Desired, read: Callable[[str], tuple[Line, ...]]
) -> Iterator[tuple[str, Loss]]:
    """Each with the key of the file that it follows from; `read` gives the lines of a file."""
    upstreams = {label_of(name) for name in desired.upstreams}
    for path in paths(desired.edge.include, "/"):
        for loss in losses(read(path), None, upstreams):
            yield "edge.include", loss
    identity = identity_names(desired)
    for name, site in desired.sites.items():
        folder = desired.origin(name).folder
        scope = Scope(name, site, folder, identity=identity[name])
        for path in paths(site.include, folder):
            for loss in losses(read(path), scope, upstreams):
                yield f'sites."{name}".include', loss


def losses(
    lines: Iterable[Line], scope: Scope | None, upstreams: Collection[str]
) -> Iterator[Loss]:
    """`scope` is the site whose server block has these lines, None for the http block;
    `upstreams` are what apps and upstreams are called in nginx's files.
    """
    header_names = _names(scope)
    written = set() if scope is None else _directives_of(scope)
    for line in lines:
        if line.name == "proxy_set_header" and line.args and line.args[0].lower() in header_names:
            what = f"sets {line.args[0]}, which Portico also sets, so apps get both"
            yield Loss(line.where, what, _HINT, misleads=True)
        yield from _losses_anywhere(line)
        if line.block is not None:
            yield from _block_losses(line, line.block, header_names, written, upstreams, own={})


def _block_losses(
    head: Line,
    block: tuple[Line, ...],
    header_names: Collection[str],
    written: Collection[str],
    upstreams: Collection[str],
    own: dict[str, frozenset[str]],
) -> Iterator[Loss]:
    """`own` has the headers that the nearest block with any sets, by directive."""
    own = own | {name: found for name in _SETTERS.values() if (found := _set_in(block, name))}
    title = " ".join((head.name, *head.args))
    for name in sorted({line.name for line in block} & _NOT_MERGED & {*written}):
        yield Loss(head.where, f"{title} has {name}, so it does not inherit the site's")
    for line in block:
        if line.name in _SETTERS and line.args:
            yield from _lost_headers(
                line, title, header_names, upstreams, own.get(_SETTERS[line.name])
            )
        yield from _losses_anywhere(line)
        if line.block is not None:
            yield from _block_losses(line, line.block, header_names, written, upstreams, own)


def _lost_headers(
    line: Line,
    title: str,
    header_names: Collection[str],
    upstreams: Collection[str],
    own: frozenset[str] | None,
) -> Iterator[Loss]:
    """No `grpc_set_header` of ours stands above an operator's location."""
    if own is None and line.name == "proxy_pass":
        return
    missing = sorted({*header_names} - (own or set()))
    if missing:
        what = f"{title} does not set {len(missing)} headers that Portico sets"
        what += f", such as {_best_known(missing)}: a client's own headers would reach the app"
        to_ours = re.split(r"[/$:]", line.args[0].partition("://")[2])[0] in upstreams
        yield Loss(line.where, what, _HINT, misleads=to_ours)


def _best_known(missing: list[str]) -> str:
    usual = ("x-forwarded-for", "x-real-ip", "x-forwarded-proto", "host")
    return next((name for name in usual if name in missing), missing[0])


def _losses_anywhere(line: Line) -> Iterator[Loss]:
    if line.name == "include":
        what = f"{' '.join(line.args)} cannot be checked here, only by nginx"
        yield Loss(line.where, what)
    elif _LENIENT_SETTINGS.get(line.name) == "".join(line.args):
        what = f"{line.name} {line.args[0]} lets clients forge headers such as X_Forwarded_For"
        hint = (
            "programs of WSGI and CGI read it as X-Forwarded-For; remove it with request_headers"
        )
        yield Loss(line.where, what, hint)
    elif line.name in _OVERRIDES and line.args != ("1.1",):
        yield Loss(line.where, f"{line.name} {_OVERRIDES[line.name]}")


def _set_in(block: tuple[Line, ...], name: str) -> frozenset[str]:
    return frozenset(line.args[0].lower() for line in block if line.name == name and line.args)


def _names(scope: Scope | None) -> frozenset[str]:
    lines = settings(scope)["request headers"] if scope else request_headers(Scope("", Site()))
    return frozenset(line.head.split()[1].strip('"').lower() for line in lines)


def _directives_of(scope: Scope) -> set[str]:
    """The directives that the site's server block has of ours."""
    names = {line.head.split()[0] for group in settings(scope).values() for line in group}
    return names | ({"access_log"} if scope.site.access_log else set())
