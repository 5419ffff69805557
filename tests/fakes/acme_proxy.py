"""Stands before pebble and adds what it lacks: renewal information, profiles, limits, trouble.

Pebble builds its URLs from the Host header, which stays as the client sent it, so the client
never learns of the other address.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from portico.adapters.acme.wire import Server
from portico.adapters.certificates.authority import Authority, local_authority
from tests.addresses import free_port
from tests.fakes.pebble import Pebble

if TYPE_CHECKING:
    import uvicorn

ERROR = "urn:ietf:params:acme:error:"
_HOP = {"connection", "content-length", "transfer-encoding", "accept-encoding", "date", "server"}


@dataclass
class Trouble:
    """What to do with requests whose path matches, instead of passing them on, or after."""

    path: str
    times: int = 1
    status: int = 0
    type: str = "serverInternal"
    detail: str = "the proxy says so"
    retry_after: str | None = None
    delay: float = 0.0
    after: bool = False
    """Pebble gets the request; only its answer is lost."""
    more: dict = field(default_factory=dict)
    """More fields of the problem document."""

    def answer(self) -> Response:
        headers = {"Content-Type": "application/problem+json"}
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        document = {"type": ERROR + self.type, "detail": self.detail, "status": self.status}
        return JSONResponse(document | self.more, self.status, headers)


class AcmeProxy:
    def __init__(self, pebble: Pebble) -> None:
        self.pebble, self.port = pebble, free_port()
        self.asked: list[str] = []
        """`POST /order-plz`, in order."""
        self.orders: list[dict] = []
        """The payloads of new orders that pebble got."""
        self.troubles: list[Trouble] = []
        self.profiles: dict[str, str] = {}
        self.window: dict | None = None
        """The renewal document; None leaves renewalInfo out of the directory."""
        self.window_headers: dict[str, str] = {}
        self.lifetime: tuple[float, float] | None = None
        """Sign leaves again, from and to."""
        self.broken_chain: Callable[[bytes], bytes] = lambda pem: pem
        self._server = self._make_server()

    @property
    def server(self) -> Server:
        return Server(f"https://127.0.0.1:{self.port}/dir", str(self.pebble.root))

    def trouble(self, path: str, status: int = 0, **more: object) -> Trouble:
        found = Trouble(path, status=status, **more)
        self.troubles.append(found)
        return found

    async def _handle(self, request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:  # a child that was killed
            return Response(status_code=400)
        self.asked.append(f"{request.method} {request.url.path}")
        trouble = self._trouble(request.url.path)
        if trouble:
            await asyncio.sleep(trouble.delay)
            if trouble.status and not trouble.after:
                return trouble.answer()
        if request.url.path.startswith("/renewal/"):
            return JSONResponse(self.window, headers=self.window_headers)
        answer = await self._pass_on(request, body)
        return trouble.answer() if trouble and trouble.after else answer

    def _trouble(self, path: str) -> Trouble | None:
        for each in self.troubles:
            if each.times > 0 and re.search(each.path, path):
                each.times -= 1
                return each
        return None

    async def _pass_on(self, request: Request, body: bytes) -> Response:
        if "identifiers" in (payload := _payload(body)):
            self.orders.append(payload)
        headers = {k: v for k, v in request.headers.items() if k not in _HOP}
        url = f"https://127.0.0.1:{self.pebble.acme}{request.url.path}"
        answer = await self._client.request(request.method, url, content=body, headers=headers)
        content = self._changed(request, answer.content)
        passed = Response(content, answer.status_code)
        for name, value in answer.headers.multi_items():
            if name.lower() not in _HOP:
                passed.headers.append(name, value)
        return passed

    def _changed(self, request: Request, content: bytes) -> bytes:
        if request.url.path == "/dir":
            directory = json.loads(content)
            if self.profiles:
                directory["meta"]["profiles"] = self.profiles
            if self.window is not None:
                directory["renewalInfo"] = f"https://{request.headers['host']}/renewal"
            return json.dumps(directory).encode()
        if b"BEGIN CERTIFICATE" in content:
            return self.broken_chain(self._signed_again(content) if self.lifetime else content)
        return content

    def _signed_again(self, pem: bytes) -> bytes:
        leaf, signer = x509.load_pem_x509_certificate(pem), self._signer()
        start, end = (datetime.fromtimestamp(each, UTC) for each in self.lifetime)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        signed = (
            x509.CertificateBuilder()
            .subject_name(leaf.subject)
            .issuer_name(signer.root.subject)
            .public_key(leaf.public_key())
            .serial_number(leaf.serial_number)
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(names.value, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
                critical=False,
            )
            .sign(signer.key, leaf.signature_hash_algorithm)
        )
        return signed.public_bytes(Encoding.PEM) + signer.root.public_bytes(Encoding.PEM)

    def a_root(self) -> bytes:
        """Of another authority."""
        return self._signer().root.public_bytes(Encoding.PEM)

    def _signer(self) -> Authority:
        folder = self.pebble.folder / "signer"
        folder.mkdir(exist_ok=True)
        return local_authority(folder, "proxy", time.time())

    # its server

    @asynccontextmanager
    async def _connected(self, _: Starlette) -> AsyncIterator[None]:
        """One client for all requests: a handshake takes longer than what pebble does for most."""
        async with httpx.AsyncClient(verify=self.pebble.trusting, timeout=30) as self._client:
            yield

    def _make_server(self) -> uvicorn.Server:
        import uvicorn  # noqa: PLC0415 - all processes that run tests import this module

        route = Route("/{path:path}", self._handle, methods=["GET", "HEAD", "POST"])
        app = Starlette(routes=[route], lifespan=self._connected)
        return uvicorn.Server(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=self.port,
                ssl_certfile=str(self.pebble.certificate),
                ssl_keyfile=str(self.pebble.key),
                log_config=None,
                server_header=False,
                lifespan="on",
                timeout_graceful_shutdown=1,  # a client may keep its connection
            )
        )

    def run(self) -> None:
        self._server.run()

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True


@contextmanager
def before(pebble: Pebble) -> Iterator[AcmeProxy]:
    proxy = AcmeProxy(pebble)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        proxy.wait()
        yield proxy
    finally:
        proxy.stop()
        thread.join()


def _payload(body: bytes) -> dict:
    """What a signed request says."""
    if not body.startswith(b"{"):
        return {}
    text = json.loads(body).get("payload") or ""
    found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"{}")
    return found if isinstance(found, dict) else {}
