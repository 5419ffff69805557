"""A folder on a port of its own, as PM2's `serve` has it."""

from __future__ import annotations

import base64
import http.client
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.addresses import free_port
from tests.waiting import eventually, is_listening


@contextmanager
def serving(folder, **variables):
    """The port of a server of this folder."""
    port = free_port()
    env = {"PM2_SERVE_HOST": "127.0.0.1", "PM2_SERVE_PORT": str(port), **variables}
    command = (sys.executable, "-P", "-m", "portico.system.folder_server")
    with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: is_listening(port))
            yield port
        finally:
            server.kill()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.fixture
def site(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    dist = tmp_path / "dist"
    for name in ("index.html", "app.js", ".env", "sub/index.html", "empty/x", ".well-known/y"):
        (dist / name).parent.mkdir(parents=True, exist_ok=True)
        (dist / name).write_text(name)
    return tmp_path


def test_files_are_served_and_nothing_else(site):
    with serving(site, PM2_SERVE_PATH="dist") as port:
        assert ask(port, "/") == (200, "index.html")
        assert ask(port, "/app.js?v=1") == (200, "app.js")
        assert ask(port, "/app.js", "HEAD") == (200, "")
        assert ask(port, "/sub/") == (200, "sub/index.html")
        assert ask(port, "/.well-known/y") == (200, ".well-known/y")
        for path in (
            *("/nothing", "/.env", "/sub/../.env", "/%2eenv", "/empty/"),
            *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//etc/passwd"),
        ):
            status, text = ask(port, path)
            assert (status, "secret" in text) == (404, False), path
        assert ask(port, "/app.js", "POST")[0] == 501


def test_a_single_page_app_gets_its_homepage_for_every_path_that_is_no_file(site):
    with serving(
        site, PM2_SERVE_PATH="dist", PM2_SERVE_SPA="true", PM2_SERVE_HOMEPAGE="./sub/index.html"
    ) as port:
        assert ask(port, "/users/7") == (200, "sub/index.html")
        assert ask(port, "/app.js") == (200, "app.js")
        assert ask(port, "/.env")[0] == 404


def test_a_password_is_asked_for_where_the_file_has_one(site):
    with serving(
        site / "dist",
        PM2_SERVE_BASIC_AUTH="true",
        PM2_SERVE_BASIC_AUTH_USERNAME="a",
        PM2_SERVE_BASIC_AUTH_PASSWORD="b",
    ) as port:
        assert ask(port, "/app.js")[0] == 401
        for password, status in (("b", 200), ("c", 401)):
            secret = base64.b64encode(f"a:{password}".encode()).decode()
            assert ask(port, "/app.js", Authorization=f"Basic {secret}")[0] == status
