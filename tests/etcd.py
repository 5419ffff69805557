"""etcd of Debian: members on free loopback ports, their data below a folder of the test.

Keys are read and written over HTTP: etcdctl is a program to start, and a test that waits for a
value asks many times.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from portico.core.render.etcd_member import ENVIRONMENT, ETCD_FOLDER
from tests.addresses import free_port
from tests.network import Network
from tests.waiting import eventually

MISSING = [name for name in ("etcd", "etcdctl") if not shutil.which(name)]
WHY_SKIPPED = "needs Debian's etcd: apt install etcd-server etcd-client"
ENVIRON = {"ETCDCTL_API": "3", "PATH": os.environ["PATH"], "GODEBUG": "x509sha1=0"}
LOG_SHOWN = 8000
"""Characters of a log, where a test failed."""
ANSWER_TIMEOUT = 30.0
"""Seconds, on a busy machine."""
HEALTH_TIMEOUT = 5.0


@dataclass(frozen=True)
class Place:
    """A network for a member, and its addresses there, for clients and for other members."""

    network: Network
    address: str
    peer: str


class Member:
    def __init__(
        self, name: str, folder: Path, tls: Sequence[str] = (), place: Place | None = None
    ) -> None:
        self.name, self.folder, self._tls, self.place = name, folder, tls, place
        self._network = place.network if place else None
        self.words = place.network.words if place else ()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{place.address if place else '127.0.0.1'}:{free_port()}"
        self.peer = f"http://{place.peer if place else '127.0.0.1'}:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: str, body: object, timeout: float = ANSWER_TIMEOUT) -> Any:
        """What its JSON gateway answers. OSError where it gives no answer, or refuses."""
        with closing(self.connection(timeout)) as connection:
            with self._network.entered() if self._network else nullcontext():
                connection.connect()
            connection.request("POST", f"/v3/{path}", json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != http.client.OK:
            raise OSError(f"{self.url} answered {answer.status}: {text.decode(errors='replace')}")
        return json.loads(text)

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout)

    def start(self, cluster: str, *options: str) -> None:
        with (self.folder.parent / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.words,
                    *("etcd", "--name", self.name, "--data-dir", self.folder),
                    *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                    *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
                    *("--initial-cluster", cluster, "--unsafe-no-fsync", "--pre-vote"),
                    *("--logger", "zap", *self._tls, *options),
                ],
                stdout=log,
                stderr=log,
                env=ENVIRON,
            )

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Where it runs in a network of its own too: nsenter(1) becomes it."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def has_exited(self) -> bool:
        """By itself."""
        return self._process.poll() is not None

    @contextmanager
    def on_small_disk(self, size: str) -> Iterator[None]:
        """While it does not run, its data moves to a disk of its own, and back at the end."""
        aside = self.folder.with_name(f"{self.name}-aside")
        self.folder.rename(aside)
        self.folder.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "portico-test"]
        subprocess.run([*mount, str(self.folder)], check=True)
        _copy(aside, self.folder)
        shutil.rmtree(aside)
        try:
            yield
        finally:
            if self.runs:
                self.kill()
            aside.mkdir(mode=0o700)
            _copy(self.folder, aside)
            subprocess.run(["umount", str(self.folder)], check=True)
            self.folder.rmdir()
            aside.rename(self.folder)


class Etcd:
    def __init__(
        self,
        folder: Path,
        members: int,
        *,
        tls: Sequence[str] = (),
        client: Sequence[str] = (),
        places: Sequence[Place] = (),
    ) -> None:
        """`tls` are options of each member, `client` those of etcdctl."""
        self._client, self._options = client, tuple[str, ...]()
        self.members = [
            Member(f"e{n}", folder / f"e{n}", tls, places[n] if places else None)
            for n in range(members)
        ]

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.members]

    @property
    def _cluster(self) -> str:
        return ",".join(f"{each.name}={each.peer}" for each in self.members)

    def start(self, *options: str) -> None:
        """Those that do not run, as at the first start, and wait until most agree."""
        self._options = self._options or options
        for each in self.members:
            if not each.runs:
                each.start(self._cluster, *self._options)
        self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        for each in self.members:
            eventually(lambda each=each: self.is_healthy(each))

    def wait_for_leader(self) -> None:
        """Until those that run agree on one."""
        eventually(lambda: self.is_healthy(self._first_running))

    def is_healthy(self, member: Member) -> bool:
        """Whether it answers what most of the members agree on."""
        if self._client:
            return self._run(member, "get", "x", check=False).returncode == 0
        with suppress(OSError, http.client.HTTPException):
            return bool(member.ask("kv/range", _key("x"), HEALTH_TIMEOUT))
        return False

    def ask(self, path: str, body: object, member: int | None = None) -> Any:
        """By default of the first one that runs."""
        asked = self._first_running if member is None else self.members[member]
        return asked.ask(path, body)

    @property
    def _first_running(self) -> Member:
        running = (each for each in self.members if each.runs and not each.has_exited)
        return next(running, self.members[0])

    def put(self, key: str, value: str, member: int | None = None) -> None:
        self.ask("kv/put", _key(key) | {"value": _encoded(value)}, member)

    def get(self, key: str, revision: int = 0) -> bytes:
        """Its value, now or at a revision; empty where there is none."""
        return base64.b64decode(self._range(key, revision).get("value", ""))

    def values(self) -> dict[str, bytes]:
        """All that it has, by key."""
        everything = {"key": _encoded("\0"), "range_end": _encoded("\0")}
        pairs = self.ask("kv/range", everything)["kvs"]
        return {
            base64.b64decode(each["key"]).decode(): base64.b64decode(each.get("value", ""))
            for each in pairs
        }

    def version(self, key: str) -> int:
        """How often it was written since it came to exist; 0 if it does not."""
        return int(self._range(key).get("version", 0))

    def revision(self) -> int:
        return int(self.ask("kv/range", _key("x"))["header"]["revision"])

    def end_session(self, key: str) -> None:
        """Of the machine that wrote the key: as if its time were up."""
        self.ask("lease/revoke", {"ID": self._range(key)["lease"]})

    def _range(self, key: str, revision: int = 0) -> dict:
        body = _key(key) | {"revision": revision}
        return self.ask("kv/range", body).get("kvs", [{}])[0]

    def ctl(self, *command: str, member: int | None = None) -> str:
        asked = self._first_running if member is None else self.members[member]
        return self._run(asked, *command).stdout

    def leader(self) -> Member:
        return eventually(lambda: next(filter(self._leads, self.members), None))

    def lead(self, member: Member) -> None:
        """Make it the leader."""
        leader = self.leader()
        if leader is not member:
            number = _status(member)["header"]["member_id"]
            leader.ask("maintenance/transfer-leadership", {"targetID": number})
            eventually(lambda: self._leads(member))

    def _leads(self, member: Member) -> bool:
        if not member.runs:
            return False
        about = _status(member)
        return about["header"]["member_id"] == about.get("leader")

    def save(self, file: Path) -> None:
        self.ctl("snapshot", "save", str(file))

    def restore(self, file: Path) -> None:
        """Members that were killed begin with that copy."""
        for each in self.members:
            shutil.rmtree(each.folder)
            self._run(
                *(each, "snapshot", "restore", str(file), "--name", each.name),
                *("--data-dir", str(each.folder), "--initial-cluster", self._cluster),
                *("--initial-advertise-peer-urls", each.peer),
            )
        self.start()

    def wipe(self) -> None:
        """Members that were killed begin with nothing."""
        for each in self.members:
            shutil.rmtree(each.folder)
        self.start()

    def kill(self) -> None:
        for each in self.members:
            if each.runs:
                each.kill()

    def _run(
        self, member: Member, *command: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *member.words,
                *("etcdctl", "--endpoints", member.url),
                *("--command-timeout", "30s" if check else "5s"),  # on a busy machine
                *(*self._client, *command),
            ],
            env=ENVIRON,
            check=check,
            capture_output=True,
            text=True,
            timeout=60,
        )


def _status(member: Member) -> Any:
    return member.ask("maintenance/status", {})


def _copy(folder: Path, to: Path) -> None:
    """With holes for the zeros of logs, of which etcd allocates 64 MB in advance."""
    subprocess.run(["cp", "-a", "--sparse=always", f"{folder}/.", str(to)], check=True)


def _key(key: str) -> dict[str, str]:
    return {"key": _encoded(key)}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextmanager
def etcd(
    folder: Path,
    members: int = 1,
    *options: str,
    tls: Sequence[str] = (),
    client: Sequence[str] = (),
    places: Sequence[Place] = (),
) -> Iterator[Etcd]:
    folder.mkdir(exist_ok=True)
    cluster = Etcd(folder, members, tls=tls, client=client, places=places)
    try:
        cluster.start(*options)
        yield cluster
    finally:
        cluster.kill()


@contextmanager
def configured_member(
    folder: Path, data: Path, words: Sequence[str] = (), **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The member of a folder that `portico cluster etcd` wrote, as Debian's unit starts it, with
    `words` before the command and `more` settings. It answers when most of the members do.
    """
    process = start_configured(folder, data, words, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log = data.with_suffix(".log").read_text()
        print(f"--- {data.name}.log\n{log[-LOG_SHOWN:]}")


def start_configured(
    folder: Path, data: Path, words: Sequence[str] = (), **more: str
) -> subprocess.Popen[bytes]:
    """The process of it alone."""
    text = (folder / ENVIRONMENT).read_text().replace(ETCD_FOLDER, str(folder))
    lines = (line.split("=", 1) for line in text.splitlines() if line.startswith("ETCD_"))
    quick = {"ETCD_UNSAFE_NO_FSYNC": "true", "ETCD_BCRYPT_COST": "4"}
    settings = {**dict(lines), "ETCD_DATA_DIR": str(data), **quick}
    with data.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [*words, "etcd"], env={**ENVIRON, **settings, **more}, stdout=log, stderr=log
        )
