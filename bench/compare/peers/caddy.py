"""Caddy, with its access log in a file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.compare.peers.peer import Peer, Place
from tests.addresses import free_port

CADDYFILE = """
{{
    admin 127.0.0.1:{admin}
    auto_https off
    persist_config off
    storage file_system {root}/storage
    default_bind 127.0.0.1
    log default {{
        output file {root}/caddy.log
    }}
}}
https://localhost:{port} {{
    tls {certificates}/ecdsa.pem {certificates}/ecdsa.key
    import work
}}
https://rsa.localhost:{port} {{
    tls {certificates}/rsa.pem {certificates}/rsa.key
    import work
}}
"""
WORK = """
(work) {{
    log {{
        output file {root}/access.log {{
            roll_disabled
        }}
    }}
    handle /constant {{
        reverse_proxy {constant}
    }}
    handle_path /static/* {{
        root * {files}
        file_server
    }}
    handle {{
        reverse_proxy {servers} {{
            lb_policy {balance}
        }}
    }}
}}
"""


class Caddy(Peer):
    name = "caddy"
    title = "Caddy, access log in a file"
    balance: ClassVar[str] = "round_robin"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._admin = free_port()

    def command(self) -> list[str | Path]:
        self._write()
        return [self.place.programs.caddy, "run", "--config", self.folder / "Caddyfile"]

    def _write(self) -> None:
        values = {
            "root": self.folder,
            "port": self.port,
            "admin": self._admin,
            "certificates": self.place.certificates.folder,
            "files": self.place.files,
            "servers": _addresses(self.place.backends.ports),
            "constant": _addresses(self.place.constant),
            "balance": self.balance,
        }
        globals_, sites = CADDYFILE.split("https://localhost", 1)
        text = globals_ + WORK + "https://localhost" + sites
        (self.folder / "Caddyfile").write_text(text.format(**values))

    def switch(self) -> None:
        """`caddy reload` with the new addresses."""
        self._write()
        config = ("--config", self.folder / "Caddyfile")
        address = ("--address", f"127.0.0.1:{self._admin}")
        subprocess.run(
            [self.place.programs.caddy, "reload", *config, *address],
            check=True,
            cwd=self.folder,
            env=self.environ(),
            capture_output=True,
            timeout=60,
        )

    def environ(self) -> dict[str, str]:
        return super().environ() | {"HOME": str(self.folder)}


def _addresses(ports: Sequence[int]) -> str:
    return " ".join(f"127.0.0.1:{port}" for port in ports)
