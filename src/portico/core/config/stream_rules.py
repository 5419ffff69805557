"""Rules of streams: where their connections go, and how they are balanced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.config.findings import Draft, Finding, Path, did_you_mean, nearest, path_text
from portico.core.config.peers import peers_of_app, peers_of_upstream
from portico.core.config.references import app_named, target_named, upstream_named
from portico.core.config.upstream_rules import pool_findings
from portico.core.model.app import App
from portico.core.model.document import Document
from portico.core.model.names import is_ip
from portico.core.model.stream import Stream, parse_listen
from portico.core.model.upstream import Upstream

_TARGETS: Final = ("app", "upstream")
_TCP_KEYS: Final = (*("proxy_protocol", "set_real_ip_from", "server_names", "tls", "ssl_alpn"),)
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
        for target in stream.targets:
            yield from _balance(draft.document, path, stream, target)
        yield from _tls(draft, path, stream)
        yield from _protocol(draft.document, path, stream, udp=parse_listen(key).udp)


def _target(draft: Draft, path: Path, stream: Stream) -> Iterator[Finding]:
    found = [key for key in _TARGETS if getattr(stream, key) is not None]
    if len(found) > 1:
        yield Finding(path, f"has {' and '.join(found)}; set only one")
    if not stream.targets and not draft.may_be_set(path, *_TARGETS, "server_names"):
        yield Finding(path, "needs app, upstream or server_names")
    if stream.app is not None:
        yield from app_named(draft, (*path, "app"), stream.app)
    if stream.upstream is not None:
        yield from upstream_named(draft, (*path, "upstream"), stream.upstream)
    for name, target in stream.server_names.items():
        yield from target_named(draft, (*path, "server_names", name), target)
        if is_ip(name):
            what = "is an address, and clients send only names (RFC 6066 3)"
            yield Finding((*path, "server_names", name), what)
    for variable in stream.balance.variables if stream.balance else ():
        if variable not in _VARIABLES:
            hint = did_you_mean((right := nearest(variable, _VARIABLES)) and f"${right}")
            what = f"nginx's stream has no variable ${variable}"
            yield Finding((*path, "balance"), what, hint)


def _balance(document: Document, path: Path, stream: Stream, target: str) -> Iterator[Finding]:
    balance = stream.balance
    if app := document.apps.get(target):
        yield from _group_balance(("apps", target), app, path, stream)
        if balance and app.listens:
            yield from pool_findings(path, balance, list(peers_of_app(target, app)))
    if upstream := document.upstreams.get(target):
        group: Path = ("upstreams", target)
        yield from _group_balance(group, upstream, path, stream)
        if balance and all(name in document.apps for name in upstream.apps):
            peers = list(peers_of_upstream(group, upstream, document))
            yield from pool_findings(path, balance, peers)


def _protocol(document: Document, path: Path, stream: Stream, *, udp: bool) -> Iterator[Finding]:
    if not udp:
        if stream.proxy_responses is not None:
            yield Finding((*path, "proxy_responses"), "is for UDP")
        return
    for key in _TCP_KEYS:
        if getattr(stream, key):
            yield Finding((*path, key), "is for TCP")
    if (upstream := document.upstreams.get(stream.upstream or "")) and upstream.tls:
        yield Finding((*path, "upstream"), f'"{stream.upstream}" has tls, which is for TCP')


def _tls(draft: Draft, path: Path, stream: Stream) -> Iterator[Finding]:
    document = draft.document
    site = document.sites.get(stream.tls or "")
    if stream.tls is not None and site is None and not draft.may_be_set(("sites",), stream.tls):
        hint = did_you_mean(nearest(stream.tls, document.sites))
        yield Finding((*path, "tls"), f'there is no site "{stream.tls}"', hint)
    if site is not None and not site.https:
        yield Finding((*path, "tls"), f'"{stream.tls}" has no certificate: its https is false')
    if stream.ssl_alpn and not stream.tls and not draft.may_be_set(path, "tls"):
        yield Finding((*path, "ssl_alpn"), "needs tls")
    if stream.server_names and stream.tls:
        what = "cannot be combined with tls: server_names pass TLS on, and tls ends it here"
        yield Finding((*path, "server_names"), what)
    for target in stream.targets if stream.server_names else ():
        if (upstream := document.upstreams.get(target)) and upstream.tls:
            what = (
                f'cannot lead to upstream "{target}": its tls would encrypt the connection twice'
            )
            yield Finding((*path, "server_names"), what)


def _group_balance(
    group: Path, target: App | Upstream, path: Path, stream: Stream
) -> Iterator[Finding]:
    unknown = [v for v in target.balance.variables if v not in _VARIABLES]
    if unknown and stream.balance is None:
        what = f"must be set: {path_text(group)} uses ${unknown[0]}, which only HTTP has"
        yield Finding((*path, "balance"), what, 'write balance = "hash $remote_addr"')
