"""The files of changes in the store: compressed, and under the key of the cluster."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Final

from portico.core.model.records import Revision
from portico.core.model.shared import decode, encode, revision_key
from portico.core.model.shared_change import SharedFile
from portico.core.model.snapshot import Put
from portico.engine.cluster.store_follower import StoreFollower
from portico.errors import Failed
from portico.ports.vault import Vault

MAX_SIZE: Final = 1 << 25
"""Bytes, once it is decompressed; 1.5 MiB of zeros would be 1.5 GiB."""
MAX_KEPT_FILES: Final = 2
"""Files that are kept as they are before they are encrypted: a change takes its own twice, first
to check it, and where it fails the one before.
"""


class SharedFiles:
    def __init__(self, follower: StoreFollower, vault: Vault) -> None:
        self._follower, self._vault = follower, vault
        self._kept: dict[tuple[str, bytes], bytes] = {}
        """Compressed, by key and what the store has there."""

    async def file(self, project: str, number: int) -> SharedFile:
        """Raises Failed."""
        key = revision_key(project, number)
        item = self._follower.item(key)
        if item is None:
            raise Failed(f"the cluster's store has no {key}; apply the file again: `portico up`")
        packed = await self._pack(key, item.value)
        with suppress(zlib.error):
            text = zlib.decompressobj().decompress(packed, MAX_SIZE)
            if file := decode(SharedFile, text):
                return file
        raise Failed(
            f"cannot read {key} of the cluster's store: another version of Portico wrote it"
        )

    async def put(self, project: str, number: int, revision: Revision) -> Put:
        """What writes it. Raises Failed."""
        key = revision_key(project, number)
        packed = zlib.compress(encode(SharedFile.of(revision)))
        sealed = await self._vault.seal(self._follower.prefix + key, packed)
        self._keep(key, sealed, packed)
        return Put(key, sealed)

    async def _pack(self, key: str, sealed: bytes) -> bytes:
        if (packed := self._kept.get((key, sealed))) is None:
            packed = await self._vault.open(self._follower.prefix + key, sealed)
            self._keep(key, sealed, packed)
        return packed

    def _keep(self, key: str, sealed: bytes, packed: bytes) -> None:
        while len(self._kept) >= MAX_KEPT_FILES:
            del self._kept[next(iter(self._kept))]
        self._kept[key, sealed] = packed
