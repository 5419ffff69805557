"""Changes: long operations, which go on whether or not somebody follows them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from portico.api.resource import Call, Nothing
from portico.core.model.views import ChangeView


async def changes(call: Call[Nothing]) -> list[ChangeView]:
    return call.control.changes()


async def change(call: Call[Nothing]) -> ChangeView:
    return call.control.change(call.path["id"])


async def follow(call: Call[Nothing]) -> AsyncIterator[ChangeView]:
    call.control.change(call.path["id"])  # NotFound is still an answer of its own here
    return call.control.follow(call.path["id"])
