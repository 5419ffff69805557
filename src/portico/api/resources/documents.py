"""Documents: a file as the command line read it, to be looked at or to be applied."""

from __future__ import annotations

from portico.api.resource import Call
from portico.core.model.views import (
    ChangeView,
    CheckView,
    DocumentRequest,
    PlanView,
    RenderRequest,
    RenderView,
)


async def check(call: Call[DocumentRequest]) -> CheckView:
    return await call.control.check(call.body)


async def plan(call: Call[DocumentRequest]) -> PlanView:
    return await call.control.plan(call.body)


async def render(call: Call[RenderRequest]) -> RenderView:
    return await call.control.render(call.body.document)


async def up(call: Call[DocumentRequest]) -> ChangeView:
    return await call.control.up(call.body, call.who)
