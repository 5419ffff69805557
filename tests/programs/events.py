"""Server-sent events on $PORT: `/events?n=5&every=0.2` sends n events, one each so many seconds.
With `heard=FOLDER` each waits until the one before has a file there, named by its number.

With `accel=no` it asks nginx by a header not to buffer the answer. Each event's data is JSON:
pid, number, sent (seconds since 1970).
"""

from __future__ import annotations

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Events(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        number = int(query.get("n", ["0"])[0])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        if "accel" in query:
            self.send_header("X-Accel-Buffering", query["accel"][0])
        self.end_headers()
        for n in range(1, number + 1):
            data = {"pid": os.getpid(), "number": n, "sent": time.time()}
            self.wfile.write(f"id: {n}\ndata: {json.dumps(data)}\n\n".encode())
            if n < number and "heard" in query:
                wait_for(Path(query["heard"][0], str(n)))
            elif n < number:
                time.sleep(float(query.get("every", ["0.2"])[0]))

    def log_message(self, *_: object) -> None:
        pass


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Events).serve_forever()
