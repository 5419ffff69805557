"""Let's Encrypt's test authority (RFC 8555) on loopback ports, with its own name server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from portico.adapters.acme.wire import Server
from portico.adapters.certificates.authority import local_authority
from tests.addresses import free_port
from tests.network import Network

MISSING = [name for name in ("pebble", "pebble-challtestsrv") if not shutil.which(name)]
WHY_SKIPPED = "needs Debian's package pebble: apt install pebble"
EAB_KEY = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
DEFAULTS = {
    "PEBBLE_VA_NOSLEEP": "1",
    "PEBBLE_WFE_NONCEREJECT": "0",
    "PEBBLE_AUTHZREUSE": "0",
}


class Pebble:
    """`http`, `tls` and `dns` are the ports that it looks at for proofs."""

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        dns: int | str | None = None,
        address: str = "127.0.0.1",
        network: Network | None = None,
        **config: object,
    ) -> None:
        """It listens at `address` in a network of a test, or on loopback."""
        self.address, self._network = address, network
        self.folder = folder
        self.acme, self.management, self.http, self.tls = (free_port() for _ in range(4))
        self.dns, self._names = dns or free_port(), free_port()
        self._resolver = dns if isinstance(dns, str) else f"{self.address}:{self.dns}"
        self._own_names = dns is None
        self._environ = {**os.environ, **DEFAULTS, **(environ or {})}
        self._pair(folder)
        self._config = self._write_config(config)
        self._programs: list[subprocess.Popen[bytes]] = []

    @property
    def directory(self) -> str:
        return f"https://{self.address}:{self.acme}/dir"

    @property
    def server(self) -> Server:
        return Server(self.directory, str(self.root))

    def start(self) -> None:
        if self._own_names:
            self._run(
                *("pebble-challtestsrv", "-dns01", f"{self.address}:{self.dns}"),
                *("-management", f"{self.address}:{self._names}"),
                *("-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""),
            )
        self._run("pebble", "-config", self._config, "-dnsserver", self._resolver)
        self._wait()

    def restart(self) -> None:
        """It forgets everything: accounts, orders and its own keys."""
        self.stop()
        self.start()

    def stop(self) -> None:
        for program in self._programs:
            program.kill()
        for program in self._programs:
            program.wait()
        self._programs.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It accepts connections, and answers none of them until the end."""
        for program in self._programs:
            program.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for program in self._programs:
                program.send_signal(signal.SIGCONT)

    # what tests ask of it

    def names(self, act: str, **fields: str) -> None:
        """`set-txt`, `add-a`, `set-servfail` and others of its name server."""
        data = json.dumps(fields).encode()
        request = urllib.request.Request(f"http://{self.address}:{self._names}/{act}", data=data)
        with self._entered():
            urllib.request.urlopen(request, timeout=60).close()

    def managed(self, path: str) -> bytes:
        """Its management interface: `/roots/0` and others."""
        url = f"https://{self.address}:{self.management}{path}"
        with (
            self._entered(),
            urllib.request.urlopen(url, context=self.trusting, timeout=60) as answer,
        ):
            return answer.read()

    def status(self, serial: str) -> str:
        return json.loads(self.managed(f"/cert-status-by-serial/{serial}"))["Status"]

    @property
    def log(self) -> str:
        return (self.folder / "pebble.log").read_text()

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.root))

    def _pair(self, folder: Path) -> None:
        authority = local_authority(folder, "pebble", time.time())
        certificate, key = authority.sign([self.address, "localhost"], time.time())
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)
        self.root = folder / "authority" / "root.pem"

    def _write_config(self, more: Mapping[str, object]) -> str:
        settings = {
            "listenAddress": f"{self.address}:{self.acme}",
            "managementListenAddress": f"{self.address}:{self.management}",
            "certificate": str(self.certificate),
            "privateKey": str(self.key),
            "httpPort": self.http,
            "tlsPort": self.tls,
            "certificateValidityPeriod": 90 * 86400,
        }
        file = self.folder / "config.json"
        file.write_text(json.dumps({"pebble": {**settings, **more}}))
        return str(file)

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            words = [*(self._network.words if self._network else ()), *command]
            program = subprocess.Popen(words, stdout=log, stderr=log, env=self._environ)
        self._programs.append(program)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._programs[-1].poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def _entered(self) -> AbstractContextManager[None]:
        return self._network.entered() if self._network else nullcontext()

    def _answers(self) -> bool:
        """By connections alone: a handshake to ask costs ten times as much."""
        ports = (self._names,) * self._own_names + (self.management, self.acme)
        with suppress(OSError), self._entered():
            for port in ports:
                socket.create_connection((self.address, port), 60).close()
            return True
        return False


@contextmanager
def running(folder: Path, **settings: object) -> Iterator[Pebble]:
    folder.mkdir(parents=True, exist_ok=True)
    pebble = Pebble(folder, **settings)
    try:
        pebble.start()
        yield pebble
    finally:
        pebble.stop()
