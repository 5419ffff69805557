"""The dashboard's listener: who gets in, and what a page of another site can do."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from portico.api.dashboard.guard import HEADERS
from portico.api.dashboard.live import MAX_READERS
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

FILE = f"""
[apps.web]
command = "python3 {PROGRAMS / "listen.py"}"
"""


class Browser:
    """What a browser keeps: a cookie, and the key in the storage of its origin."""

    def __init__(self, url):
        self.link = urlsplit(url)
        self.port = self.link.port
        self.headers = {"Host": f"127.0.0.1:{self.port}"}

    def ask(self, path, method="GET", body=None, **headers):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            sent = self.headers | {name.replace("_", "-"): v for name, v in headers.items()}
            connection.request(
                method, path, body, {k: v for k, v in sent.items() if v is not None}
            )
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    @contextmanager
    def live(self):
        """The stream of the status."""
        address = ("127.0.0.1", self.port)
        with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
            connection.request("GET", "/live", headers=self.headers)
            with closing(connection.getresponse()) as answer:
                yield answer

    def sign_in(self):
        status, headers, text = self.ask(f"{self.link.path}?{self.link.query}")
        assert status == 303, text
        self.headers["Cookie"] = headers["Set-Cookie"].split(";")[0]
        self.headers["X-Portico-Key"] = headers["Location"].removeprefix("/#key=")
        return headers


@pytest.fixture(scope="module")
def stack():
    with Stack() as stack:
        stack.up(FILE)
        yield stack


def opened(stack):
    return Browser(json.loads(stack.done("open", "--json").stdout)["url"])


@pytest.fixture
def browser(stack):
    browser = opened(stack)
    browser.sign_in()
    return browser


def test_a_link_signs_in_once_and_shows_pages_and_data(stack):
    browser = opened(stack)
    assert browser.ask("/")[0] == browser.ask("/v1/status")[0] == 401
    cookie = browser.sign_in()["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    status, headers, page = browser.ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "/main.js" in page
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe" not in headers["Content-Security-Policy"]
    shown = json.loads(browser.ask("/v1/status")[2])
    assert shown["apps"][0]["name"] == "web"

    again = Browser(f"http://127.0.0.1:{browser.port}{browser.link.path}?{browser.link.query}")
    status, _, text = again.ask(f"{again.link.path}?{again.link.query}")
    assert (status, "was used" in text) == (401, True)


def test_it_listens_on_loopback_only(stack):
    port = opened(stack).port
    daemon = psutil.Process(stack.status()["daemon"]["pid"])
    addresses = [each.laddr for each in daemon.net_connections() if each.status == "LISTEN"]
    assert [each.ip for each in addresses if each.port == port] == ["127.0.0.1"]


def test_a_session_without_its_key_gets_no_data(browser):
    for path in ("/v1/status", "/live", "/v1/apps/web/output"):
        assert browser.ask(path, X_Portico_Key=None)[0] == 403
    assert browser.ask("/v1/apps/web/reload", "POST", X_Portico_Key="wrong")[0] == 403


def test_another_name_of_this_machine_gets_nothing(browser):
    assert browser.ask("/v1/status", Host=f"evil.example:{browser.port}")[0] == 421
    assert browser.ask("/", Host=f"evil.example:{browser.port}")[0] == 421


@pytest.mark.parametrize(
    "header", [{"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_a_page_of_another_site_changes_nothing(browser, stack, header):
    before = [i["id"] for i in stack.instances("web")]
    assert browser.ask("/v1/apps/web/scale", "POST", '{"instances": 3}', **header)[0] == 403
    assert [i["id"] for i in stack.instances("web")] == before


def test_only_what_its_pages_use_is_served(browser):
    for method, path in (("POST", "/v1/down"), ("POST", "/v1/up"), ("GET", "/openapi.json")):
        assert browser.ask(path, method)[0] in {404, 405}


def test_the_plan_of_an_edited_file_is_shown_before_it_is_applied(browser, stack):
    def plan():
        return json.loads(browser.ask(f"/v1/projects/{stack.folder.name}/plan")[2])

    file, before = stack.folder / "portico.toml", plan()
    assert (before["changed"], before["problem"], before["source"]) == (False, "", str(file))
    text = file.read_text()
    file.write_text(f'{text}\n[apps.more]\ncommand = "sleep 1000"\nport = false\n')
    assert [each["what"] for each in plan()["steps"] if "more.1" in each["what"]]
    file.write_text(f"{text}\n[apps.more\n")
    assert "line" in plan()["problem"]
    file.unlink()
    assert "No such file" in plan()["problem"]
    file.write_text(f'ecosystem = "pm2.js"\n{text}')
    assert "joins a PM2 file" in plan()["problem"]
    file.write_text(text)
    assert browser.ask("/v1/projects/other/plan")[0] == 404
    assert [app["name"] for app in stack.status()["apps"]] == ["web"]


def test_a_change_is_made_in_the_name_of_who_asked_for_the_link(browser, stack):
    status, _, text = browser.ask("/v1/apps/web/scale", "POST", '{"instances": 2}')
    assert status == 202, text
    eventually(lambda: len(stack.instances("web")) == 2)
    events = stack.done("events", "--kind", "scale", "--json").stdout.splitlines()
    asked = json.loads(events[-1])
    assert (asked["uid"], asked["subject"]) == (os.geteuid(), "web")


def test_the_status_comes_live_and_one_who_goes_ends_nothing(browser):
    with browser.live() as answer:
        for _ in range(2):
            line = answer.readline()
            assert json.loads(line.removeprefix(b"data: "))["apps"]
            assert answer.readline() == b"\n"
    assert browser.ask("/v1/status")[0] == 200


def test_browsers_that_never_read_and_never_close_are_few_and_hold_up_no_one(browser, stack):
    with ExitStack() as open_ones:
        for _ in range(MAX_READERS):
            assert open_ones.enter_context(browser.live()).status == 200
        with browser.live() as another:
            assert another.status == 503
            assert b"close one" in another.read()
        assert browser.ask("/v1/status")[0] == 200
        assert stack.status()["troubles"] == []

    def is_free():
        with browser.live() as answer:
            return answer.status == 200

    assert eventually(is_free)


def test_lines_of_the_output_are_shown_as_text(browser, stack):
    names = [f"web.{each['slot']}" for each in stack.instances("web")]
    shown = json.loads(browser.ask("/v1/apps/web/output")[2])
    assert any("listens on" in each["line"] for each in shown)
    assert {each["instance"] for each in shown} == {*names}
    of_one = json.loads(browser.ask(f"/v1/apps/{names[-1]}/output?grep=LISTENS")[2])
    assert {each["instance"] for each in of_one} == {names[-1]}
    assert all("listens" in each["line"] for each in of_one)
    assert json.loads(browser.ask("/v1/apps/output?count=1")[2]) == shown[-1:]
    assert browser.ask("/v1/apps/web.x/output")[0] == 409


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff" * 200,
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/up HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000,
    ],
)
def test_bytes_of_strangers_are_refused_and_it_goes_on(browser, raw):
    with socket.create_connection(("127.0.0.1", browser.port), 60) as stranger:
        stranger.sendall(raw)
        stranger.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: stranger.recv(65536), b""))
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4",))
    assert browser.ask("/v1/status")[0] == 200


def test_it_listens_at_the_same_place_after_the_death_of_the_daemon_and_not_once_closed(stack):
    browser = opened(stack)
    browser.sign_in()
    stack.kill_daemon()
    stack.done("status")
    eventually(lambda: browser.ask("/")[0] == 401)
    assert opened(stack).port == browser.port
    stack.done("open", "--off")
    with pytest.raises(OSError):
        browser.ask("/")
    stack.kill_daemon()
    stack.done("status")
    with pytest.raises(OSError):
        browser.ask("/")
