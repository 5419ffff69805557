"""Encrypts what only machines of the cluster may read in its store."""

from __future__ import annotations

from typing import Protocol


class Vault(Protocol):
    """Values under the key of the cluster, each bound to its name: the key that it has in the
    store. Every call is a child process with a deadline.
    """

    async def seal(self, name: str, plain: bytes) -> bytes:
        """Raises Failed where the key of the cluster cannot be read."""

    async def open(self, name: str, sealed: bytes) -> bytes:
        """Raises Failed where the key cannot be read, and for what was sealed with another key or
        under another name, or was changed since.
        """
