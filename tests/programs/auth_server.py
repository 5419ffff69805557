"""Decides about the requests of other programs as oauth2-proxy and Authelia do, on $PORT.

    /oauth2/auth             202 with X-Auth-Request-User and -Email in a session, else 401
    /oauth2/start?rd=URL     begins one: 302 to the URL, with the cookie
    /api/authz/auth-request  200 with Remote-User and -Groups, 403 for /forbidden (X-Original-URL),
                             401 with Location for a client that accepts text/html
    /status/N                that status; `/hang_up` answers nothing, `/slow` after a minute

The cookie `session=NAME` is a session of that user; `session=old-NAME` is one that has to be
renewed, which sets two cookies, and the first has a date.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

EXPIRES = "Thu, 01 Jan 2099 00:00:00 GMT"


class AuthServer:
    """In a thread of a test. `asked` has the path and headers of each question, in order."""

    def __init__(self, port: int = 0) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._server.asked, self._server.released = self.asked, self.released
        self.port: int = self._server.server_port

    def serve(self) -> None:
        self._server.serve_forever(0.05)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers.items())))
        url = urlsplit(self.path)
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        self.user = cookie.value if cookie else ""
        match url.path.split("/")[1:]:
            case ["oauth2", "auth"]:
                self._oauth2_proxy()
            case ["oauth2", "start"]:
                where = parse_qs(url.query)["rd"][0]
                self._send(302, {"Location": where, "Set-Cookie": "session=ann; Path=/"})
            case ["api", "authz", "auth-request"]:
                self._authelia()
            case ["status", code]:
                self._send(int(code), {"X-Said": "yes"})
            case ["slow"]:
                self.server.released.wait(60)
                self._send(200, {})
            case ["hang_up"]:
                self.close_connection = True
            case _:
                self._send(404, {})

    def _oauth2_proxy(self) -> None:
        name = self.user.removeprefix("old-")
        if not name:
            self._send(401, {"Set-Cookie": "session=; Max-Age=0; Path=/"})
            return
        headers = {"X-Auth-Request-User": name, "X-Auth-Request-Email": f"{name}@a.test"}
        if name != self.user:
            headers["Set-Cookie"] = f"session={name}; Expires={EXPIRES}; Path=/"
            headers["set-cookie"] = "session_csrf=1; Path=/; Secure"
        self._send(202, headers)

    def _authelia(self) -> None:
        url, method = self.headers["X-Original-URL"], self.headers["X-Original-Method"]
        if urlsplit(url).path == "/forbidden":
            self._send(403, {})
        elif self.user:
            self._send(200, {"Remote-User": self.user, "Remote-Groups": "staff,admins"})
        elif "text/html" in self.headers.get("Accept", ""):
            where = f"https://auth.test/?rd={quote(url, safe='')}&rm={method}"
            self._send(401, {"Location": where})
        else:
            self._send(401, {"WWW-Authenticate": 'Basic realm="Authorization Required"'})

    def _send(self, code: int, headers: dict[str, str]) -> None:
        body = json.dumps({"asked": self.path}).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if code >= 200 and code not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if code not in {204, 304}:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = AuthServer(int(os.environ.get("PORT") or sys.argv[1]))
    server.serve()
