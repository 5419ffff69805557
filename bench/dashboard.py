"""How long the dashboard takes to show 200 instances, in Chromium: `python -m bench.dashboard`.

It is served by the daemon's own code with a status made up here. Times are of the processor of the
page's main thread, so that other work on the machine does not count: until the first paint, and
for the longest task of what follows a status, which must fit into one of 60 frames a second.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from portico.api.dashboard.listener import DashboardListener
from portico.api.dashboard.live import Live
from portico.api.dashboard.site import Dashboard
from portico.api.open_requests import OpenRequests
from portico.core.model.event import Requester
from portico.core.model.views import StatusView, TrafficView
from tests.fakes.control import FakeControl
from tests.integration.test_dashboard_browser import CHROMIUM, OPTIONS
from tests.unit.top_views import app, status

APPS, SLOTS = 10, 20
PAGES = {"overview": "", "one app": "app/shop%2Fwhole"}
WATCHED = 10.0
"""Seconds."""
LOADS = 5
FRAME = 1000 / 60
FIRST_PAINT = 300.0
"""Milliseconds, most."""


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
                i.traffic = TrafficView(self._chance.random() * 100, 0.004, 0.02, 0)
                i.cpu_percent = self._chance.random() * 50
        return status(apps)


def main() -> int:
    feed = Feed()
    with served(feed) as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(link)
        page.wait_for_selector(".picture svg")
        paints = [painted(page) for _ in range(LOADS)]
        updates = {name: watched(page, path, feed) for name, path in PAGES.items()}
        browser.close()
    wall, busy = (round(statistics.median(each), 1) for each in zip(*paints, strict=True))
    result = {
        "instances": APPS * SLOTS,
        "first paint, ms": wall,
        "first paint, ms of the processor": busy,
        "an update, ms of the processor": updates,
        "of a frame, ms": round(FRAME, 1),
    }
    print(json.dumps(result, indent=2))
    return int(
        busy > FIRST_PAINT or any(each["longest task"] > FRAME for each in updates.values())
    )


@contextmanager
def served(feed: Feed) -> Iterator[str]:
    """The dashboard in a thread; its link."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    dashboard = Dashboard(FakeControl(), Live(feed.frame), time.monotonic)
    listener = DashboardListener(
        dashboard, OpenRequests(), port=lambda: 0, keep_port=lambda _: None
    )
    link = asyncio.run_coroutine_threadsafe(listener.link(Requester("bench")), loop)
    try:
        yield link.result(60)
    finally:
        loop.call_soon_threadsafe(listener.close)
        loop.call_soon_threadsafe(loop.stop)


def painted(page: Page) -> tuple[float, float]:
    """Milliseconds to the first contentful paint, and those of the processor to the picture."""
    with measured(page) as session:
        page.reload()
        page.wait_for_selector(".picture svg")
        found = page.evaluate(
            "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)"
        )
        return found[0], seconds(session)["TaskDuration"] * 1000


def watched(page: Page, path: str, feed: Feed) -> dict[str, float]:
    """Milliseconds of the processor in the main thread of the page."""
    feed.is_whole = "whole" in path
    page.goto(f"{page.url.split('#')[0]}#/{path}")
    page.wait_for_selector("h1")
    page.wait_for_timeout(2000)
    made, browser = feed.made, page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-cpu_profiler"])
    page.wait_for_timeout(WATCHED * 1000)
    tasks = durations(json.loads(browser.stop_tracing()))
    return {
        "longest task": round(tasks[-1], 1),
        "of 99 % of tasks at most": round(tasks[-len(tasks) // 100 - 1], 1),
        "all of an update": round(sum(tasks) / max(feed.made - made, 1), 1),
    }


def durations(trace: dict[str, Any]) -> list[float]:
    """Of all tasks of the renderer's main thread, shortest first."""
    events = trace["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    return sorted(
        each["tdur"] / 1000
        for each in events
        if (each["pid"], each["tid"]) in mains
        and each["name"] == "ThreadControllerImpl::RunTask"
        and "tdur" in each
    )


@contextmanager
def measured(page: Page) -> Iterator[CDPSession]:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    yield session
    session.detach()


def seconds(session: CDPSession) -> dict[str, Any]:
    return {x["name"]: x["value"] for x in session.send("Performance.getMetrics")["metrics"]}


if __name__ == "__main__":
    sys.exit(main())
