"""Events that are sent to a URL by the real child, and to a command of another user."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from portico.adapters.notifications import sender
from portico.adapters.notifications.sender import Sender
from portico.core.model.notification import Notify
from portico.system.names import authorities

NOW = 1_800_000_000.0


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, dict(self.headers), body))
        if self.path == "/hangs":
            self.server.released.wait(60)
        status = {"/moved": 302, "/busy": 503}.get(self.path, 204)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/taken")
        self.end_headers()
        if status == 503:
            self.wfile.write(b"not \x1b now")

    def log_message(self, *_):
        pass


@contextmanager
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.taken, server.released = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def posted(server, path, body=b"{}", **table):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return asyncio.run(Sender(authorities()).post(Notify(url=url, **table), body, NOW))


def test_a_request_is_signed_and_no_redirect_is_followed_and_one_that_hangs_is_ended(
    tmp_path, monkeypatch
):
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    with receiver() as server:
        body = json.dumps({"text": "ü"}).encode()
        assert posted(server, "/taken?token=1", body, secret_file=str(secret)) is None
        path, headers, received = server.taken[-1]
        mac = hmac.new(b"hush", b"1800000000." + received, hashlib.sha256).hexdigest()
        assert (path, received) == ("/taken?token=1", body)
        assert headers["Portico-Signature"] == f"t=1800000000,v1={mac}"
        assert headers["Content-Type"] == "application/json"

        assert posted(server, "/moved") == ("127.0.0.1 answered 302; redirects are not followed")
        assert [path for path, *_ in server.taken] == ["/taken?token=1", "/moved"]
        assert "127.0.0.1 answered 503: not" in posted(server, "/busy")

        monkeypatch.setattr(sender, "START_TIME", 2.0)
        began = time.monotonic()
        said = posted(server, "/hangs", timeout=1)
        assert "timed out" in said
        assert time.monotonic() - began < 50
        missing = tmp_path / "none"
        assert posted(server, "/taken", secret_file=str(missing)) == (
            f"cannot read {missing}: No such file or directory"
        )
        secret.write_text("\n")
        assert posted(server, "/taken", secret_file=str(secret)) == f"{secret} is empty"
    assert "Connection refused" in posted(server, "/")


def ran(*command, **table):
    notify = Notify(command=command, **table)
    return asyncio.run(Sender("").run(notify, b'{"version": 1}', {"PORTICO_EVENT": "exit"}))


def test_a_command_gets_the_document_and_ends_at_its_deadline(tmp_path):
    out = tmp_path / "out"
    script = f'cat > {out}; echo " $PORTICO_EVENT" >> {out}'
    assert ran("sh", "-c", script) is None
    assert out.read_text() == '{"version": 1} exit\n'
    assert ran("sh", "-c", "echo no; exit 3") == "sh exited with code 3: no"
    assert ran("sleep", "60", timeout=1) == "sleep timed out after 1 s and was stopped"
    assert ran("/none") == "/none: No such file or directory"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as another user")
def test_a_command_runs_as_the_user_that_is_named(neighbour):
    script = f'[ "$(id -un)" = {neighbour.name} ] && [ "$(id -G)" != 0 ]'
    assert ran("sh", "-c", script, user=neighbour.name) is None
    assert "there is no user" in ran("true", user="no-such-user-here")
