"""Rules of a slow start: what it cannot be joined with, and the weights that it multiplies."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path, path_text
from portico.core.config.peers import scaled_apps
from portico.core.model.balancing import Balance, Method
from portico.core.model.desired import WEIGHT_SCALE
from portico.core.model.document import Document

MAX_WEIGHT = 65535 // WEIGHT_SCALE  # RFC 2782: the weight of an SRV record has 16 bits


def slow_start_findings(draft: Draft) -> Iterator[Finding]:
    document = draft.document
    for name, app in document.apps.items():
        path: Path = ("apps", name, "slow_start")
        if app.slow_start and not app.listens:
            yield Finding(path, "needs a port, but port is false")
        for where, balance in _groups_of(name, document) if app.slow_start else ():
            if balance.method in {Method.HASH, Method.IP_HASH}:
                what = (
                    f"cannot be combined with {balance.method} of {path_text(where)}: each step "
                    "would move clients"
                )
                yield Finding(path, what)
    for path, weight in _weights(document):
        if weight > MAX_WEIGHT:
            yield Finding(path, f"must be {MAX_WEIGHT} or less with slow_start")


def _groups_of(name: str, document: Document) -> Iterator[tuple[Path, Balance]]:
    """Every group that the app is in, and how it is balanced."""
    yield ("apps", name), document.apps[name].balance
    for other, upstream in document.upstreams.items():
        if name in upstream.apps:
            yield ("upstreams", other), upstream.balance


def _weights(document: Document) -> Iterator[tuple[Path, int]]:
    """All that are multiplied."""
    scaled = scaled_apps(document)
    for name in sorted(scaled & document.apps.keys()):
        app = document.apps[name]
        yield ("apps", name, "weight"), app.weight
        for number, slot in app.slots.items():
            yield ("apps", name, "slots", number, "weight"), slot.weight or 1
    for name, upstream in document.upstreams.items():
        if scaled & set(upstream.apps):
            for index, server in enumerate(upstream.servers):
                yield ("upstreams", name, "servers", index, "weight"), server.weight
