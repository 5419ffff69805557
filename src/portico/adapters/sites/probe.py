"""Asks a site for its first page through nginx, on the address that nginx listens on."""

from __future__ import annotations

import asyncio
import ssl
from hashlib import sha256
from typing import Final

import h11

from portico.core.model.desired import Listeners
from portico.core.model.site import Site

PROBE_TIMEOUT: Final = 10.0
GATEWAY_ERRORS: Final = frozenset({502, 504})
"""What nginx answers itself when nothing behind it does."""
MAX_READ_SIZE: Final = 65536
PROXY_UNKNOWN: Final = b"PROXY UNKNOWN\r\n"
"""The PROXY protocol's header (version 1, 2.1) of a connection without a client behind it."""


class SiteProbe:
    """Implements `ports.Sites`."""

    def __init__(self) -> None:
        self._tls = _unverified_tls()

    async def ask(
        self, name: str, site: Site, listeners: Listeners, *, proxied: bool = False
    ) -> str | None:
        host = name.replace("*", "any", 1)
        address = _connect_address(listeners.addresses)
        port = listeners.https if site.https else listeners.http
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                reader, writer = await asyncio.open_connection(address, port)
                try:
                    if proxied:
                        writer.write(PROXY_UNKNOWN)
                    if site.https:
                        await writer.start_tls(self._tls, server_hostname=host)
                    request = _grpc_request(host) if site.grpc else _page_request(host)
                    status = await _first_status(reader, writer, request)
                finally:
                    writer.transport.abort()
        except TimeoutError:
            return f"timed out after {PROBE_TIMEOUT:g}s"
        except (OSError, h11.RemoteProtocolError) as error:
            return f"{address}:{port}: {error.__class__.__name__}: {error}"
        if status in GATEWAY_ERRORS:
            return f"nginx returned {status}: no backend answered"
        return None

    async def served_fingerprints(
        self,
        name: str,
        listeners: Listeners,
        *,
        proxied: bool = False,
        rsa: bool | None = None,
    ) -> set[str]:
        tls = self._tls if rsa is None else _tls_for_keys("aRSA" if rsa else "aECDSA")
        host = name.replace("*", "any", 1)
        fingerprints = (
            self._fingerprint(_connectable(address), listeners.https, host, tls, proxied=proxied)
            for address in listeners.addresses
        )
        return set(await asyncio.gather(*fingerprints))

    async def _fingerprint(
        self, address: str, port: int, host: str, tls: ssl.SSLContext, *, proxied: bool
    ) -> str:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                _, writer = await asyncio.open_connection(address, port)
                try:
                    if proxied:
                        writer.write(PROXY_UNKNOWN)
                    await writer.start_tls(tls, server_hostname=host)
                    return _fingerprint(writer)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return ""


def _unverified_tls() -> ssl.SSLContext:
    # Whose certificate is served is not the question here, and it may be anybody's own: the
    # system's authorities would only be so much memory.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _tls_for_keys(keys: str) -> ssl.SSLContext:
    """TLS 1.2, where the cipher says which kind of key the server has (RFC 5246 7.4.2)."""
    context = _unverified_tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(keys)
    return context


def _fingerprint(writer: asyncio.StreamWriter) -> str:
    tls = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls else None
    return sha256(certificate).hexdigest() if certificate else ""


def _page_request(host: str) -> h11.Request:
    """Answered by the app, not from a cache: a request that names its method is passed on
    (`render/cache.py`).
    """
    headers = [*_headers(host), ("X-HTTP-Method", "GET")]
    return h11.Request(method="GET", target="/", headers=headers)


def _grpc_request(host: str) -> h11.Request:
    """A call of no known method: a gRPC server resets a GET, but answers this with 200 and
    the gRPC status "unimplemented".
    """
    headers = [*_headers(host), ("Content-Type", "application/grpc"), ("TE", "trailers")]
    return h11.Request(
        method="POST", target="/portico.Visit/Ask", headers=[*headers, ("Content-Length", "0")]
    )


def _headers(host: str) -> list[tuple[str, str]]:
    return [("Host", host), ("User-Agent", "portico"), ("Connection", "close")]


async def _first_status(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request
) -> int:
    connection = h11.Connection(h11.CLIENT)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(MAX_READ_SIZE))
        elif isinstance(event, h11.Response):
            return event.status_code


def _connect_address(addresses: tuple[str, ...]) -> str:
    """An address to connect to for what nginx listens on."""
    return _connectable(addresses[0])


def _connectable(listened: str) -> str:
    first = listened.strip("[]")
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(first, first)  # noqa: S104 - not bound, replaced
