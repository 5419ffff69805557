"""The installation itself: what runs, where it writes, who is trusted, which version answers."""

from __future__ import annotations

import os

from portico import __version__
from portico.api.resource import Call, Nothing
from portico.core.model.views import (
    ChangeView,
    LogFileView,
    StatusView,
    TrustRequest,
    TrustView,
    VersionView,
)


async def status(call: Call[Nothing]) -> StatusView:
    return await call.control.status()


async def metrics(call: Call[Nothing]) -> str:
    return await call.control.metrics()


async def logs(call: Call[Nothing]) -> list[LogFileView]:
    return call.control.logs(call.query.get("app"))


async def trust(call: Call[TrustRequest]) -> TrustView:
    return await call.control.trust(remove=call.body.remove)


async def upgrade(call: Call[Nothing]) -> ChangeView:
    return await call.control.upgrade(call.who)


async def version(_: Call[Nothing]) -> VersionView:
    return VersionView(version=__version__, pid=os.getpid())
