"""The README's first command on a machine that has nothing but Debian and git."""

from __future__ import annotations

import shutil
import ssl

import pytest

from tests.addresses import free_port
from tests.bare_debian import bare_debian
from tests.clients import Client
from tests.stack import CHECKOUT

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_command_installs_what_it_lacks_and_ends_with_a_page():
    http, https = free_port(), free_port()
    with bare_debian() as debian:
        clone = debian.root / "root/portico"
        shutil.copytree(CHECKOUT, clone, symlinks=True, ignore=LEFT_OUT)
        with (clone / "examples/hello/portico.toml").open("a") as file:
            file.write(f"\n[edge]\nhttp = {http}\nhttps = {https}\n")
        with debian.running("cd /root/portico && ./portico up examples/hello", 400) as printed:
            assert "ended with 0" in printed
            assert "Python 3.11 or later; installing python3 python3-venv" in printed
            assert f"https://app.localhost:{https}/" in printed
            authority = debian.root / "var/lib/portico/certificates/local/authority/root.pem"
            context = ssl.create_default_context(cafile=str(authority))
            client = Client("app.localhost", https, context)
            page = client.ask("GET")
            client.close()
    assert page.status == 200
    assert b"Hello from instance" in page.body
