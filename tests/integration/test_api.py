"""The API over a real socket, with an engine that only remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from portico.api.app import Api
from portico.api.connection import MAX_BODY_SIZE
from portico.api.server import serve
from portico.core.model.verbs import VERBS
from portico.errors import Refused
from portico.system.proc import command_line
from tests.fakes.control import FakeControl, serving_at

DOCUMENT = {"source": "portico.toml", "folder": "/srv", "table": {"apps": {"web": {}}}}


@contextmanager
def api(path, control=None, **options):
    with (
        serving_at(control or FakeControl(), path / "api.sock", **options) as sock,
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(sock)), base_url="http://portico", timeout=60
        ) as client,
    ):
        yield client


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_daemon(tmp_path):
    with api(tmp_path) as client:
        mode = (tmp_path / "api.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert client.get("/v1/version").json() == {"version": "0.1.0", "pid": os.getpid()}
    assert not (tmp_path / "api.sock").exists()


def test_another_user_is_cut_off_before_a_byte_is_read(tmp_path):
    with api(tmp_path, allowed=frozenset({65534})) as client, pytest.raises(httpx.TransportError):
        client.get("/v1/status")


def test_a_change_remembers_the_user_and_process_that_asked_for_it(tmp_path):
    control = FakeControl()
    forged = {"X-Forwarded-For": "somebody", "Forwarded": "for=somebody"}
    with api(tmp_path, control) as client:
        assert client.post("/v1/up", json=DOCUMENT, headers=forged).status_code == 202
    [who] = control.who
    assert (str(who), who.uid) == (f"root (pid {os.getpid()})", os.geteuid())
    assert who.command == command_line(os.getpid())


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("POST", "/v1/apps/start", None, ("start", None)),
        ("POST", "/v1/apps/web/start", None, ("start", "web")),
        ("POST", "/v1/apps/stop", None, ("stop", None)),
        ("POST", "/v1/apps/web/restart", None, ("restart", "web")),
        ("POST", "/v1/apps/web/reload", None, ("reload", "web")),
        ("POST", "/v1/apps/web/scale", {"instances": 4}, ("scale", 4)),
        ("DELETE", "/v1/apps/web", None, ("delete", "web")),
        ("POST", "/v1/sites/a.test/pause", None, ("pause", "a.test")),
        ("POST", "/v1/sites/a.test/resume", None, ("resume", "a.test")),
        ("POST", "/v1/down", {"now": True}, ("down", (None, False, True))),
        ("POST", "/v1/down", None, ("down", (None, False, False))),
        ("POST", "/v1/down?project=shop", None, ("down", ("shop", False, False))),
        ("POST", "/v1/rollback", {"revision": 2}, ("rollback", 2)),
        ("POST", "/v1/rollback", None, ("rollback", None)),
    ],
)
def test_every_command_reaches_the_engine_and_answers_with_its_change(
    tmp_path, method, path, body, asked
):
    control = FakeControl()
    with api(tmp_path, control) as client:
        answer = client.request(method, path, json=body)
    assert answer.status_code == 202
    assert answer.json()["id"] == "c1"
    assert control.asked == [asked]


def test_what_is_read_comes_as_json(tmp_path):
    with api(tmp_path) as client:
        status = client.get("/v1/status").json()
        assert status["apps"][0]["instances"][1]["pid"] == 4712
        assert client.get("/v1/history").json()[0]["current"] is True
        assert client.get("/v1/changes").json() == []
        assert client.get("/v1/logs", params={"app": "web"}).json() == []
        assert client.post("/v1/check", json=DOCUMENT).json()["nginx"] == "1.31.3"
        assert client.post("/v1/plan", json=DOCUMENT).json()["steps"][0]["what"]
        assert client.post("/v1/render").json()["files"]["source"] == "False"
        with_document = client.post("/v1/render", json={"document": DOCUMENT}).json()
        assert with_document["files"]["source"] == "True"
        assert client.post("/v1/trust").json()["installed"] == ["the system"]


def test_metrics_come_as_the_text_that_prometheus_reads(tmp_path):
    with api(tmp_path) as client:
        answer = client.get("/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text == "portico_nginx_up 1\n"


def test_a_wrong_file_is_answered_with_all_its_problems(tmp_path):
    control = FakeControl()
    with api(tmp_path, control) as client:
        answer = client.post("/v1/up", json={**DOCUMENT, "table": {}})
    assert answer.status_code == 422
    told = answer.json()
    assert (told["exit_code"], told["source"]) == (2, "portico.toml")
    assert [problem["where"] for problem in told["problems"]] == ["apps", "edge.http"]
    assert told["error"].startswith("cannot use portico.toml: 2 problems; nothing was changed")
    assert control.asked == []


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "says"),
    [
        ("POST", "/v1/up", b"{", 400, "nothing was changed"),
        ("POST", "/v1/up", b"[]", 400, "nothing was changed"),
        ("POST", "/v1/up", b'{"source": 1}', 400, "folder: Field required"),
        ("POST", "/v1/apps/web/scale", b'{"instances": "two"}', 400, "instances"),
        ("POST", "/v1/apps/web/scale", b"", 400, "instances"),
        ("POST", "/v1/apps/nope/start", b"", 404, "there is no app nope; known: web"),
        ("GET", "/v1/changes/nope", b"", 404, "there is no change nope"),
        ("GET", "/v1/changes/nope/follow", b"", 404, "there is no change nope"),
        ("GET", "/v2/status", b"", 404, "Not Found"),
        ("PUT", "/v1/status", b"", 405, "Method Not Allowed"),
    ],
)
def test_every_error_has_the_same_shape(tmp_path, method, path, content, status, says):
    with api(tmp_path) as client:
        answer = client.request(method, path, content=content)
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert answer.json()["exit_code"] == 2


def test_a_body_without_end_is_refused(tmp_path):
    with api(tmp_path) as client:
        answer = client.post("/v1/check", content=b" " * (MAX_BODY_SIZE + 1))
    assert answer.status_code == 413


def exchange(path, *parts):
    """What comes back for each part on one connection, until what is awaited has come."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path / "api.sock"))
        heard = []
        for sent, awaited in parts:
            client.sendall(sent)
            heard.append(b"")
            while awaited not in heard[-1] and (more := client.recv(65536)):
                heard[-1] += more
        return heard


