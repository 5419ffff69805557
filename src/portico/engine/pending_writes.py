"""Disk first: what is written at once, or as soon as the disk has room for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from portico.errors import Failed
from portico.ports.state import State


class PendingWrites:
    def __init__(self, state: State) -> None:
        self._state = state
        self._pending: dict[str, Callable[[], object]] = {}
        self.trouble = ""
        """Why some of it is only in memory; empty while all is on disk."""

    def store(self, writes: Mapping[str, Callable[[], object]], *, must: bool = True) -> bool:
        """Write to disk, in one transaction with what could not be written before; each under the
        name of what it is about, of which the last word counts.

        Returns whether it could; raises Failed where it `must`, and is forgotten then.
        """
        kept = {name: write for name, write in self._pending.items() if name not in writes}
        pending = {**kept, **writes}
        try:
            with self._state.transaction():
                for write in pending.values():
                    write()
        except Failed as error:
            if must:
                raise
            self._pending, self.trouble = pending, str(error)
            return False
        self._pending, self.trouble = {}, ""
        return True

    def retry(self) -> None:
        """Write what could not be written; tried in every round."""
        if self._pending:
            self.store({}, must=False)
