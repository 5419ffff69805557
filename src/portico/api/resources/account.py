"""Our accounts at authorities: shown, their key replaced, given up."""

from __future__ import annotations

from portico.api.resource import Call, Nothing
from portico.core.model.views import AccountsView, ChangeView, DeactivateRequest


async def account(call: Call[Nothing]) -> AccountsView:
    return await call.control.account()


async def roll_over(call: Call[Nothing]) -> ChangeView:
    return await call.control.roll_over(call.who)


async def deactivate(call: Call[DeactivateRequest]) -> ChangeView:
    return await call.control.deactivate(call.body.issuer, call.who)
