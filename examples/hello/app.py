"""A plain Python program. All that Portico asks of it: listen on $PORT."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

INSTANCE = int(os.environ.get("NODE_APP_INSTANCE", "0")) + 1
PORT = int(os.environ.get("PORT", "3000"))
PAGE = (Path(__file__).parent / "page.html").read_text()
STARTED = time.monotonic()
ANSWERS = count(1)


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # so that nginx can keep its connections open

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer("text/plain", "ok\n")
        elif self.path == "/api":
            self.answer("application/json", json.dumps(facts()))
        else:
            self.answer("text/html; charset=utf-8", page(facts()))

    def answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: nginx logs the requests already."""


def facts() -> dict[str, object]:
    up = f"{time.monotonic() - STARTED:.0f} s"
    return {
        "instance": INSTANCE,
        "pid": os.getpid(),
        "port": PORT,
        "answered": next(ANSWERS),
        "up": up,
    }


def page(known: dict[str, object]) -> str:
    rows = "".join(f"<dt>{name}<dd>{value}" for name, value in known.items())
    hue = INSTANCE * 83 % 360
    return PAGE.replace("{rows}", rows).replace("{hue}", str(hue)).replace("{n}", str(INSTANCE))


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Hello)
    # shutdown() waits for the loop that the signal interrupted, so another thread has to ask.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"instance {INSTANCE} listens on {PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
