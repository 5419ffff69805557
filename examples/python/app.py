"""Tells the time, and which process told it. All that Portico asks: listen on $PORT."""

from __future__ import annotations

import os
import signal
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INSTANCE = int(os.environ.get("NODE_APP_INSTANCE", "0")) + 1


class Clock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # so that nginx can keep its connections open

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer("ok\n")
        else:
            now = datetime.now().astimezone()
            self.answer(f"{now:%H:%M:%S %Z}, says instance {INSTANCE} (pid {os.getpid()})\n")

    def answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: nginx logs the requests already."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Clock)
    # shutdown() waits for the loop that the signal interrupted, so another thread has to ask.
    signal.signal(
        signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
    )
    print(f"instance {INSTANCE} listens on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
