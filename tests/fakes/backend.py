"""A program in a thread of the test, that answers with what it was asked, or as it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import select
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit


class Backend:
    """HTTP/1.1 on a free port. Every answer but these is JSON: port, client (its port), method,
    path, headers, body (its length).

    `?size=N` pads it, `?header=N` its head, `?answer=NAME:VALUE` is one more header of it,
    `?sleep=S` waits first, `?status=N`; `?stream=N` sends N lines, one every 0.2 s; `?begin=TEXT`
    sends no more than this, and `?hang_up=1` nothing; `?unread=N` answers with that status and
    reads no body, until the connection is closed; an upgrade to websocket is accepted and then
    everything is sent back. With `hangs_up` it gives nobody an answer, after so many seconds.
    `asked` holds `GET /path?query` of all, `connections` counts those that were taken.
    """

    def __init__(self, *, hangs_up: float | None = None) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hangs_up = hangs_up
        self.asked = self._server.asked
        self.port: int = self._server.server_port

    @property
    def connections(self) -> int:
        return self._server.connections

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hangs_up: float | None

    def __init__(self, *args: object) -> None:
        self.asked: list[str] = []
        self.connections = 0
        super().__init__(*args)

    def verify_request(self, request: object, client_address: object) -> bool:
        self.connections += 1
        return True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may hang up at any time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms

    def answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "unread" in query:
            self._answer_unread(query["unread"][0])
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.hangs_up is not None:
            time.sleep(self.server.hangs_up)
            self.close_connection = True
        elif "hang_up" in query or "begin" in query:
            self.wfile.write(query.get("begin", [""])[0].encode())
            self.close_connection = True
        elif self.headers.get("Upgrade") == "websocket":
            self._echo()
        elif "stream" in query:
            self._stream(int(query["stream"][0]))
        else:
            time.sleep(float(query.get("sleep", ["0"])[0]))
            self._tell(body, query)

    def _tell(self, body: bytes, query: dict[str, list[str]]) -> None:
        facts = {
            "port": self.server.server_port,
            "client": self.client_address[1],
            "method": self.command,
            "path": self.requestline.split()[1],  # `self.path` begins with one slash
            "headers": dict(self.headers.items()),
            "body": len(body),
            "padding": "x" * int(query.get("size", ["0"])[0]),
        }
        text = json.dumps(facts).encode()
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Padding", "x" * int(query.get("header", ["0"])[0]))
        self.send_header("Content-Length", str(len(text)))
        for line in query.get("answer", ()):
            self.send_header(*line.split(":", maxsplit=1))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _answer_unread(self, status: str) -> None:
        self.close_connection = True
        head = f"HTTP/1.1 {status} No\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"
        self.wfile.write(f"{head}unread".encode())
        closed = select.poll()
        closed.register(self.connection, select.POLLRDHUP)
        closed.poll(60_000)

    def _stream(self, number: int) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for _ in range(number):
            self.wfile.write(b"123456789\n")
            time.sleep(0.2)

    def _echo(self) -> None:
        """RFC 6455 4.2.2; frames are sent back as they came."""
        self.close_connection = True
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)

    def log_message(self, *_: object) -> None:
        pass


for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{method}", _Handler.answer)
