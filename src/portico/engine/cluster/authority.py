"""The authority that signs for the machines of a cluster with a store; each of them can use it."""

from __future__ import annotations

import asyncio
from typing import Final

from portico.core.model.cluster import SignedMachine
from portico.core.model.snapshot import Put
from portico.engine.cluster.cluster_store import ClusterStore
from portico.errors import Failed
from portico.ports.machine_signing import MachineSigner
from portico.ports.vault import Vault
from portico.system.cluster_identity import AUTHORITY, AUTHORITY_KEY
from portico.system.home import Home

SEALED_AUTHORITY_KEY: Final = "authority"
"""Of the store: the key of the machines' authority, sealed, so that each machine can sign."""


class ClusterAuthority:
    def __init__(
        self, shared: ClusterStore, vault: Vault, signing: MachineSigner, home: Home
    ) -> None:
        self._shared, self._vault, self._signing = shared, vault, signing
        self._home = home

    async def sign(self, request: str, name: str, address: str = "") -> SignedMachine:
        """As `MachineSigner.sign_machine`. Raises Failed."""
        certificate, key = await self.certificate(), await self._key()
        return await self._signing.sign_machine(certificate, key, request, name, address)

    async def certificate(self) -> str:
        """PEM."""
        return await asyncio.to_thread((self._home.cluster / AUTHORITY).read_text, "ascii")

    async def _key(self) -> str:
        """PEM. Raises Failed."""
        if item := self._shared.follower.item(SEALED_AUTHORITY_KEY):
            return (await self._vault.open(SEALED_AUTHORITY_KEY, item.value)).decode()
        file = self._home.cluster / AUTHORITY_KEY
        try:
            return await asyncio.to_thread(file.read_text, "ascii")
        except (OSError, ValueError) as error:
            raise Failed(
                f"cannot read the key of the authority of the machines, {file}: {error}; nothing "
                "was changed. Run the command on the machine where the cluster was created"
            ) from error

    async def writes_of_key(self) -> list[Put]:
        """The key for the store, where it is not there yet."""
        if self._shared.follower.item(SEALED_AUTHORITY_KEY):
            return []
        sealed = await self._vault.seal(SEALED_AUTHORITY_KEY, (await self._key()).encode())
        return [Put(SEALED_AUTHORITY_KEY, sealed)]
