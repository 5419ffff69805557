"""Folders that only an app opens, by X-Accel-Redirect."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.clients import Answer
from tests.edge import Edge, edge_with_backend

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
headers = {X-Site = "app"}
error_pages = {404 = "404.html"}

[sites."app.test".routes]
"/protected" = {folder = "private", internal = true}
"/staff" = {app = "web", basic_auth = {users = {ann = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}}
"/public" = {folder = "public"}
"/stream" = {app = "web", buffering = false}

[sites."other.test"]
app = "web"
routes."/private" = {folder = "others", internal = true}

[sites."closed.test"]
app = "web"
basic_auth = {users = {ann = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}
routes."/protected" = {folder = "private", internal = true}
"""
FILES = {
    "private/report.txt": "0123456789",
    "private/a b%20ü?#.txt": "named",
    "private/sub/x.bin": "x",
    "private/.env": "secret",
    "others/report.txt": "of others",
    "public/index.html": "public",
    "secret.txt": "secret",
    "404.html": "page 404",
}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with edge_with_backend(FILE, FILES) as edge:
        yield edge


def sent_to(
    edge: Edge, place: str, path: str = "/", site: str = "app.test", **more: str
) -> Answer:
    method = more.pop("method", "GET")
    answers = "&".join(f"answer={quote(f'{n}:{v}')}" for n, v in more.pop("of_app", {}).items())
    target = f"{path}?answer={quote(f'X-Accel-Redirect:{place}')}&{answers}"
    return edge.ask(method, site, target, **more)


def test_an_app_opens_a_file_and_keeps_its_headers(edge):
    own = {
        "Content-Disposition": "attachment; filename=r.txt",
        "Cache-Control": "private",
        "Set-Cookie": "a=b",
    }
    answer = sent_to(edge, "/protected/report.txt", of_app=own)
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert {name: answer.headers.get_all(name) for name in own} == {n: [v] for n, v in own.items()}
    assert answer.headers.get_all("Content-Type") == ["application/json"]
    assert answer.headers.get_all("Content-Length") == ["10"]
    assert answer.headers["X-Site"] == "app"
    assert answer.headers["X-Accel-Redirect"] is None


@pytest.mark.parametrize(
    "path",
    [
        *("/protected/report.txt", "/protected/", "/protected", "//protected/report.txt"),
        *("/%70rotected/report.txt", "/public/../protected/report.txt", "/protected/sub"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_client_does_not(edge, method, path):
    answer = edge.ask(method, "app.test", path)
    assert answer.status == 404
    assert answer.body in {b"", b"page 404"}
    own = edge.ask(method, "app.test", path, X_Accel_Redirect="/protected/report.txt")
    assert own.status == 404


@pytest.mark.parametrize(
    ("place", "status", "body"),
    [
        ("/protected/sub/x.bin", 200, "x"),
        (f"/protected/{quote('a b%20ü?#.txt')}", 200, "named"),
        ("/protected/none", 404, "page 404"),
        ("/protected/.env", 404, "page 404"),
        ("/protected/../secret.txt", 404, "page 404"),
        ("/protected/%2e%2e/secret.txt", 404, "page 404"),
        ("/protected/..%2fsecret.txt", 404, "page 404"),
        ("/protected/sub/%00", 404, "page 404"),
        ("/protected", 404, "page 404"),
        ("/public/", 200, "public"),
    ],
)
def test_names_are_encoded_and_stay_in_the_folder(edge, place, status, body):
    answer = sent_to(edge, place)
    assert (answer.status, answer.body.decode()) == (status, body)


def test_a_part_of_a_file_is_sent(edge):
    answer = sent_to(edge, "/protected/report.txt", Range="bytes=2-4")
    assert (answer.status, answer.body) == (206, b"234")
    assert answer.headers["Content-Range"] == "bytes 2-4/10"
    head = sent_to(edge, "/protected/report.txt", method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "10", b"")
    kept = sent_to(
        edge, "/protected/report.txt", If_Modified_Since=answer.headers["Last-Modified"]
    )
    assert kept.status == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/stream"])
def test_whatever_the_request_was_the_file_is_sent(edge, method, path):
    assert sent_to(edge, "/protected/report.txt", path, method=method).body == b"0123456789"


def test_what_the_app_opens_asks_for_no_password_again(edge):
    password = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    assert sent_to(edge, "/protected/report.txt", "/staff").status == 401
    assert sent_to(edge, "/protected/report.txt", "/staff", **password).status == 200
    assert sent_to(edge, "/protected/report.txt", site="closed.test").status == 401
    assert sent_to(edge, "/protected/report.txt", site="closed.test", **password).status == 200


@pytest.mark.parametrize("site", ["app.test", "other.test"])
def test_the_folder_of_another_site_stays_closed(edge, site):
    place = {"app.test": "/private/report.txt", "other.test": "/protected/report.txt"}[site]
    answer = sent_to(edge, place, site=site)
    assert b"of others" not in answer.body
    assert b"0123456789" not in answer.body
