"""Revisions: the files that were applied, and the way back to one."""

from __future__ import annotations

from portico.api.resource import Call, Nothing
from portico.core.model.views import ChangeView, RevisionView, RollbackRequest


async def history(call: Call[Nothing]) -> list[RevisionView]:
    return call.control.history()


async def rollback(call: Call[RollbackRequest]) -> ChangeView:
    return await call.control.rollback(call.body.revision, call.who)
