"""How long the dashboard takes to show 200 instances, in Chromium: `python -m bench.dashboard`.

It is served by the daemon's own code with a status made up here. Times are of the processor of the
page's main thread, so that other work on the machine does not count: until the first paint, and
for the longest task of what follows a status, which must fit into one of 60 frames a second.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.dashboard import APPS, CHROMIUM, OPTIONS, SLOTS, Feed, served

PAGES = {"overview": "", "one app": "app/shop%2Fwhole"}
WATCHED = 10.0
"""Seconds."""
LOADS = 5
FRAME = 1000 / 60
FIRST_PAINT = 300.0
"""Milliseconds, most."""


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
