"""Says by sd_notify(3), without a library, that it is ready: once the file argv[1] is there.

Listens on $PORT, if it has one, from the beginning. With `for-others` it says it at once, and goes
on saying it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def say(text: str) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


def wait() -> None:
    say("STATUS=warms up")
    while not Path(sys.argv[1]).exists():
        time.sleep(0.02)
        if "for-others" in sys.argv:
            say("READY=1")
    say("READY=1\nSTATUS=works")


if port := os.environ.get("PORT"):
    server = HTTPServer(("127.0.0.1", int(port)), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
wait()
threading.Event().wait()
