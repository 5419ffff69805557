"""Rules of ports and addresses: where nginx listens, and where instances do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from portico.core.config.findings import Finding, Path, path_text
from portico.core.model.document import Document
from portico.core.model.edge import Edge
from portico.core.model.stream import parse_listen
from portico.core.model.units import LAST_PORT


@dataclass(frozen=True, slots=True)
class Machine:
    """What of the machine a file depends on."""

    root: bool
    cores: int


def edge_ports(edge: Edge, machine: Machine) -> tuple[int, int]:
    """The ports of plain HTTP and of HTTPS."""
    http, https = (80, 443) if machine.root else (8080, 8443)
    return edge.http or http, edge.https or https


def edge_findings(document: Document, machine: Machine | None) -> Iterator[Finding]:
    """Without a machine, only what holds on every one."""
    bind = document.edge.bind
    if bind == ():
        yield Finding(("edge", "bind"), "must have an address, or be left out")
    for address, count in Counter(bind or ()).items():
        if count > 1:
            yield Finding(("edge", "bind"), f'has "{address}" more than once')
    if document.edge.http3:
        yield from _http3(document)
    # Without a site there is no nginx, but what the file sets itself is still a contradiction.
    listens = machine if document.sites else None
    spans = [*edge_spans(document.edge, listens), *app_spans(document, machine)]
    for span in spans:
        if span.last > LAST_PORT:
            what = f"is too high: the last instance would have port {span.last}"
            yield Finding(span.path, f"{what}, and ports end at {LAST_PORT}")
    yield from _overlaps(spans)
    yield from _stream_overlaps(list(stream_spans(document)), spans)


def _http3(document: Document) -> Iterator[Finding]:
    for name, site in document.sites.items():
        if site.real_ip and site.real_ip.proxy_protocol:
            what = "cannot be combined with [edge] http3: QUIC has no PROXY protocol"
            yield Finding(("sites", name, "real_ip", "proxy_protocol"), what)


@dataclass(frozen=True, slots=True)
class Span:
    """Ports in a row, and the key that takes them."""

    first: int
    last: int
    path: Path
    address: str = ""
    """Where alone they are taken: `*` is all of IPv4, `[::]` of IPv6. Empty for every address."""
    protocol: str = ""
    """`tcp` or `udp`; empty for both, as an app may use its port."""

    def common_port(self, other: Span) -> int | None:
        """The first port that both take."""
        first = max(self.first, other.first)
        both = first <= min(self.last, other.last) and _addresses_overlap(
            self.address, other.address
        )
        elsewhere = self.protocol and other.protocol and self.protocol != other.protocol
        return first if both and not elsewhere else None


def edge_spans(edge: Edge, machine: Machine | None) -> Iterator[Span]:
    http, https = edge_ports(edge, machine) if machine else (edge.http, edge.https)
    if http is not None:
        yield Span(http, http, ("edge", "http"), protocol="tcp")
    if https is not None:
        yield Span(https, https, ("edge", "https"), protocol="" if edge.http3 else "tcp")
    if edge.metrics:
        address, _, port = edge.metrics.rpartition(":")
        yield Span(int(port), int(port), ("edge", "metrics"), address, protocol="tcp")


def app_spans(document: Document, machine: Machine | None) -> Iterator[Span]:
    cores = machine.cores if machine else 1
    for name, app in document.apps.items():
        if app.port:
            count = max(cores if n == "max" else n for n in app.numbers)
            yield Span(app.port, app.port + count - 1, ("apps", name, "port"))


def stream_spans(document: Document) -> Iterator[Span]:
    for key in document.streams:
        listen = parse_listen(key)
        address = "*" if listen.address == "0.0.0.0" else listen.address  # noqa: S104 - not bound
        protocol = "udp" if listen.udp else "tcp"
        yield Span(listen.port, listen.port, ("streams", key), address, protocol)


def _addresses_overlap(one: str, other: str) -> bool:
    if not one or not other or one == other:
        return True
    return (":" in one) == (":" in other) and not {"*", "[::]"}.isdisjoint({one, other})


def _stream_overlaps(streams: list[Span], others: Iterable[Span]) -> Iterator[Finding]:
    """Few, so each against all."""
    earlier = list(others)
    for span in streams:
        for other in earlier:
            if (port := span.common_port(other)) is not None:
                both = f"both would have port {port}"
                yield Finding(span.path, f"overlaps with {path_text(other.path)}: {both}")
        earlier.append(span)


def _overlaps(spans: list[Span]) -> Iterator[Finding]:
    """Each span against the one that reaches furthest of those that begin before it."""
    order = {span.path: place for place, span in enumerate(spans)}
    furthest: Span | None = None
    for span in sorted(spans, key=lambda span: span.first):
        if furthest and span.first <= furthest.last:
            earlier, later = sorted((span, furthest), key=lambda span: order[span.path])
            both = f"both would have port {span.first}"
            yield Finding(later.path, f"overlaps with {path_text(earlier.path)}: {both}")
        if furthest is None or span.last > furthest.last:
            furthest = span
