"""BIND with one zone that takes signed updates, on a loopback port."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message

from tests.addresses import free_port
from tests.fakes.name_server import KEY_NAME, SECRET

LOADED = Path(sys.prefix) / "bind"
"""Where scripts/bind unpacks it, with its libraries."""
NAMED = shutil.which("named") or shutil.which("named", path=f"/usr/sbin:{LOADED}/usr/sbin")
CONFIG = """
options {{
    directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file "named.pid";
    session-keyfile "session.key";
    recursion no;
    dnssec-validation no;
}};
controls {{ }};
key "{key}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{zone}" {{ type primary; file "zone"; allow-update {{ key "{key}"; }}; }};
"""
ZONE = """$TTL 60
@ SOA ns1 root 1 60 60 60 60
@ NS ns1
ns1 A 127.0.0.1
"""


@contextmanager
def running(folder: Path, zone: str) -> Iterator[int]:
    """Yields its port."""
    port = free_port()
    folder.mkdir()
    (folder / "zone").write_text(ZONE)
    settings = {"folder": folder, "port": port, "zone": zone, "key": KEY_NAME, "secret": SECRET}
    (folder / "named.conf").write_text(CONFIG.format(**settings))
    with (folder / "log").open("wb") as log:
        named = subprocess.Popen(
            [NAMED, "-g", "-n", "1", "-c", folder / "named.conf"],
            env=os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, LOADED.glob("usr/lib/*")))},
            stdout=log,
            stderr=log,
        )
    try:
        _wait(port, zone, named, folder / "log")
        yield port
    finally:
        named.kill()
        named.wait()


def txt(port: int, name: str) -> set[str]:
    from dns.query import udp  # noqa: PLC0415 - all processes that run tests import this module

    answer = udp(dns.message.make_query(name, "TXT"), "127.0.0.1", 5, port)
    return {data.to_text().strip('"') for rrset in answer.answer for data in rrset}


def _wait(port: int, zone: str, named: subprocess.Popen[bytes], log: Path) -> None:
    from dns.query import udp  # noqa: PLC0415 - as above

    deadline = time.monotonic() + 60
    query = dns.message.make_query(zone, "SOA")
    while True:
        assert named.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if udp(query, "127.0.0.1", 0.5, port).answer:
                return
        except (OSError, dns.exception.Timeout):
            time.sleep(0.02)
