"""The cache of answers, through the real nginx: what is stored, and who gets it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from portico.adapters.nginx.caches import Caches
from portico.core.render.cache import ROOM_FILE
from portico.core.render.claims import FORWARDED_HEADERS, IDENTITIES, REQUEST_CLAIMS
from tests.addresses import free_port
from tests.clients import Answer
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.programs.auth_server import AuthServer
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[apps.mortal]
command = "run"

[sites."app.test"]
app = "web"
redirect_http = false
cache = {x_cache = true}

[sites."app.test".routes]
"/valid" = {cache = {valid = {200 = "1h", 503 = "1h"}, x_cache = true}}
"/cookies" = {cache = {valid = "1h", ignore_cookies = true, x_cache = true}}
"/bypass" = {cache = {bypass = ["$cookie_session", "$arg_fresh"], x_cache = true}}
"/told" = {cache = {no_cache = ["$upstream_http_x_private"], x_cache = true}}
"/uri" = {cache = {key = "$uri", x_cache = true}}
"/lock" = {cache = {lock = true, x_cache = true}}
"/thrice" = {cache = {min_uses = 3, x_cache = true}}
"/stale" = {cache = {use_stale = true, x_cache = true}}
"/mortal" = {app = "mortal", cache = {use_stale = true, x_cache = true}}
"/staff" = {basic_auth = {users = {ann = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}}
"/closed" = {deny = ["all"]}
"/off" = {cache = false}

[apps.gate]
command = "run"

[sites."auth.test"]
app = "web"
cache = {x_cache = true}
auth = {app = "gate", path = "/oauth2/auth", request_headers = ["X-Auth-Request-User"]}

[sites."behind.test"]
app = "web"
cache = {x_cache = true}
real_ip = {trust = ["127.0.0.1"]}
"""
ANN = "Basic YW5uOnNlY3JldA=="
KEPT = "answer=Cache-Control:max-age%3D3600"


@dataclass
class Scene:
    edge: Edge
    web: Backend

    def get(self, path: str, site: str = "app.test", **headers: str) -> Answer:
        return self.edge.get(site, path, **headers)

    def stored(self, path: str, site: str = "app.test", **headers: str) -> Answer:
        """Ask until the answer comes from the cache: nginx stores it beside sending it."""

        def hit() -> Answer | None:
            answer = self.get(path, site, **headers)
            return answer if answer.headers["X-Cache"] == "HIT" else None

        return eventually(hit)

    def is_stored(self, path: str, **headers: str) -> bool:
        """Whether the app was not asked each time."""
        before = len(self.web.asked)
        for _ in range(3):
            self.get(path, **headers)
        return len(self.web.asked) < before + 3


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with (
        Backend() as web,
        AuthServer() as gate,
        FakeDiscovery(web=[web.port], gate=[gate.port]) as discovery,
        Edge(FILE, discovery.address) as edge,
    ):
        eventually(lambda: edge.get("app.test", "/off").status == 200)
        yield Scene(edge, web)


@pytest.mark.parametrize(
    "query",
    [
        KEPT,
        "answer=Cache-Control:s-maxage%3D3600",
        "answer=Cache-Control:public,max-age%3D3600",
        "answer=Expires:" + quote("Thu, 01 Jan 2037 00:00:00 GMT"),
        "answer=X-Accel-Expires:3600",
        f"{KEPT}&status=404",
        f"{KEPT}&status=301",
        f"{KEPT}&size=500000",
    ],
)
def test_what_the_app_says_may_be_kept_is_answered_without_it(scene, query):
    answer = scene.stored(f"/kept?{query}")
    assert answer.body == scene.stored(f"/kept?{query}").body
    assert scene.is_stored(f"/kept?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "",
        f"{KEPT}&answer=Set-Cookie:a%3Db",
        "answer=Cache-Control:private,max-age%3D3600",
        "answer=Cache-Control:no-store",
        "answer=Cache-Control:no-cache",
        "answer=Cache-Control:max-age%3D0",
        f"{KEPT}&answer=Vary:*",
        *(f"{KEPT}&status={code}" for code in (206, 400, 401, 403, 405, 413, 429, 500, 503)),
    ],
)
def test_what_is_one_clients_or_broken_is_never_stored(scene, query):
    assert not scene.is_stored(f"/never?{query}")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"X_HTTP_Method_Override": "DELETE"},
        {"X_HTTP_Method": "DELETE"},
        {"X_Method_Override": "DELETE"},
    ],
)
def test_an_answer_to_a_request_that_others_do_not_send_is_never_stored(scene, headers):
    path = f"/own?{KEPT}&of={next(iter(headers))}"
    assert not scene.is_stored(path, **headers)
    scene.stored(path)
    assert not scene.is_stored(path, **headers)


def test_a_body_of_a_get_is_seen_by_the_app(scene):
    path = f"/fat?{KEPT}"
    scene.stored(path)
    assert scene.edge.ask("GET", "app.test", path, b"evil").json["body"] == 4
    assert scene.stored(path).json["body"] == 0


