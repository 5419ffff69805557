"""The peers that nginx will have for an app or an upstream, as far as the file tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from portico.core.config.findings import Path
from portico.core.model.app import App
from portico.core.model.document import Document
from portico.core.model.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Peer:
    backup: Path | None
    """The key that makes it a backup."""
    down: bool


def peers_of_app(name: str, app: App) -> Iterator[Peer]:
    """One for each slot, in the app's own upstream.

    Of "max" instances those with a table of their own count, and one more.
    """
    named = max(map(int, app.slots), default=0)
    count = app.total or (named + 1 if app.instances == "max" else app.instances)
    for number in range(1, count + 1):
        slot = app.slot(number)
        backup = ("apps", name, "slots", str(number), "backup") if slot.backup else None
        yield Peer(backup, app.down or bool(slot.down))


def scaled_apps(document: Document) -> frozenset[str]:
    """The apps whose weights are multiplied: those with a slow start, and those that share an
    upstream with one, to which they stay in proportion.
    """
    found = {name for name, app in document.apps.items() if app.slow_start}
    groups = [set(upstream.apps) for upstream in document.upstreams.values()]
    while more := {name for group in groups if group & found for name in group} - found:
        found |= more
    return frozenset(found)


def peers_of_upstream(path: Path, upstream: Upstream, document: Document) -> Iterator[Peer]:
    """Its servers, and every slot of its apps. A backup app is one with all its slots."""
    for index, server in enumerate(upstream.servers):
        backup = (*path, "servers", index, "backup") if server.backup else None
        yield Peer(backup, server.down)
    for name in upstream.apps:
        app = document.apps[name]
        whole = ("apps", name, "backup") if app.backup else None
        for peer in peers_of_app(name, app):
            yield Peer(whole or peer.backup, peer.down)
