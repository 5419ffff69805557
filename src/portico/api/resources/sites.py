"""Sites: closed and opened by hand."""

from __future__ import annotations

from portico.api.resource import Call, Nothing
from portico.core.model.views import ChangeView


async def pause(call: Call[Nothing]) -> ChangeView:
    return await call.control.pause(call.path["site"], call.who)


async def resume(call: Call[Nothing]) -> ChangeView:
    return await call.control.resume(call.path["site"], call.who)
