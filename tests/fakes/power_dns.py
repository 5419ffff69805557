"""The little of PowerDNS's HTTP API that dns-lexicon uses, before a test's name servers."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.fakes.name_server import NameServers

TOKEN = "the-secret-token"


class PowerDns:
    def __init__(self) -> None:
        self.url, self.delay = "", 0.0
        self.asked: list[str] = []


@contextmanager
def serving(names: NameServers, zone: str) -> Iterator[PowerDns]:
    power = PowerDns()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rrsets = [
                {
                    "name": f"{name}.",
                    "type": kind,
                    "ttl": 60,
                    "records": [{"content": each, "disabled": False} for each in values],
                }
                for (name, kind), values in names.records.items()
                if kind == "TXT"
            ]
            self._answer({"kind": "Native", "rrsets": rrsets})

        def do_PATCH(self) -> None:
            length = int(self.headers["Content-Length"])
            for rrset in json.loads(self.rfile.read(length))["rrsets"]:
                key = rrset["name"].rstrip("."), rrset["type"]
                names.records[key] = [each["content"] for each in rrset["records"]]
            self._answer({})

        def _answer(self, document: dict) -> None:
            power.asked.append(f"{self.command} {self.path}")
            time.sleep(power.delay)
            known = self.headers["X-API-Key"] == TOKEN and zone in self.path
            body = json.dumps(document if known else {"error": "no"}).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # whoever asked has left
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        power.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield power
        finally:
            server.shutdown()
            thread.join()