def test_one_connection_has_room_for_many_requests(tmp_path):
    ask = b"GET /v1/version HTTP/1.1\r\nHost: a\r\n\r\n"
    down = b"POST /v1/down HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    waiting = down + b"Expect: 100-continue\r\n\r\n"
    parts = (ask + ask[:9], b'"pid"'), (ask[9:], b'"pid"'), (waiting, b"100"), (b"{}", b"202")
    with api(tmp_path):
        *both, go_on, accepted = exchange(tmp_path, *parts)
    assert [heard.startswith(b"HTTP/1.1 200 OK") for heard in both] == [True, True]
    assert go_on.startswith(b"HTTP/1.1 100")
    assert accepted.startswith(b"HTTP/1.1 202 Accepted")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nno\r\n\r\n"])
def test_what_is_no_http_is_refused_and_ends_the_connection(tmp_path, sent):
    with api(tmp_path) as client:
        (heard,) = exchange(tmp_path, (sent, b"nothing was changed"))
        assert heard.startswith(b"HTTP/1.1 400 Bad Request")
        assert client.get("/v1/version").status_code == 200


def test_a_bug_is_answered_shortly_and_logged_in_full(tmp_path, caplog):
    class Broken(FakeControl):
        def status(self):
            raise ZeroDivisionError("by zero")

    with api(tmp_path, Broken()) as client:
        answer = client.get("/v1/status")
        assert client.get("/v1/version").status_code == 200
    assert answer.status_code == 500
    assert answer.json()["error"].startswith(
        "internal error in porticod: ZeroDivisionError: by zero"
    )
    assert "Traceback" in caplog.text


def test_a_change_is_followed_line_by_line_until_it_ends(tmp_path):
    control = FakeControl()
    control.holding = True
    with api(tmp_path, control) as client:
        client.post("/v1/up", json=DOCUMENT)
        with client.stream("GET", "/v1/changes/c1/follow") as answer:
            assert answer.headers["content-type"].startswith("application/x-ndjson")
            lines = answer.iter_lines()
            assert json.loads(next(lines))["lines"] == []
            control.say("c1", "started web.1")
            assert json.loads(next(lines))["lines"] == ["started web.1"]
            control.end("c1", error="web.1 exited", exit_code=1)
            *_, last = map(json.loads, lines)
    assert (last["state"], last["error"], last["exit_code"]) == ("failed", "web.1 exited", 1)


