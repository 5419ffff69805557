"""Apps: what can be done to one of them, or to all (`app` is then not in the path)."""

from __future__ import annotations

from portico.api.resource import Call, Nothing
from portico.core.model.views import ChangeView, DownRequest, ScaleRequest


async def start(call: Call[Nothing]) -> ChangeView:
    return await call.control.start(call.path.get("app"), call.who)


async def stop(call: Call[Nothing]) -> ChangeView:
    return await call.control.stop(call.path.get("app"), call.who)


async def restart(call: Call[Nothing]) -> ChangeView:
    return await call.control.restart(call.path.get("app"), call.who)


async def reload(call: Call[Nothing]) -> ChangeView:
    return await call.control.reload(call.path.get("app"), call.who)


async def scale(call: Call[ScaleRequest]) -> ChangeView:
    return await call.control.scale(call.path["app"], call.body.instances, call.who)


async def delete(call: Call[Nothing]) -> ChangeView:
    return await call.control.delete(call.path["app"], call.who)


async def down(call: Call[DownRequest]) -> ChangeView:
    return await call.control.down(call.who, now=call.body.now)
