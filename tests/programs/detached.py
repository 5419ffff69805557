"""A program whose work is done by a child in a session of its own, which outlives it.

The child answers on $PORT with JSON: `pid`, and `parent`, the process that Portico has started.
The parent of the child ends at once, as that of a daemon does. argv[1] is `orphan`, or `unmarked`
for one whose environment is empty besides.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = json.dumps({"pid": os.getpid(), "parent": int(sys.argv[3])}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


def serve(port: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        try:
            ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
        except OSError:  # as one that is begun before the one before has ended
            time.sleep(0.1)


if __name__ == "__main__" and sys.argv[1] == "serve":
    serve(int(sys.argv[2]))

manner, leader = sys.argv[1], os.getpid()
environment = {} if manner == "unmarked" else dict(os.environ)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        own = (sys.executable, __file__, "serve", os.environ["PORT"], str(leader))
        os.execve(sys.executable, own, environment)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
