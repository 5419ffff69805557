"""The dashboard in Chromium: how it is started, and a dashboard of a status that is made up."""

from __future__ import annotations

import asyncio
import json
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
from portico.core.model.machine_views import MachineStatusView, MachineView
from portico.core.model.views import SiteView, StatusView, TrafficView
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


class ClusterFeed(Feed):
    """Of m1 in a cluster: m2 answers and is of another version, m3 does not answer."""

    async def frame(self) -> str:
        machines = [each.model_dump() for each in self.machines()]
        return json.dumps({**self.status().model_dump(), "machines": machines})

    def status(self) -> StatusView:
        web = app("web", [1, 2])
        for each in web.instances:
            each.id, each.machine = f"web.{each.slot}.{each.slot}", "m1"
        site = SiteView(
            name="shop.example.com", project="shop", urls=(), to="app web", traffic=_TRAFFIC
        )
        lost = "machine m3 gets no requests from this one: it does not answer in time"
        whole = status([web], troubles=[lost])
        return whole.model_copy(update={"machine": "m1", "sites": (site,)})

    def machines(self) -> list[MachineView]:
        known = {"state": "ready", "pid": 7, "cpu_percent": 2.5, "traffic": _TRAFFIC}
        instances = [{"id": "web.1.1", "slot": 1, **known}, {"id": "web.2.2", "state": "dreaming"}]
        said = {
            "machine": "m2",
            "apps": [{"name": "web", "project": "shop", "instances": instances}],
            "sites": [{"name": "shop.example.com", "project": "shop", "traffic": _TRAFFIC}],
            "troubles": ["web.2.2 dreams"],
        }
        two = MachineView(
            name="m2",
            address="10.0.0.2",
            reached=True,
            used=True,
            status=MachineStatusView.model_validate(said),
        )
        three = MachineView(name="m3", address="10.0.0.3", reached=False, used=False)
        return [two, three]


_TRAFFIC = TrafficView(12.5, 0.004, 0.02, 0.03, 0)


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
