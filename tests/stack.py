"""A whole Portico of a test's own: the real command, daemon, nginx and programs.

Its home and its project lie in one fresh folder of /tmp, because the path of a unix socket is
short and because nginx's workers, another user, must be able to reach static files. Ports are
free ones. The end of the `with` ends whatever is left, and fails where `portico down` should have
ended it.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest.mock import patch

import psutil

from portico.adapters.certificates.child import answer
from portico.client import connect, upgrading
from portico.client.client import Client as PorticoClient
from portico.client.wire import is_reachable
from portico.errors import PorticoError, Unreachable
from portico.system.home import Home
from tests.commands import run_here
from tests.daemons import FORK_TIMEOUT, check_daemon, start_daemon
from tests.load import LONGEST_RUN, Report, run_forked
from tests.network import Network

BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"
CHECKOUT = Path(__file__).parent.parent
FORKED = multiprocessing.get_context("forkserver")
"""Loads begin as forks of a Python that has imported all of them."""
FORKED.set_forkserver_preload(["tests.load"])

BEGINNINGS = {"run"}
"""Commands that become a daemon."""
BEGUN_FOR = {"up", "status", "down", "scale", "start", "restart", "certs", "switch"}
"""Commands that find a daemon begun for them: by themselves they would begin a dearer one."""
WITHOUT_DAEMON = {"cluster", "upgrade"}
"""Commands that may run here where no daemon answers: they begin a forked one, or need none."""

T = TypeVar("T")

CLOCK_ERROR = 10.0
"""Seconds: psutil reckons when a process was created from when the machine was started."""
MIN_PAUSE, MAX_PAUSE = 0.05, 0.2
"""Seconds between two questions of `eventually`."""
MARKS_KEPT = 200
"""Ports that `free_port` keeps from other runs; no test needs as many."""
_marks: deque[socket.socket] = deque()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


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
        _certify(folder, _site_names((self.folder / "portico.toml").read_text()))

    def _make_authority(self) -> None:
        Home(self.home).make()
        for name, content in _authority().items():
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
            with _cheap_daemons():
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


class Client:
    """One keep-alive connection to a site, whatever its name resolves to."""

    def __init__(
        self, site: str, port: int, tls: ssl.SSLContext | None, network: Network | None = None
    ) -> None:
        self._connection: _Loopback
        if tls:
            self._connection = _LoopbackTls(site, port, timeout=120, context=tls)
        else:
            self._connection = _Loopback(site, port, timeout=120)
        self._connection.network = network

    def ask(
        self, method: str, path: str = "/", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Header names are written with _ for -: `X_Forwarded_For`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, names)
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def close(self) -> None:
        self._connection.close()


class _Loopback(http.client.HTTPConnection):
    network: Network | None = None

    def connect(self) -> None:
        with self.network.entered() if self.network else nullcontext():
            self.sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("portico", timeout=60)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _LoopbackTls(_Loopback):
    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


@contextmanager
def running_load(url: str, work: Mapping[str, object], network: str = "") -> Iterator[RunningLoad]:
    """Work is what `tests.load` takes. In the network of that path, else in this thread's."""
    if not network and os.geteuid() == 0:
        network = _own_network()
    ours, its = FORKED.Pipe()
    given = {"url": url, "seconds": 120} | dict(work)
    process = FORKED.Process(target=run_forked, args=(its, network, given), daemon=True)
    process.start()
    its.close()
    running = RunningLoad(process, ours)
    try:
        yield running
    finally:
        running.stop()


class RunningLoad:
    def __init__(self, process: ForkServerProcess, pipe: Pipe) -> None:
        self._process, self._pipe = process, pipe
        self._report: Report | None = None
        assert self._received(FORK_TIMEOUT) is None

    def stop(self) -> Report:
        """End the load and return what it saw."""
        if self._report is None:
            self._process.terminate()
        return self.report()

    def report(self) -> Report:
        """Wait until the load has ended by itself and return what it saw."""
        if self._report is None:
            self._report = self._received(LONGEST_RUN)
            assert self._report
            self._process.join()
            self._pipe.close()
            print(f"load: {json.dumps(vars(self._report))}")
        return self._report

    def _received(self, within: float) -> Report | None:
        assert self._pipe.poll(within), f"the load did not say anything within {within} s"
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            raise AssertionError(f"the load ended with {self._process.exitcode}") from None


