"""A vault that hides nothing (ports.Vault), but tells keys and names apart."""

from __future__ import annotations

import json

from portico.errors import Failed


class FakeVault:
    def __init__(self, key: str = "key") -> None:
        self.key = key
        self.opened: list[str] = []
        """The names of what it was asked to decrypt."""

    async def seal(self, name: str, plain: bytes) -> bytes:
        return json.dumps([self.key, name, plain.decode("latin-1")]).encode()

    async def open(self, name: str, sealed: bytes) -> bytes:
        self.opened.append(name)
        key, sealed_name, plain = json.loads(sealed)
        if (key, sealed_name) != (self.key, name):
            raise Failed(f"{name} was encrypted with another key, or is damaged")
        return plain.encode("latin-1")
