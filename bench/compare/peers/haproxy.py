"""HAProxy of Debian, with and without a log of requests."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.compare.peers.peer import Peer

CONFIG = """
global
    nbthread {threads}
    maxconn 8000
    stats socket {root}/admin.sock mode 600 level admin
    tune.ssl.default-dh-param 2048
    {log}
defaults
    mode http
    {format}
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 65s
    http-reuse safe
frontend edge
    bind 127.0.0.1:{port} ssl {crt} alpn h2,http/1.1
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    use_backend constant if {{ path /constant }}
    default_backend app
backend app
    balance {balance}
{servers}
backend constant
    balance roundrobin
{constant}
"""


class HaproxyLog(Peer):
    name = "haproxy"
    title = "HAProxy of Debian, httplog to a file"
    can = frozenset({"h2", "constant", "rsa", "websocket"})
    logs: ClassVar[bool] = True
    balance: ClassVar[str] = "roundrobin"

    def command(self) -> list[str | Path]:
        self._write()
        return [self.place.programs.haproxy, "-db", "-f", self.folder / "haproxy.cfg"]

    def _write(self) -> None:
        certificates = self.place.certificates.folder
        text = CONFIG.format(
            threads=os.cpu_count(),
            root=self.folder,
            port=self.port,
            crt=" ".join(f"crt {certificates}/{kind}.both" for kind in ("ecdsa", "rsa")),
            log="log stdout format raw local0" if self.logs else "",
            format="log global\n    option httplog" if self.logs else "",
            balance=self.balance,
            servers=_servers(self.place.backends.ports),
            constant=_servers(self.place.constant),
        )
        (self.folder / "haproxy.cfg").write_text(text)

    def switch(self) -> None:
        """By its runtime API: another address for each server, which it uses at once."""
        for number, port in enumerate(self.place.backends.ports):
            self._ask(f"set server app/s{number} addr 127.0.0.1 port {port}")

    def _ask(self, line: str) -> None:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(5)
            admin.connect(str(self.folder / "admin.sock"))
            admin.sendall(line.encode() + b"\n")
            admin.recv(4096)


class HaproxyQuiet(HaproxyLog):
    name = "haproxy-no-log"
    title = "HAProxy of Debian, no log"
    logs = False


def _servers(ports: Sequence[int]) -> str:
    return "\n".join(f"    server s{n} 127.0.0.1:{port}" for n, port in enumerate(ports))
