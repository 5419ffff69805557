"""Where events are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from portico.core.model.notification import Notify


class Notifier(Protocol):
    """Each returns None if it went well, else what was wrong, within the timeout of the table."""

    async def post(self, table: Notify, body: bytes, now: float) -> str | None:
        """Send it to the URL, signed if there is a secret."""

    async def run(self, table: Notify, body: bytes, environ: Mapping[str, str]) -> str | None:
        """Run the command with the body as its standard input."""
