"""The dashboard in Chromium: how it is started, and a dashboard of a status that is made up."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from portico.api.dashboard.listener import DashboardListener
from portico.api.dashboard.live import LiveStatus
from portico.api.dashboard.site import Dashboard
from portico.api.open_requests import OpenRequests
from portico.core.model.event import Requester
from portico.core.model.views import StatusView, TrafficView
from tests.fakes.control import FakeControl
from tests.unit.top_views import app, status

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
APPS, SLOTS = 10, 20


class Feed:
    """A status that changes with each frame, and how often it was made."""

    def __init__(self) -> None:
        self.made, self._chance = 0, random.Random(1)
        self.is_whole = False
        """All instances are of one app."""

    async def frame(self) -> str:
        self.made += 1
        return self.status().model_dump_json()

    def status(self) -> StatusView:
        apps = [app(f"app{n}", range(1, SLOTS + 1)) for n in range(APPS)]
        apps = [app("whole", range(1, APPS * SLOTS + 1))] if self.is_whole else apps
        for each in apps:
            for i in each.instances:
                i.id = f"{each.name}.{i.slot}.{i.slot}"
                i.traffic = TrafficView(self._chance.random() * 100, 0.004, 0.02, 0.03, 0)
                i.cpu_percent = self._chance.random() * 50
        return status(apps)


@contextmanager
def served(feed: Feed) -> Iterator[str]:
    """The dashboard in a thread; its link."""
    began: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        dashboard, ended = (
            Dashboard(FakeControl(), LiveStatus(feed.frame), time.monotonic),
            asyncio.Event(),
        )
        listener = DashboardListener(
            dashboard, OpenRequests(), port=lambda: 0, keep_port=lambda _: None
        )
        link = await listener.link(Requester("test"))
        began.set_result((link, asyncio.get_running_loop(), ended))
        await ended.wait()
        listener.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    link, loop, ended = began.result(60)
    try:
        yield link
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