def _own_network() -> str:
    """That of this thread."""
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


@contextmanager
def _cheap_daemons() -> Iterator[None]:
    """What a command in this process begins anew, as to join a cluster, is forked, and so is what
    it asks first, whether that can run in the home.
    """
    begin, run_tool = connect._start, upgrading.run_tool  # noqa: SLF001

    def fork_or_begin(
        home: Home, environ: Mapping[str, str], program: Sequence[str], client: PorticoClient
    ) -> None:
        """Where the fork does not come up, the command's own says why."""
        if program == connect.DAEMON and os.geteuid() == 0:
            given = dict(environ) | {"PORTICO_HOME": str(home.path)}
            pid = start_daemon(given, Path.cwd(), home.daemon_log, _own_network())
            eventually(lambda: client.answers() or is_gone(pid))
        if not client.answers():
            begin(home, environ, program, client)

    def fork_or_run(
        command: Sequence[str], environ: Mapping[str, str], *, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        if tuple(command) == (*connect.DAEMON, "--check"):
            return check_daemon(environ)
        return run_tool(command, environ, seconds=seconds)

    with (
        patch.object(connect, "_start", fork_or_begin),
        patch.object(upgrading, "run_tool", fork_or_run),
    ):
        yield


@cache
def _authority() -> dict[Path, bytes]:
    """The files of a local authority, the same for all homes of this process."""
    with tempfile.TemporaryDirectory() as name:
        _certify(Path(name) / "local", {})
        files = [file for file in Path(name).rglob("*") if file.is_file()]
        return {file.relative_to(name): file.read_bytes() for file in files}


def _certify(folder: Path, lineages: dict[str, list[str]]) -> None:
    request = {"act": "local", "now": time.time(), "folder": str(folder), "host": "tests"}
    answer(request | {"lineages": lineages})


def _site_names(text: str) -> dict[str, list[str]]:
    """None where the file cannot be read, which is for the daemon to say."""
    try:
        sites = tomllib.loads(text).get("sites", {})
        return {name: [name, *site.get("aliases", ())] for name, site in sites.items()}
    except (ValueError, AttributeError):
        return {}


def kill(pid: int) -> int:
    """SIGKILL a process and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(pid))
    return pid


def is_gone(pid: int) -> bool:
    """Whether all its threads have ended; its parent may not have looked yet."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def is_listening(port: int) -> bool:
    """Whether a program of this machine accepts TCP connections there, on IPv4."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(check: Callable[[], T], within: float = 60.0, every: float | None = None) -> T:
    """Ask again until the answer is true; fail with the last answer at the deadline. By itself it
    asks less often the longer it lasts, since what is asked has work to do.
    """
    begun = time.monotonic()
    while True:
        answer = check()
        if answer:
            return answer
        waited = time.monotonic() - begun
        assert waited < within, f"not within {within} s; the last answer: {answer!r}"
        time.sleep(every or min(max(MIN_PAUSE, waited / 10), MAX_PAUSE))


def processor_seconds() -> float:
    """Used by this process and by its children that have ended; other work does not count."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def free_port() -> int:
    """A port that nothing listens on, and that no other test of this machine will be given while
    this one lasts. Neither the system gives it to connections nor Portico to instances.
    """
    for port in random.SystemRandom().sample(range(10000, 20000), 50):
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0portico-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
        else:
            _marks.append(mark)
            if len(_marks) > MARKS_KEPT:
                _marks.popleft().close()
            return port
    raise OSError("no free port between 10000 and 20000")


def own_address(number: int = 0) -> str:
    """One of two of 127.0.0.0/8 that no other process of tests has, for ports that are fixed."""
    own = (
        (64 << 16) + 2 * os.getpid() + number
    )  # pid_max is 2^22, so 127.64.0.0 to 127.191.255.255
    return f"127.{own >> 16}.{own >> 8 & 255}.{own & 255}"


def _describe(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"pid {process.pid}: {' '.join(process.cmdline())}"
    return f"pid {process.pid}"
