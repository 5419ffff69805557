"""HTTP/3, with an nginx that has its module."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edge import Edge, edge_with_backend
from tests.other_nginx import nginx_with
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.http3 import Response

FILE = """
[edge]
http3 = true

[apps.web]
command = "run"

[sites."app.test"]
app = "web"
redirect_http = false
routes."/files" = {folder = "public"}
routes."/own" = {headers = {Alt-Svc = "clear"}}

[sites."other.test"]
app = "web"
"""
LONG = "x" * 3_000_000


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    build = nginx_with("http3")
    with edge_with_backend(FILE, {"public/long.txt": LONG}, build) as edge:
        yield edge


def ask(edge: Edge, name: str, *paths: str, body: bytes | None = None) -> list[Response]:
    from tests.http3 import ask_by_http3  # noqa: PLC0415 - all processes that run tests import this module

    authority, ca = f"{name}:{edge.https}", str(edge.folder / "certificate.pem")
    return ask_by_http3(name, edge.https, authority, *paths, ca=ca, body=body)


def test_an_app_is_told_the_same_as_over_http_2(edge):
    (answer,) = ask(edge, "app.test", "/a%2Fb?c=d", body=b"12345")
    assert answer.status == 200
    assert (answer.json["method"], answer.json["path"]) == ("POST", "/a%2Fb?c=d")
    assert answer.json["body"] == 5
    told = answer.json["headers"]
    here = f"app.test:{edge.https}"
    assert (told["Host"], told["X-Forwarded-Host"]) == (here, here)
    assert (told["X-Forwarded-Proto"], told["X-Forwarded-Port"]) == ("https", str(edge.https))
    assert told["X-Forwarded-For"] == "127.0.0.1"


def test_requests_of_one_connection_are_answered_together_and_whole(edge):
    long, *others = ask(edge, "app.test", "/files/long.txt", *(f"/{n}" for n in range(20)))
    assert long.body == LONG.encode()
    assert [answer.json["path"] for answer in others] == [f"/{n}" for n in range(20)]


def test_every_site_with_https_has_it_and_no_other_name(edge):
    (answer,) = ask(edge, "other.test", "/")
    assert answer.status == 200
    with pytest.raises(OSError):
        ask(edge, "unknown.test", "/")


def test_it_is_announced_over_tls_alone_and_as_the_operator_has_it(edge):
    announced = f'h3=":{edge.https}"; ma=86400'
    assert edge.get("app.test", "/").headers["Alt-Svc"] == announced
    assert edge.get("app.test", "/files/none").headers["Alt-Svc"] == announced
    assert edge.get("app.test", "/own/").headers["Alt-Svc"] == "clear"
    assert edge.plain("app.test", "/").headers["Alt-Svc"] is None
    path = "/?answer=Alt-Svc:h3=%22:1%22"
    assert edge.get("app.test", path).headers.get_all("Alt-Svc") == [announced]


def _master(edge: Edge) -> int | None:
    with suppress(OSError, ValueError):
        return edge.pid
    return None


def _is_answered(edge: Edge) -> bool:
    with suppress(OSError):
        return ask(edge, "app.test", "/")[0].status == 200
    return False


def test_new_connections_are_answered_after_a_reload_and_after_another_program(edge):
    edge.reload(FILE + '[sites."third.test"]\napp = "web"\n')
    eventually(lambda: ask(edge, "third.test", "/")[0].status == 200)

    old = edge.pid
    os.kill(old, signal.SIGUSR2)
    eventually(lambda: _master(edge) not in {None, old})
    os.kill(old, signal.SIGQUIT)
    eventually(lambda: not Path(f"/proc/{old}").exists())
    eventually(lambda: _is_answered(edge))
