"""The dashboard, as far as operations have to do with it."""

from __future__ import annotations

from typing import Protocol

from portico.core.model.event import Requester


class Dashboard(Protocol):
    async def link(self, who: Requester) -> str:
        """An address that signs one browser in, once and within a minute. Raises Failed."""

    def close(self) -> None:
        """Sign everybody out, and listen no more."""
