"""Four files of a stack that was wired by hand, imported and run by the whole of Portico."""

from __future__ import annotations

import shutil
import socket
from contextlib import ExitStack

import pytest

from tests.addresses import free_port
from tests.stack import PROGRAMS

ECOSYSTEM = """
const ignoreWatch = ['node_modules', 'logs', 'data']
module.exports = {{apps: {ports}.map((port, at) => ({{
  name: `server-${{at + 1}}`, script: 'index.js', autorestart: true, watch: true,
  ignore_watch: ignoreWatch, max_memory_restart: '1500M', env: {{port: String(port)}},
}}))}}
"""
SITE = """
server {{
    listen {https} ssl http2;
    listen [::]:{https} ssl http2;
    server_name exaple.localhost www.example.localhost;
    root {folder}/html;
    ssl_certificate /etc/letsencrypt/live/example.localhost/fullchain.pem; # managed by Certbot
    ssl_certificate_key /etc/letsencrypt/live/example.localhost/privket.pem; # managed by Certbot
    include /etc/letsencrypt/options-ssl-nginx-absent.conf; # managed by Certbot
}}
"""
BALANCED = """
upstream ffaso-server {{
    ip_hash;
    server localhost:{first};
    server localhost:{second};
}}

server {{
    listen {http};
    access_log /var/log/nginx/reverse-access.log;
    location / {{
        proxy_pass http://ffaso-server;
    }}
}}
"""


def ports_in_a_row(count):
    """The first of so many that are free."""
    while True:
        first = free_port()
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


@pytest.fixture
def files(stack):
    """Those of the hand-made stack, on ports of this test."""
    shutil.copy(PROGRAMS / "lower.js", stack.folder / "index.js")
    (stack.folder / "html").mkdir()
    (stack.folder / "html" / "index.html").write_text("<h1>Home</h1>")
    first = ports_in_a_row(4)
    texts = {
        "ecosystem.config.js": ECOSYSTEM.format(ports=list(range(first, first + 4))),
        "site.conf": SITE.format(https=stack.https, folder=stack.folder),
        "upstream.conf": BALANCED.format(http=stack.http, first=first, second=first + 1),
        "crontab": "@daily certbot renew\n",
    }
    for name, text in texts.items():
        (stack.folder / name).write_text(text)
    return list(texts)


def test_what_is_imported_passes_check_and_serves_the_same(stack, files):
    stack.done("import", *files, "-o", "portico.toml")
    lines = (stack.folder / "portico.toml").read_text().splitlines()
    assert len(lines) <= 29  # four of them are the ports of this test, under [edge]
    assert "ok: " in stack.done("check").stdout
    stack.done("up")
    assert len(stack.instances("server")) == 4
    assert stack.get("exaple.localhost").body == b"<h1>Home</h1>"
    with stack.client("any.other.name", tls=False) as client:
        answer = client.ask("GET", "/")
    assert answer.status == 200
    assert int(answer.json["port"]) > 0
