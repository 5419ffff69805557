"""Caddy 2 on loopback ports, with a pair of certificate and key that is given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.addresses import free_port
from tests.waiting import eventually, is_listening

CADDY = Path(sys.prefix) / "caddy/bin/caddy"
"""Where scripts/setup installs it."""
GLOBAL = """
{{
    admin off
    persist_config off
    skip_install_trust
    http_port {http}
    https_port {https}
    servers {{
        protocols h1 h2
    }}
}}
"""


@contextmanager
def running(folder: Path, caddyfile: str) -> Iterator[tuple[int, int]]:
    """Yields its ports, of http and https."""
    http, https = free_port(), free_port()
    file = folder / "Caddyfile"
    file.write_text(GLOBAL.format(http=http, https=https) + caddyfile)
    with (folder / "log").open("wb") as log:
        caddy = subprocess.Popen(
            [CADDY, "run", "--adapter", "caddyfile", "--config", file],
            env={"HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: is_listening(https) and is_listening(http))
        yield http, https
    finally:
        caddy.terminate()
        caddy.wait(60)
        print((folder / "log").read_text())
