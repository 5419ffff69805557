"""Rules of streams: where their connections go, and how they are balanced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.config.findings import Draft, Finding, Path, did_you_mean, nearest, path_text
from portico.core.config.peers import peers_of_app, peers_of_upstream
from portico.core.config.references import app_named, upstream_named
from portico.core.config.upstream_rules import pool_findings
from portico.core.model.app import App
from portico.core.model.document import Document
from portico.core.model.stream import Stream
from portico.core.model.upstream import Upstream

_TARGETS: Final = ("app", "upstream")
_VARIABLES: Final = frozenset(
    {
        *("binary_remote_addr", "connection", "hostname", "pid", "protocol", "remote_addr"),
        *("remote_port", "server_addr", "server_port", "time_iso8601", "time_local"),
    }
)
"""Those of nginx's stream that every build has when it chooses a peer."""


def stream_findings(draft: Draft) -> Iterator[Finding]:
    for key, stream in draft.document.streams.items():
        path: Path = ("streams", key)
        yield from _target(draft, path, stream)
        yield from _balance(draft.document, path, stream)


def _target(draft: Draft, path: Path, stream: Stream) -> Iterator[Finding]:
    found = [key for key in _TARGETS if getattr(stream, key) is not None]
    if len(found) > 1:
        yield Finding(path, f"has {' and '.join(found)}; set only one")
    if not found and not draft.may_be_set(path, *_TARGETS):
        yield Finding(path, "needs app or upstream")
    if stream.app is not None:
        yield from app_named(draft, (*path, "app"), stream.app)
    if stream.upstream is not None:
        yield from upstream_named(draft, (*path, "upstream"), stream.upstream)


def _balance(document: Document, path: Path, stream: Stream) -> Iterator[Finding]:
    balance = stream.balance
    for variable in balance.variables if balance else ():
        if variable not in _VARIABLES:
            hint = did_you_mean((right := nearest(variable, _VARIABLES)) and f"${right}")
            what = f"nginx's stream has no variable ${variable}"
            yield Finding((*path, "balance"), what, hint)
    if app := document.apps.get(stream.app or ""):
        yield from _group_balance(("apps", stream.app or ""), app, path, stream)
        if balance and app.listens:
            yield from pool_findings(path, balance, list(peers_of_app(stream.app or "", app)))
    if upstream := document.upstreams.get(stream.upstream or ""):
        group: Path = ("upstreams", stream.upstream or "")
        yield from _group_balance(group, upstream, path, stream)
        if balance and all(name in document.apps for name in upstream.apps):
            peers = list(peers_of_upstream(group, upstream, document))
            yield from pool_findings(path, balance, peers)


def _group_balance(
    group: Path, target: App | Upstream, path: Path, stream: Stream
) -> Iterator[Finding]:
    unknown = [v for v in target.balance.variables if v not in _VARIABLES]
    if unknown and stream.balance is None:
        what = f"must be set: that of {path_text(group)} has ${unknown[0]}, which is of HTTP"
        yield Finding((*path, "balance"), what, 'write balance = "hash $remote_addr"')
