"""A whole Portico of a test's own: the real command, daemon, nginx and programs.

Its home and its project lie in one fresh folder of /tmp, because the path of a unix socket is
short and because nginx's workers, another user, must be able to reach static files. Ports are
free ones. The end of the `with` ends whatever is left, and fails where `portico down` should have
ended it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from portico.client import connect
from portico.client.wire import is_reachable
from portico.errors import PorticoError, Unreachable
from portico.system.home import Home
from tests.addresses import free_port
from tests.clients import Answer, Client, UnixConnection
from tests.commands import run_here
from tests.daemons import start_daemon
from tests.forked_daemons import forked_daemons
from tests.local_authority import authority_files, certify, site_names
from tests.network import Network
from tests.running_load import RunningLoad, running_load
from tests.waiting import eventually, is_gone, kill

BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"
CHECKOUT = Path(__file__).parent.parent

BEGINNINGS = {"run"}
"""Commands that become a daemon."""
BEGUN_FOR = {"up", "status", "down", "scale", "start", "restart", "certs", "switch"}
"""Commands that find a daemon begun for them: by themselves they would begin a dearer one."""
WITHOUT_DAEMON = {"cluster", "upgrade"}
"""Commands that may run here where no daemon answers: they begin a forked one, or need none."""

CLOCK_ERROR = 10.0
"""Seconds: psutil reckons when a process was created from when the machine was started."""


class Stack:
    def __init__(self) -> None:
        self._begun = time.time() - CLOCK_ERROR
        self.root = Path(tempfile.mkdtemp(prefix="portico-", dir="/tmp"))
        self.root.chmod(0o755)
        self.home, self.folder = self.root / "home", self.root / "project"
        self.folder.mkdir()
        self.http, self.https = free_port(), free_port()
        kept = {k: v for k, v in os.environ.items() if k not in {"PORT", "NODE_APP_INSTANCE"}}
        self.environ = kept | {
            "PORTICO_HOME": str(self.home),
            "HOME": str(self.root),
            "NO_COLOR": "1",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        self._plain = dict(self.environ)
        """Where a test has changed it, the command may be another Portico."""
        self._as: tuple[str, ...] = ()
        """Words before each command."""
        self.network: Network | None = None
        """Where its daemon is; None: in that of the tests."""
        self.program = connect.DAEMON[-1]
        """The module that `tests.daemons` runs for it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        left = self.close()
        assert left == [], left

    def belong_to(self, uid: int, gid: int) -> None:
        """From now on commands are another user's, with no rights of root but to read all files:
        the Python of the tests may lie where he may not.
        """
        for path in (self.root, self.folder):
            os.chown(path, uid, gid)
        who = (f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
        reads = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        self._as = ("setpriv", *who, *reads)

    def give(self, **variables: str) -> None:
        """From now on they are in the environment of commands and of the daemon they begin."""
        self.environ |= variables
        self._plain |= variables

    # commands

    def write(self, text: str, **edge: object) -> Path:
        """Write portico.toml: the text, and an [edge] on this stack's ports."""
        edge = {"http": self.http, "https": self.https} | edge
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in edge.items())
        file = self.folder / "portico.toml"
        file.write_text(f"[edge]\n{lines}\n{text}")
        return file

    def up(self, text: str | None = None, **edge: object) -> subprocess.CompletedProcess[str]:
        """Write the file, if its text is given, and bring it up; fails the test if that fails."""
        if text is not None:
            self.write(text, **edge)
        if not self._as:
            self._certify()
        return self.done("up", str(self.folder / "portico.toml"))

    def _certify(self) -> None:
        """What an earlier `up` would have left; the child that the daemon starts for it takes half
        a second of the processor.
        """
        folder = self.home / "certificates/local"
        if not self.home.exists():
            self._make_authority()
        certify(folder, site_names((self.folder / "portico.toml").read_text()))

    def _make_authority(self) -> None:
        Home(self.home).make()
        for name, content in authority_files().items():
            file = self.home / "certificates" / name
            for folder in reversed(file.relative_to(self.home).parents[:-2]):
                (self.home / folder).mkdir(mode=0o700, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o600)

    def portico(self, *args: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """In this process, unless the command is to be another's or begins a daemon."""
        self._begin_for(args[0])
        here = self._is_plain and (args[0] in WITHOUT_DAEMON or self._answers())
        if here and args[0] not in BEGINNINGS:
            with forked_daemons():
                return run_here(args, self.environ, self.folder, seconds)
        return subprocess.run(
            [*(self.network.words if self.network else ()), *self._as, BIN / "portico", *args],
            check=False,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    @property
    def _is_plain(self) -> bool:
        """Whether commands are those of the tests' own Portico, in the thread of the tests."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        return in_main_thread and not self._as and self.environ == self._plain

    def _answers(self) -> bool:
        return is_reachable(self.home / "api.sock")

    def _begin_for(self, command: str) -> None:
        """Where it does not come up, the command begins its own, and says why that one fails."""
        if command not in BEGUN_FOR or not self._is_plain or self._answers():
            return
        home = Home(self.home)
        if command in {"certs", "down"} and not home.database.exists():
            return  # it says that no daemon runs, or begins the first one
        with suppress(OSError, PorticoError):
            home.make()
            network = self.network.path if self.network else ""
            log = home.daemon_log
            pid = start_daemon(self.environ, self.folder, log, network, self.program)
            eventually(lambda: self._answers() or is_gone(pid))

    def done(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        result = self.portico(*args)
        assert result.returncode == 0, f"portico {' '.join(args)}:\n{result.stdout}{result.stderr}"
        return result

    @contextmanager
    def running(self, *args: str, under: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on, as `portico run`; killed if it has not ended by itself."""
        self._begin_for(args[0])
        process = subprocess.Popen(
            [*under, BIN / "portico", *args],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.terminate()
                process.wait(60)
            process.kill()
            assert process.stdout
            print(f"portico {' '.join(args)}:\n{process.stdout.read()}")
            process.wait(60)
            process.stdout.close()

    def status(self) -> dict:
        """What `portico status --json` shows, which takes five times as long to ask. The command
        is asked where no daemon answers: it starts one.
        """
        with suppress(OSError, http.client.HTTPException):
            return self.api("/v1/status")
        return json.loads(self.done("status", "--json").stdout)

    def api(self, path: str) -> Any:
        """What the daemon answers to a GET, and not one that is exiting. OSError where there is
        none.
        """
        (found,) = eventually(lambda: self._answer_of_daemon(path))
        return found

    def _answer_of_daemon(self, path: str) -> tuple[Any] | None:
        with closing(UnixConnection(self.home / "api.sock")) as api:
            api.request("GET", path)
            answer = api.getresponse()
            found = json.load(answer)
            return None if answer.status == Unreachable.http_status else (found,)

    def is_settled(self) -> bool:
        """Whether no change is under way."""
        return all(change["state"] != "doing" for change in self.api("/v1/changes"))

    def instances(self, app: str) -> list[dict]:
        """The instances of an app that are not leaving, as `portico status --json` shows them."""
        found = [i for a in self.status()["apps"] if a["name"] == app for i in a["instances"]]
        staying = [i for i in found if i["state"] not in {"draining", "stopping", "gone"}]
        return sorted(staying, key=lambda instance: instance["slot"])

    # requests

    def url(self, site: str, path: str = "/") -> str:
        return f"https://{site}:{self.https}{path}"

    def get(self, site: str, path: str = "/", **headers: str) -> Answer:
        with self.client(site) as client:
            return client.ask("GET", path, **headers)

    def answers(self, site: str) -> bool:
        """Whether the site answers with 200; False also while nobody, or no longer anybody, takes
        the connection, as for a moment when nginx starts.
        """
        with suppress(OSError, http.client.HTTPException):
            return self.get(site).status == 200
        return False

    def answering_pid(self, site: str, path: str = "/") -> int:
        """Of the instance that answers; 0 where none does, as on a machine that has not yet heard
        of instances of another one, for a second or two after the `up` of that one.
        """
        answer = self.get(site, path)
        return answer.json["pid"] if answer.status == http.client.OK else 0

    def first_status(self, site: str, path: str = "/") -> int:
        """Of the first answer that it gives, as soon as anybody takes the connection."""

        def found() -> int:
            with suppress(OSError, http.client.HTTPException):
                return self.get(site, path).status
            return 0

        return eventually(found, every=0.02)

    @contextmanager
    def client(self, site: str, *, tls: bool = True) -> Iterator[Client]:
        """A keep-alive connection to a site; it verifies the certificate."""
        port = self.https if tls else self.http
        client = Client(site, port, self.tls() if tls else None, self.network)
        try:
            yield client
        finally:
            client.close()

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    @property
    def authority(self) -> Path:
        """The local authority's root certificate."""
        return self.home / "certificates/local/authority/root.pem"

    @contextmanager
    def load(self, site: str, path: str = "/", **work: object) -> Iterator[RunningLoad]:
        """Load in a process of its own, so that the test and it do not hold each other up."""
        with running_load(self.url(site, path), {"ca": str(self.authority)} | work) as running:
            yield running

    # violence

    def kill_daemon(self) -> int:
        """SIGKILL porticod; returns the pid it had."""
        return kill(self.status()["daemon"]["pid"])

    def kill_nginx(self) -> int:
        """SIGKILL nginx's master; returns the pid it had."""
        return kill(self.status()["nginx"]["pid"])

    # the end

    def close(self) -> list[str]:
        """Take everything down; what `portico down` left running is killed and returned."""
        if self.processes():
            with suppress(subprocess.TimeoutExpired):
                result = self.portico("down", "--all", "--now", seconds=120)
                print(f"portico down: {result.returncode} {result.stdout}{result.stderr}")
        self.end_daemon()
        left = self._still_there()
        told = [_describe(process) for process in left]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(60)
        self._show_logs()
        shutil.rmtree(self.root, ignore_errors=True)
        return told

    def _still_there(self) -> list[psutil.Process]:
        """What is just ending is not."""
        with suppress(AssertionError):
            eventually(lambda: not self.processes(), within=60)
            return []
        return self.processes()

    def end_daemon(self) -> None:
        """It would leave by itself, but only after a while without anything to look after."""
        for process in self.processes():
            with suppress(psutil.Error):
                if "portico.daemon.main" in process.cmdline():
                    process.terminate()
                    process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in, or holds a file of, this stack's folder."""
        mine = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
        return [
            process
            for process in psutil.process_iter()
            if process.pid not in mine and self._belongs(process)
        ]

    def _belongs(self, process: psutil.Process) -> bool:
        """By strings, not Paths: each test asks this of all processes several times."""
        with suppress(psutil.NoSuchProcess):
            if process.create_time() < self._begun:
                return False
        root, proc = str(self.root), f"/proc/{process.pid}"
        for name in ("cmdline", "environ"):
            with suppress(OSError), open(f"{proc}/{name}", "rb") as file:  # noqa: PTH123
                if root.encode() in file.read():
                    return True
        with suppress(OSError):
            links = (f"{proc}/cwd", *(f"{proc}/fd/{name}" for name in os.listdir(f"{proc}/fd")))  # noqa: PTH208
            return any(root in os.readlink(link) for link in links)  # noqa: PTH115
        return False

    def _show_logs(self) -> None:
        """Printed always; pytest shows it where a test failed."""
        for file in sorted((self.home / "logs").rglob("*.log")):
            text = file.read_text(errors="replace")
            if text and not file.name.endswith("access.log"):
                print(f"--- {file.relative_to(self.home)}\n{text[-4000:]}")


def _describe(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"pid {process.pid}: {' '.join(process.cmdline())}"
    return f"pid {process.pid}"
