"""Takes a body of any size on $PORT and answers JSON: pid, bytes, sha256, and `seconds`, the time
between its first and its last byte, which tells an upload passed on as it arrives.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 1 << 20


class Upload(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({"pid": os.getpid()})

    def do_POST(self) -> None:
        digest, begun, total = hashlib.sha256(), time.monotonic(), 0
        length = int(self.headers["Content-Length"])
        while total < length and (chunk := self.rfile.read1(min(CHUNK, length - total))):
            digest.update(chunk)
            total += len(chunk)
        seconds = time.monotonic() - begun
        facts = {"pid": os.getpid(), "bytes": total, "sha256": digest.hexdigest()}
        self._answer(facts | {"seconds": seconds})

    def _answer(self, facts: dict[str, object]) -> None:
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Upload).serve_forever()