def test_what_is_public_is_stored_for_those_who_log_in_and_for_them_alone(scene):
    """RFC 9111 3.5."""
    path = "/public?answer=Cache-Control:public,max-age%3D3600"
    hit = scene.stored(path, Authorization="Bearer a")
    assert scene.stored(path, Authorization="Bearer b").body == hit.body
    assert scene.stored(path).body != hit.body


def test_other_methods_reach_the_app_with_their_conditions(scene):
    path = f"/edit?{KEPT}"
    scene.stored(path)
    conditions = {
        "If-Match": '"a"',
        "If-None-Match": "*",
        "If-Unmodified-Since": "Thu, 01 Jan 2037 00:00:00 GMT",
        "Range": "bytes=0-1",
    }
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        headers = {name.replace("-", "_"): value for name, value in conditions.items()}
        seen = scene.edge.ask(method, "app.test", path, b"x", **headers).json
        assert seen["method"] == method
        assert conditions.items() <= seen["headers"].items()


def test_a_client_gets_304_and_parts_from_what_is_stored(scene):
    path = f'/etag?{KEPT}&answer=ETag:"x"&answer=Accept-Ranges:bytes'
    whole = scene.stored(path)
    assert scene.get(path, If_None_Match='"x"').status == 304
    part = scene.get(path, Range="bytes=0-3")
    assert (part.status, part.body) == (206, whole.body[:4])
    head = scene.edge.ask("HEAD", "app.test", path)
    assert (head.headers["X-Cache"], head.body) == ("HIT", b"")
    assert "Range" not in whole.json["headers"]


def test_a_head_never_leaves_an_empty_answer(scene):
    path = f"/head?{KEPT}"
    assert scene.edge.ask("HEAD", "app.test", path).status == 200
    assert scene.stored(path).json["method"] == "GET"


def test_a_variant_is_stored_for_each_value_of_vary(scene):
    path = f"/vary?{KEPT}&answer=Vary:Accept-Language"
    one = scene.stored(path, Accept_Language="de")
    other = scene.stored(path, Accept_Language="fr")
    assert one.json["headers"]["Accept-Language"] == "de"
    assert other.json["headers"]["Accept-Language"] == "fr"


def test_what_an_app_knows_of_a_request_is_in_the_key(scene):
    path = f"/keyed?{KEPT}"
    scene.stored(path)
    assert scene.edge.plain("app.test", path).json["headers"]["X-Forwarded-Proto"] == "http"
    evil = scene.get(path, Host="app.test:666").json["headers"]
    assert evil["X-Forwarded-Host"] == "app.test:666"
    assert "666" not in scene.stored(path).json["headers"]["X-Forwarded-Host"]


def test_no_claim_of_one_client_is_in_the_answer_to_another(scene):
    """Behind a proxy that is trusted: it may pass on what its clients made up. `Forwarded` is
    believed about the host, and says anything else of the sender only.
    """
    claims = [(name, "evil") for name in (*REQUEST_CLAIMS, *FORWARDED_HEADERS, *IDENTITIES)]
    claims += [("X-Forwarded-Host", "a|evil|b"), ("X-Forwarded-Prefix", "a|evil")]
    with scene.edge.client("behind.test") as client:
        for number, (name, value) in enumerate(claims):
            path = f"/claims?{KEPT}&of={number}"
            assert client.ask("GET", path, **{name: value}).status == 200
            assert b"evil" not in client.ask("GET", path).body, name
        for number, value in enumerate(
            ("evil", "evil, host=behind.test", "evil;Host=behind.test")
        ):
            path, other = f"/forwarded?{KEPT}&of={number}", {"X-Forwarded-Host": "behind.test"}
            for headers in ({}, other):
                client.ask("GET", path, Forwarded=f"host={value}", **headers)
                assert b"evil" not in client.ask("GET", path, **headers).body


def test_valid_is_for_what_the_app_says_nothing_of(scene):
    assert scene.is_stored("/valid/page")
    assert not scene.is_stored("/valid/page?status=404")
    assert scene.is_stored("/valid/page?status=503")  # as the file says
    assert not scene.is_stored("/valid/page?answer=Cache-Control:no-store")


def test_a_client_with_cookies_gets_only_what_the_app_says_is_for_all(scene):
    scene.stored("/valid/cookie")
    assert not scene.is_stored("/valid/cookie", Cookie="sid=1")
    assert scene.is_stored(f"/valid/cookie?{KEPT}", Cookie="sid=1")
    hit = scene.stored("/cookies/x", Cookie="sid=1")
    assert scene.stored("/cookies/x").body == hit.body


def test_requests_that_bypass_are_passed_on_whole_and_not_stored(scene):
    path = f"/bypass/x?{KEPT}"
    scene.stored(path)
    assert not scene.is_stored(path, Cookie="session=1")
    assert not scene.is_stored(f"{path}&fresh=1")
    answer = scene.get(path, Cookie="session=1", If_None_Match='"x"', Range="bytes=0-1")
    assert answer.headers["X-Cache"] == "BYPASS"
    assert {"If-None-Match": '"x"', "Range": "bytes=0-1"}.items() <= answer.json["headers"].items()
    assert scene.is_stored(path)


