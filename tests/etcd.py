"""etcd of Debian: members on free loopback ports, their data below a folder of the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portico.core.render.etcd_member import ENVIRONMENT, ETCD_FOLDER
from tests.stack import eventually, free_port

MISSING = [name for name in ("etcd", "etcdctl") if not shutil.which(name)]
WHY_SKIPPED = "needs Debian's etcd: apt install etcd-server etcd-client"
ENVIRON = {"ETCDCTL_API": "3", "PATH": os.environ["PATH"], "GODEBUG": "x509sha1=0"}


@dataclass(frozen=True)
class Place:
    """A network for a member, and its addresses there, for clients and for other members."""

    words: tuple[str, ...]
    address: str
    peer: str


class Member:
    def __init__(
        self, name: str, folder: Path, tls: Sequence[str] = (), place: Place | None = None
    ) -> None:
        self.name, self.folder, self._tls = name, folder, tls
        self.words = place.words if place else ()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{place.address if place else '127.0.0.1'}:{free_port()}"
        self.peer = f"http://{place.peer if place else '127.0.0.1'}:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

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

    def is_healthy(self, member: Member) -> bool:
        """Whether it answers what most of the members agree on."""
        return self._run(member, "get", "x", check=False).returncode == 0

    def ctl(self, *command: str, member: int = 0) -> str:
        return self._run(self.members[member], *command).stdout

    def leader(self) -> Member:
        for each in self.members:
            fields = self._run(each, "endpoint", "status", "-w", "fields").stdout
            about = dict(line.split(" : ") for line in fields.splitlines() if " : " in line)
            if about['"MemberID"'] == about['"Leader"']:
                return each
        raise AssertionError("no member leads")

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
    text = (folder / ENVIRONMENT).read_text().replace(ETCD_FOLDER, str(folder))
    lines = (line.split("=", 1) for line in text.splitlines() if line.startswith("ETCD_"))
    quick = {"ETCD_UNSAFE_NO_FSYNC": "true", "ETCD_BCRYPT_COST": "4"}
    settings = {**dict(lines), "ETCD_DATA_DIR": str(data), **quick}
    with data.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [*words, "etcd"], env={**ENVIRON, **settings, **more}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