def test_the_daemon_leaves_in_time_although_somebody_follows(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    control = FakeControl()
    control.holding = True
    with socket.socket(socket.AF_UNIX) as follower:
        with api(tmp_path, control) as client:
            client.post("/v1/up", json=DOCUMENT)
            follower.connect(str(tmp_path / "api.sock"))
            follower.sendall(b"GET /v1/changes/c1/follow HTTP/1.0\r\n\r\n")
            follower.settimeout(60)
            assert b"200 OK" in follower.recv(4096)
            asked = time.monotonic()
        assert time.monotonic() - asked < 30
        while follower.recv(4096):
            pass
    assert [record.message for record in caplog.records if "portico.api" in record.name] == []


@pytest.mark.parametrize(
    "said", [b"", b"GET /v1/st", b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"]
)
def test_whoever_has_connected_is_hung_up_on_when_the_daemon_leaves(tmp_path, said):
    path, clients = tmp_path / "api.sock", []
    with api(tmp_path):
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(60)
            client.connect(str(path))
            client.sendall(said)
            clients.append(client)
    for client in clients:
        while client.recv(65536):
            pass
        client.close()


def test_who_has_connected_and_not_yet_asked_is_told_that_the_daemon_leaves(tmp_path):
    path = tmp_path / "api.sock"

    def ask_when_it_leaves(client):
        while path.exists():
            time.sleep(0.001)
        client.sendall(b"GET /v1/version HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b""))

    with socket.socket(socket.AF_UNIX) as client, ThreadPoolExecutor(1) as other:
        client.settimeout(60)
        with api(tmp_path):
            client.connect(str(path))
            answer = other.submit(ask_when_it_leaves, client)
        head, _, body = answer.result().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body)["error"] == "porticod is exiting; nothing was changed"


def test_a_reader_that_goes_away_is_let_go(tmp_path):
    left = []

    class Watched(FakeControl):
        async def _follow(self, change):
            try:
                async for view in super()._follow(change):
                    yield view
            finally:
                left.append(change)

    control = Watched()
    control.holding = True
    with api(tmp_path, control) as client:
        client.post("/v1/up", json=DOCUMENT)
        with client.stream("GET", "/v1/changes/c1/follow") as answer:
            next(answer.iter_lines())
        deadline = time.monotonic() + 60
        while not left and time.monotonic() < deadline:
            time.sleep(0.01)
    assert left == ["c1"]


def test_a_socket_that_nobody_answers_on_is_replaced(tmp_path):
    dead = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", dead, str(tmp_path / "api.sock")], check=True)
    assert (tmp_path / "api.sock").exists()
    with api(tmp_path) as client:
        assert client.get("/v1/version").status_code == 200


def test_a_socket_that_somebody_answers_on_is_left_alone(tmp_path):
    with api(tmp_path) as client:
        said = list[str]()
        second = serve(
            Api(FakeControl()),
            tmp_path / "api.sock",
            asyncio.Event(),
            frozenset({0}),
            lambda: said.append("listening"),
        )
        with pytest.raises(Refused, match="another porticod answers"):
            asyncio.run(second)
        assert said == []
        assert client.get("/v1/version").status_code == 200


def test_the_openapi_document_describes_every_resource(tmp_path):
    with api(tmp_path) as client:
        document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert document["info"].keys() >= {"title", "version"}
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert method in {"get", "post", "delete"}
            ids.append(operation["operationId"])
            in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            assert {"default"} < operation["responses"].keys()
            assert all(answer["description"] for answer in operation["responses"].values())
    assert len(ids) == len(set(ids)) == sum(len(list(verb.paths)) for verb in VERBS)
    for reference in references(document):
        resolve(document, reference)
    body = document["paths"]["/v1/apps/{app}/scale"]["post"]["requestBody"]
    assert body["required"] is True
    schema = resolve(document, body["content"]["application/json"]["schema"]["$ref"])
    number, change = schema["properties"]["instances"]["anyOf"]
    assert (number["type"], change["pattern"]) == ("integer", "^[+-][0-9]{1,4}$")


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document, reference):
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node
