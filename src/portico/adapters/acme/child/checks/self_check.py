"""Asks a name for our answer to HTTP-01 as an authority does: at each of its addresses."""

from __future__ import annotations

import errno
import http.client
import secrets
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from portico.adapters.acme.child.challenges.dns.lookup import Lookup
from portico.adapters.acme.child.challenges.responses import WELL_KNOWN
from portico.adapters.acme.child.challenges.tokens import waited_for
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure, setup_failure
from portico.adapters.acme.child.protocol.network import reason
from portico.adapters.acme.methods import Http
from portico.core.model.preflight import Address

REQUEST_TIMEOUT: Final = 10.0  # seconds, as Let's Encrypt grants
MAX_REDIRECTS: Final = 10
HTTPS: Final = 443
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_STATUS_OK: Final = 200
_MAX_ANSWER_SIZE: Final = 4096
_ROUTE_ERRORS: Final = frozenset({errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    server: str
    location: str
    body: str


class SelfCheck:
    """`thumbprint` is that of the account's key; `port` where the authority begins to ask."""

    def __init__(self, thumbprint: str, port: int, context: RunContext) -> None:
        self._thumbprint, self._port, self._context = thumbprint, port, context

    def ask(self, name: str, address: str, lookup: Lookup, method: Http) -> Address:
        token = secrets.token_urlsafe(16)
        host = f"[{name}]" if ":" in name else name
        try:
            with waited_for(method, token, context=self._context):
                answer = self._follow(f"http://{host}{WELL_KNOWN}{token}", name, address, lookup)
        except AcmeFailure as failed:
            return Address(address, str(failed))
        except OSError as error:
            no_way = ":" in address and error.errno in _ROUTE_ERRORS
            return Address(address, reason(error), unasked=no_way)
        except (http.client.HTTPException, ValueError) as error:
            return Address(address, f"the answer is not HTTP: {error!r}")
        if answer.status == _STATUS_OK and answer.body.strip() == f"{token}.{self._thumbprint}":
            return Address(address)
        server = f" ({answer.server})" if answer.server else ""
        said = "with something else" if answer.status == _STATUS_OK else f"with {answer.status}"
        return Address(address, f"another server answers{server}, {said}")

    def _follow(self, url: str, name: str, address: str, lookup: Lookup) -> _Answer:
        """Redirects too, but to the two usual ports only; certificates are not looked at."""
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            host, secure = parts.hostname or "", parts.scheme == "https"
            port = parts.port or (HTTPS if secure else self._port)
            if parts.scheme not in {"http", "https"} or port not in {self._port, HTTPS}:
                raise setup_failure(f"it redirects to {url}, which authorities do not follow")
            to = address if host == name else next(iter(lookup.addresses(host)), "")
            if not to:
                raise setup_failure(f"it redirects to {host}, which does not resolve")
            answer = self._get(to, port, parts, secure=secure)
            if answer.status not in _REDIRECTS or not answer.location:
                return answer
            url = urljoin(url, answer.location)
        raise setup_failure(f"it redirects more than {MAX_REDIRECTS} times")

    def _get(self, address: str, port: int, url: SplitResult, *, secure: bool) -> _Answer:
        limit = self._context.timeout(REQUEST_TIMEOUT, f"asking {url.netloc} at {address}")
        connection = http.client.HTTPConnection(address, port, timeout=limit)
        with socket.create_connection((address, port), limit) as plain:
            connection.sock = _start_tls(plain, url.hostname) if secure else plain
            try:
                path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
                connection.request("GET", path, headers={"Host": url.netloc})
                given = connection.getresponse()
                body = given.read(_MAX_ANSWER_SIZE).decode(errors="replace")
            finally:
                connection.close()
        headers = given.headers
        return _Answer(given.status, headers.get("Server", ""), headers.get("Location", ""), body)


def _start_tls(plain: socket.socket, host: str | None) -> socket.socket:
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    return blind.wrap_socket(plain, server_hostname=host)
