"""Traefik, with its JSON access log in a file, and routes from its file provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import yaml

from bench.compare.peers.peer import Peer


class Traefik(Peer):
    name = "traefik"
    title = "Traefik, JSON access log in a file"
    can = frozenset({"h2", "constant", "rsa", "websocket"})
    strategy: ClassVar[str] = "wrr"

    def command(self) -> list[str | Path]:
        self._write_static()
        self.switch()
        return [self.place.programs.traefik, f"--configFile={self.folder}/traefik.yml"]

    def _write_static(self) -> None:
        _write(
            self.folder / "traefik.yml",
            {
                "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
                "log": {"level": "ERROR"},
                "accessLog": {
                    "filePath": f"{self.folder}/access.log",
                    "format": "json",
                    "bufferingSize": 100,
                },
                "entryPoints": {"edge": {"address": f"127.0.0.1:{self.port}"}},
                "providers": {"file": {"filename": f"{self.folder}/routes.yml", "watch": True}},
            },
        )

    def switch(self) -> None:
        """Its file provider is told by the kernel that the file is another."""
        certificates = self.place.certificates
        files = [
            {
                "certFile": str(certificates.certificate(kind)),
                "keyFile": str(certificates.key(kind)),
            }
            for kind in ("ecdsa", "rsa")
        ]
        routers = {"app": _router("PathPrefix(`/`)"), "constant": _router("Path(`/constant`)")}
        services = {
            "app": self._service(self.place.backends.ports),
            "constant": self._service(self.place.constant),
        }
        _write(
            self.folder / "routes.yml",
            {
                "http": {
                    "routers": {n: {**each, "service": n} for n, each in routers.items()},
                    "services": services,
                },
                "tls": {"certificates": files},
            },
        )

    def _service(self, ports: Sequence[int]) -> dict[str, object]:
        servers = [{"url": f"http://127.0.0.1:{port}"} for port in ports]
        return {"loadBalancer": {"strategy": self.strategy, "servers": servers}}


def _router(rule: str) -> dict[str, object]:
    return {"rule": rule, "tls": {}, "entryPoints": ["edge"]}


def _write(file: Path, document: object) -> None:
    """As a whole: the one before is served until then."""
    new = file.with_suffix(".new")
    new.write_text(yaml.safe_dump(document))
    new.replace(file)
