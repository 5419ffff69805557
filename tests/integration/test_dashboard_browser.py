"""The dashboard in a real browser: signed in, a rollout under load, on a phone, for everybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dashboard import APPS, CHROMIUM, OPTIONS, SLOTS, ClusterFeed, Feed, served
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

AXE = Path(".venv/frameworks/node_modules/axe-core/axe.min.js")
WITHIN = 60_000  # milliseconds
SCRIPT = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
FILE = f"""
[apps.web]
command = "python3 {PROGRAMS / "echo.py"}"
instances = 2
[apps.prints]
command = '''sh -c "echo \\"{SCRIPT}\\"; sleep 1000"'''
port = false
[sites."app.localhost"]
app = "web"
"""
KEEP_NOTICES = """
window.notices = [];
new MutationObserver((found) => {
  for (const each of found) for (const node of each.addedNodes) notices.push(node.textContent);
}).observe(document.getElementById("notice"), { childList: true });
"""
"""Those that the next one replaces at once, too, as on a quick machine."""
PAGES = ("", "app/{project}%2Fweb", "site/app.localhost", "certificates", "logs", "events", "file")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def stack():
    with Stack() as stack:
        stack.up(FILE)
        yield stack


@pytest.fixture(scope="module")
def chromium():
    # Here, because each process that runs tests imports this module, and one has its tests.
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(stack, chromium):
    page = chromium.new_page()
    page.set_default_timeout(WITHIN)
    page.wrong = []
    page.on("console", lambda each: page.wrong.append(each.text) if each.type == "error" else None)
    page.on("pageerror", lambda each: page.wrong.append(str(each)))
    page.goto(json.loads(stack.done("open", "--json").stdout)["url"])
    page.wait_for_selector(".picture svg")
    return page


def show(page, stack, path):
    page.goto(f"{page.url.split('#')[0]}#/{path.format(project=stack.folder.name)}")
    page.wait_for_selector("#connection:has-text('live')")


def grave(page):
    """What is wrong on the page for those who do not see or use it as most do (axe-core)."""
    if not page.evaluate("window.axe !== undefined"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        (each["id"], each["nodes"][0]["html"])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def test_the_key_does_not_stay_in_the_address(page):
    assert "key" not in page.url


def test_the_overview_shows_sites_and_instances_of_the_stack(page, stack):
    show(page, stack, "")
    names = page.locator(".picture a .name").all_text_contents()
    assert names == ["app.localhost", "web.1.1", "web.2.2", "prints.1.1"]


def test_a_change_is_confirmed_and_shows_in_the_table(page, stack):
    show(page, stack, PAGES[1])
    page.get_by_role("button", name="One instance more").click()
    page.get_by_role("button", name="No", exact=True).click()
    assert len(stack.instances("web")) == 2
    page.get_by_role("button", name="One instance more").click()
    page.get_by_role("button", name="Yes").click()
    page.wait_for_selector("#notice:has-text(': done')")
    page.wait_for_selector("tbody tr:nth-child(3) td.ready")
    assert len(stack.instances("web")) == 3


def test_a_rollout_is_watched_under_load_and_loses_nothing(page, stack):
    show(page, stack, PAGES[1])
    with stack.load("app.localhost", rate=50) as load:
        before = {each["id"] for each in stack.instances("web")}
        page.evaluate(KEEP_NOTICES)
        page.get_by_role("button", name="reload").click()
        page.get_by_role("button", name="Yes").click()
        page.wait_for_selector("#notice:has-text(': done')")
        notices = page.evaluate("notices")
        report = load.stop()
    assert not report.failed
    assert any("being replaced" in each or "ready" in each for each in notices), notices
    now = {each["id"] for each in stack.instances("web")}
    assert not now & before
    rows = page.locator("tbody th")
    eventually(lambda: set(rows.all_inner_texts()) == now)


def test_a_site_has_its_routes_a_heat_map_of_times_and_its_slowest_paths(page, stack):
    stack.get("app.localhost", "/items/4711?page=2")
    stack.get("app.localhost", "/items/4712")
    show(page, stack, PAGES[2])
    page.wait_for_selector(".heat", state="attached")
    page.wait_for_selector("[aria-label='Routes'] tbody td:has-text('all others')")
    assert page.locator("[aria-label='Slowest requests'] tbody tr").count() > 0


def test_a_line_that_holds_a_script_is_text(page, stack):
    show(page, stack, "logs")
    page.select_option("select", f"{stack.folder.name}/prints")
    page.wait_for_selector("pre:has-text('onerror')")
    assert page.locator("pre :not(.who)").count() == 0
    assert page.title().startswith("Logs")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wrong_on_a_page_and_it_fits_a_phone_and_is_accessible(page, stack, path):
    page.set_viewport_size({"width": 360, "height": 740})
    try:
        show(page, stack, path)
        page.wait_for_selector("h1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.wrong == []
        if not AXE.exists():
            pytest.skip("axe-core is not installed")
        assert grave(page) == []
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})


CHANGED_ROWS = """() => new Promise((done) => {
  const body = document.querySelector(".instances tbody");
  const row = ({ target }) => (target.parentElement ?? target).closest("tr");
  const look = (records) => done({
    rows: new Set(records.map(row).filter(Boolean)).size,
    isRebuilt: records.some(({ target }) => target === body),
  });
  const all = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(body, all);
})"""
LEFT_EDGES = """(row) => [...row.children].map((cell) => cell.getBoundingClientRect().left)"""


def test_of_200_instances_those_near_the_screen_are_changed_and_all_are_there(chromium):
    feed = Feed()
    feed.is_whole = True
    with served(feed) as link:
        page = chromium.new_page()
        page.set_default_timeout(WITHIN)
        page.goto(link)
        page.wait_for_selector(".picture svg")
        assert page.locator(".picture a").count() == 1
        page.goto(f"{page.url.split('#')[0]}#/app/shop%2Fwhole")
        rows = page.locator(".instances tbody tr")
        rows.first.wait_for()
        assert rows.count() == APPS * SLOTS
        shown = page.evaluate("innerHeight") / rows.first.bounding_box()["height"]
        changed = page.evaluate(CHANGED_ROWS)
        assert 0 < changed["rows"] < 1.5 * shown < APPS * SLOTS
        assert not changed["isRebuilt"]
        edges = page.locator(".instances thead tr").evaluate(LEFT_EDGES)
        assert rows.first.evaluate(LEFT_EDGES) == edges
        rows.last.scroll_into_view_if_needed()
        before = rows.last.inner_text()
        eventually(lambda: rows.last.inner_text() != before)
        page.close()


def test_all_machines_of_a_cluster_are_shown_and_one_can_be_chosen(chromium):
    with served(ClusterFeed()) as link:
        page = chromium.new_page(viewport={"width": 360, "height": 740})
        page.set_default_timeout(WITHIN)
        wrong = []
        page.on("pageerror", lambda each: wrong.append(str(each)))
        page.goto(link)
        page.wait_for_selector(".picture svg")
        assert page.locator(".picture .group").all_text_contents() == ["m1 · shop", "m2 · shop"]
        assert page.locator(".totals dd strong").first.inner_text() == "2 of 3"
        assert "m2: web.2.2 dreams" in page.locator(".problems").inner_text()
        page.select_option("select", "m2")
        eventually(lambda: page.locator(".picture a[href*=web]").count() == 2)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        if AXE.exists():
            assert grave(page) == []

        page.goto(f"{page.url.split('#')[0]}#/app/shop%2Fweb")
        rows = page.locator(".instances tbody th")
        eventually(lambda: rows.count() == 4)
        names = ["m1 web.1.1", "m1 web.2.2", "m2 web.1.1", "m2 web.2.2"]
        assert rows.all_inner_texts() == names
        assert wrong == []
        page.close()


def test_it_goes_on_after_the_death_of_the_daemon_with_a_new_link(page, stack):
    stack.kill_daemon()
    stack.done("status")
    page.wait_for_selector("#connection:has-text('portico open')")
    page.goto(json.loads(stack.done("open", "--json").stdout)["url"])
    page.wait_for_selector("#connection:has-text('live')")


def test_a_browser_without_the_link_sees_nothing(page, stack, chromium):
    other = chromium.new_context().new_page()
    answer = other.goto(page.url.split("#")[0])
    assert answer.status == 401
    assert "web.1" not in other.content()
    eventually(lambda: "portico open" in other.content())
