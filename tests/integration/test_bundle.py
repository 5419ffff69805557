"""The archive of `scripts/bundle` installs Portico where there is no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.addresses import free_port

ROOT = Path(__file__).parents[2]
APP = """
[apps.web]
command = "{python} -m http.server $PORT --bind $HOST"
instances = 2

[sites."app.localhost"]
app = "web"

[edge]
http = {http}
https = {https}
"""
OFFLINE = """
set -e
ip link set lo up
if ip route get 192.0.2.1; then echo "a network" && exit 9; fi
tar -xzf "$1"
./portico-*/install "$HOME/installed"
portico up project
portico down
"""


@pytest.fixture
def empty() -> Iterator[Path]:
    """A folder whose path is short enough for a home, and that nginx's workers can reach."""
    place = Path(tempfile.mkdtemp(prefix="portico-bundle-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_a_bundle_is_installed_and_serves_where_only_loopback_and_python_are(empty):
    made = subprocess.run(
        [ROOT / "scripts/bundle", "--output", empty / "dist"],
        check=True,
        env={**os.environ, "PIP_NO_BUILD_ISOLATION": "0"},  # means: without isolation
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    archive = Path(made.stdout.strip())
    python = subprocess.check_output(
        [ROOT / ".venv/bin/python", "-c", "import sys; print(sys._base_executable)"], text=True
    ).strip()
    (empty / "project").mkdir()
    file = APP.format(python=python, http=free_port(), https=free_port())
    (empty / "project/portico.toml").write_text(file)
    (empty / "bin").mkdir()
    (empty / "bin/python3").symlink_to(python)
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", OFFLINE, "offline", archive],
        check=False,
        cwd=empty,
        env={
            "HOME": str(empty),
            "PORTICO_HOME": str(empty / "home"),
            "PORTICO_BIN": str(empty / "bin"),
            "PATH": f"{empty}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PIP_NO_COMPILE": "0",  # means: without. What is imported is compiled then
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "web: ready, 2 of 2 answer" in done.stdout
    assert str(empty / "installed") in (empty / "bin/portico").resolve().as_posix()
