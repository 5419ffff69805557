"""Clients of a test's sites and of its daemon: connections whose end a test knows."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.network import Network


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Client:
    """One keep-alive connection to a site, whatever its name resolves to."""

    def __init__(
        self, site: str, port: int, tls: ssl.SSLContext | None, network: Network | None = None
    ) -> None:
        self._connection: _Loopback
        if tls:
            self._connection = _LoopbackTls(site, port, timeout=120, context=tls)
        else:
            self._connection = _Loopback(site, port, timeout=120)
        self._connection.network = network

    def ask(
        self, method: str, path: str = "/", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Header names are written with _ for -: `X_Forwarded_For`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, names)
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def close(self) -> None:
        self._connection.close()


class _Loopback(http.client.HTTPConnection):
    network: Network | None = None

    def connect(self) -> None:
        with self.network.entered() if self.network else nullcontext():
            self.sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("portico", timeout=60)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _LoopbackTls(_Loopback):
    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