def test_what_an_answer_says_can_keep_it_from_being_stored(scene):
    assert not scene.is_stored(f"/told/x?{KEPT}&answer=X-Private:1")
    assert scene.is_stored(f"/told/x?{KEPT}&answer=X-Private:0")


def test_a_key_without_the_query_is_one_answer_for_all_queries(scene):
    hit = scene.stored(f"/uri/x?{KEPT}")
    assert scene.stored(f"/uri/x?{KEPT}&utm=1").body == hit.body


def test_a_stored_answer_is_not_for_those_who_may_not_come_in(scene):
    path = "/staff/x?answer=Cache-Control:public,max-age%3D3600"
    scene.stored(path, Authorization=ANN)
    assert scene.get(path).status == 401
    assert scene.get(f"/closed/x?{KEPT}").status == 403


def test_another_program_decides_about_what_is_stored_too(scene):
    path = "/auth?answer=Cache-Control:public,max-age%3D3600"
    scene.stored(path, "auth.test", Cookie="session=ann")
    assert scene.get(path, "auth.test", Cookie="session=bob").headers["X-Cache"] == "HIT"
    assert scene.get(path, "auth.test").status == 401


def test_the_page_of_a_user_whom_another_program_knows_is_for_no_other_one(scene):
    path = f"/auth?{KEPT}"
    for user in ("ann", "bob", "ann"):
        page = scene.get(path, "auth.test", Cookie=f"session={user}")
        assert page.json["headers"]["X-Auth-Request-User"] == user


def test_streams_and_websockets_are_passed_on(scene):
    path = f"/streams?{KEPT}"
    scene.stored(path)
    assert not scene.is_stored(path, Accept="text/event-stream")
    with scene.edge.websocket("app.test", path) as websocket:
        websocket.sendall(b"hello")
        assert websocket.recv(5) == b"hello"


def test_with_lock_one_request_asks_for_all(scene):
    path = f"/lock/x?{KEPT}&sleep=0.5"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: scene.get(path), range(8)))
    assert len({answer.body for answer in answers}) == 1
    assert scene.web.asked.count(f"GET {path}") == 1


def test_an_answer_is_stored_after_min_uses(scene):
    path = f"/thrice/x?{KEPT}"
    assert [scene.get(path).headers["X-Cache"] for _ in range(3)] == ["MISS"] * 3
    scene.stored(path)


def test_a_stale_answer_is_used_while_it_is_updated(scene):
    path = "/stale/x?answer=Cache-Control:max-age%3D1"
    first = scene.stored(path)
    stale = eventually(
        lambda: a if (a := scene.get(path)).headers["X-Cache"] in {"STALE", "UPDATING"} else None
    )
    assert stale.body == first.body or stale.json["client"]
    eventually(lambda: scene.get(path).body != stale.body)


def test_an_app_that_dies_is_stood_in_for_by_what_is_stored():
    path = "/mortal/x?answer=Cache-Control:max-age%3D1"
    with (
        Backend() as mortal,
        FakeDiscovery(mortal=[free_port(), mortal.port]) as discovery,
        Edge(FILE, discovery.address) as edge,
    ):
        eventually(lambda: edge.get("app.test", path).status == 200)
        # One of two is dead: the other one is asked, as without a cache.
        assert {edge.get("app.test", f"/mortal/{n}").status for n in range(20)} == {200}
        eventually(lambda: edge.get("app.test", path).headers["X-Cache"] == "HIT")
        discovery.peers["mortal"] = [free_port()]
        eventually(lambda: edge.get("app.test", "/mortal/unknown").status == 502)
        eventually(lambda: edge.get("app.test", path).headers["X-Cache"] != "HIT")
        assert {edge.get("app.test", path).status for _ in range(20)} == {200}


def test_without_room_on_the_disk_answers_come_from_the_app(scene):
    path = f"/room?{KEPT}"
    scene.stored(path)
    room = scene.edge.home / "nginx" / ROOM_FILE
    room.unlink()
    try:
        assert not scene.is_stored(f"{path}&new=1")
        scene.stored(path)
    finally:
        room.touch()
    scene.stored(f"{path}&new=1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_there_is_room_only_while_much_more_fits_on_the_disk(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "portico-test", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        (caches := Caches(tmp_path)).make()
        assert not (tmp_path / ROOM_FILE).exists()
        subprocess.run(["mount", "-o", "remount,size=64m", tmp_path], check=True)
        caches.check_room()
        assert (tmp_path / ROOM_FILE).exists()
        subprocess.run(["mount", "-o", "remount,size=8m", tmp_path], check=True)
        caches.check_room()
        assert not (tmp_path / ROOM_FILE).exists()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_reload_keeps_what_is_stored_and_the_log_says_where_answers_came_from(scene):
    path = f"/reloaded?{KEPT}"
    hit = scene.stored(path)
    scene.edge.reload(FILE + '\n[sites."more.test"]\napp = "web"\n')
    assert scene.get(path).body == hit.body
    eventually(lambda: '"upstream_cache_status":"HIT"' in scene.edge.access_log("app.test"))
