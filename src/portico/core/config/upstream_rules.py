"""Rules of balancing: what nginx refuses, and what it takes but nobody can have meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portico.core.config.app_rules import whole_seconds
from portico.core.config.findings import Draft, Finding, Path, did_you_mean, nearest, path_text
from portico.core.config.health_rules import http_findings
from portico.core.config.peers import Peer, peers_of_app, peers_of_upstream
from portico.core.config.references import app_named
from portico.core.config.variables import NGINX_VARIABLES, is_known_variable
from portico.core.model.app import App
from portico.core.model.balancing import Balance, Sticky
from portico.core.model.document import Document
from portico.core.model.names import is_ip
from portico.core.model.upstream import Upstream


def upstream_findings(draft: Draft) -> Iterator[Finding]:
    document = draft.document
    for path, group in _groups(document):
        yield from _sticky(path, group)
    if not document.edge.include and not any(site.include for site in document.sites.values()):
        for path, group in _groups(document):  # no lines of the operator's define variables
            yield from _variables(path, group)
    named = {name for upstream in document.upstreams.values() for name in upstream.apps}
    for name, app in document.apps.items():
        if app.listens:
            yield from pool_findings(("apps", name), app.balance, list(peers_of_app(name, app)))
        if app.backup and name not in named and not draft.may_be_set((), "upstreams"):
            what = "has no effect: no upstream uses the app"
            yield Finding(("apps", name, "backup"), what)
    for name, upstream in document.upstreams.items():
        path = ("upstreams", name)
        if name in document.apps:
            yield Finding(path, f'"{name}" is already the name of an app')
        yield from _members(draft, path, upstream)
        yield from _health(draft, path, upstream)
        yield from _tls(path, upstream)


def _groups(document: Document) -> Iterator[tuple[Path, App | Upstream]]:
    """Everything that has a balancing method."""
    yield from ((("apps", name), app) for name, app in document.apps.items())
    yield from ((("upstreams", name), group) for name, group in document.upstreams.items())


def _sticky(path: Path, group: App | Upstream) -> Iterator[Finding]:
    sticky = group.sticky
    if isinstance(sticky, Sticky) and sticky.samesite == "none" and not sticky.secure:
        what = 'must be true with samesite = "none": browsers require it'
        yield Finding((*path, "sticky", "secure"), what)


def _variables(path: Path, group: App | Upstream) -> Iterator[Finding]:
    for variable in group.balance.variables:
        if not is_known_variable(variable):
            right = nearest(variable, NGINX_VARIABLES)
            hint = did_you_mean(right and f"${right}")
            yield Finding((*path, "balance"), f"nginx has no variable ${variable}", hint)


def _members(draft: Draft, path: Path, upstream: Upstream) -> Iterator[Finding]:
    for index, server in enumerate(upstream.servers):
        yield from whole_seconds((*path, "servers", index, "fail_timeout"), server.fail_timeout)
    for index, name in enumerate(upstream.apps):
        yield from app_named(draft, (*path, "apps", index), name)
        if name in upstream.apps[:index]:
            yield Finding((*path, "apps", index), f'names app "{name}" twice')
    if draft.may_be_set(path, "servers", "apps"):
        return
    if not upstream.servers and not upstream.apps:
        yield Finding(path, "needs servers or apps")
    elif all(name in draft.document.apps for name in upstream.apps):
        peers = list(peers_of_upstream(path, upstream, draft.document))
        yield from pool_findings(path, upstream.balance, peers)


def pool_findings(path: Path, balance: Balance, peers: Sequence[Peer]) -> Iterator[Finding]:
    if not balance.has_backup:
        place = f"{path_text(path)} has {balance.method}"
        what = f"cannot be true: {place}, which does not support backups"
        for backup in dict.fromkeys(peer.backup for peer in peers if peer.backup):
            yield Finding(backup, what)
    elif all(peer.backup for peer in peers):
        yield Finding(path, "has only backups; at least one peer must not be a backup")
    if all(peer.down for peer in peers):
        yield Finding(path, "has only peers that are down")


def _health(draft: Draft, path: Path, upstream: Upstream) -> Iterator[Finding]:
    """All servers are one name for nginx, so the parameters that its line has are theirs all."""
    check = upstream.check
    if check is None:
        return
    if not upstream.servers and not draft.may_be_set(path, "servers"):
        yield Finding((*path, "health"), "needs servers; apps have a health of their own")
    for index, server in enumerate(upstream.servers):
        here: Path = (*path, "servers", index)
        if server.address.startswith("unix:"):
            yield Finding(here, "cannot be checked: it is a unix socket")
        for key in ("max_conns", "max_fails", "fail_timeout"):
            if getattr(server, key) != getattr(upstream.servers[0], key):
                yield Finding((*here, key), "must be the same for all servers, because of health")
    yield from http_findings(draft, (*path, "health"), check)


def _tls(path: Path, upstream: Upstream) -> Iterator[Finding]:
    if not upstream.tls:
        return
    if upstream.apps:
        yield Finding((*path, "tls"), "is for servers; apps speak plain HTTP on this machine")
    hosts = {server.address.rsplit(":", 1)[0] for server in upstream.servers}
    by_name = len(hosts) == 1 and not any(is_ip(host) or host == "unix" for host in hosts)
    if upstream.servers and upstream.tls_verify and not upstream.tls_name and not by_name:
        yield Finding(
            path,
            "needs tls_name, the name to verify: its servers have several names or only addresses",
        )
