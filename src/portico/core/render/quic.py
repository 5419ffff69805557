"""HTTP/3: what is said once for all servers. Where nginx listens is in `listeners`."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.render.directive import Directive, directive
from portico.core.render.headers import alt_svc_map

HOST_KEY = "quic-host-key"


def quic_basics(desired: Desired) -> Iterator[Directive]:
    """In the http block."""
    if desired.listeners.http3:
        yield directive("http3", "on")
        yield directive("quic_host_key", HOST_KEY)
        yield alt_svc_map(desired.listeners)


def quic_files(desired: Desired, context: RenderContext) -> Iterator[tuple[str, str]]:
    """Name and text. All generations have the same key, so that tokens of address validation and
    of stateless resets (RFC 9000 8.1.3, 10.3) hold over reloads.
    """
    if desired.listeners.http3:
        yield HOST_KEY, hmac.digest(context.secret.encode(), b"quic", "sha256").hex()
