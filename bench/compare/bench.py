"""What a run has in its hands: the programs, a folder, the peers that run, and how much to do."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.compare.certificates import Certificates
from bench.compare.installed import Programs
from bench.compare.peers.all import peers_of
from bench.compare.peers.nginx import Constant
from bench.compare.peers.peer import INSTANCES, Backends, Peer, Place, answers
from tests.addresses import free_port
from tests.waiting import eventually


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often."""

    rounds: int = 9
    """Of the most important measurements; the others have two at most."""
    seconds: float = 2.0
    """Of load for each of these; the others have half."""
    crowd: int = 1000
    """Connections of the case with many."""
    websockets: int = 1000
    instances: tuple[int, ...] = (4, 20, 100)
    """How many each supervisor runs."""
    many: int = 1000
    """How many Portico runs alone."""
    restarts: int = 400
    rollouts: int = 10
    minutes: float = 60.0
    """No row is begun later than this."""
    sites: tuple[int, ...] = (10, 100, 300, 1000, 5000, 10_000)
    sites_served: int = 1000
    """Up to this many are also brought up."""

    @property
    def others(self) -> int:
        return min(2, self.rounds)

    @property
    def moment(self) -> float:
        return max(1.0, self.seconds / 2)


SHORT = Effort(
    rounds=2,
    seconds=1.0,
    crowd=100,
    websockets=100,
    instances=(4, 10),
    many=20,
    restarts=40,
    rollouts=3,
    sites=(10, 100, 300),
    sites_served=100,
)


@dataclass
class Bench:
    programs: Programs
    effort: Effort
    only: frozenset[str]
    """Names of peers; empty for all."""
    folder: Path
    problems: list[str] = field(default_factory=list)
    """What could not be measured, and why."""

    @property
    def kinds(self) -> list[type[Peer]]:
        kinds = peers_of(self.programs)
        return [kind for kind in kinds if not self.only or kind.name in self.only]

    @contextmanager
    def place(self, **environ: str) -> Iterator[Place]:
        """New backends, with these variables, for the time of the block."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        files = folder / "files"
        files.mkdir()
        (files / "16k.bin").write_bytes(b"x" * (16 << 10))
        ports = [free_port() for _ in range(INSTANCES)]
        constant = Constant(folder, self.programs.debian_nginx, ports, self.programs.environ)
        backends = Backends(self.programs, folder, **environ)
        try:
            eventually(lambda: all(answers(port, tls=False) for port in ports))
            certificates = Certificates(folder / "certificates")
            yield Place(self.programs, folder, certificates, backends, ports, files)
        finally:
            backends.stop()
            constant.stop()

    @contextmanager
    def running(
        self, place: Place, kinds: list[type[Peer]], *, own_programs: bool = False
    ) -> Iterator[list[Peer]]:
        """All of them at once; one that does not start is a problem of the page."""
        peers: list[Peer] = []
        backends: list[Backends] = []
        try:
            for kind in kinds:
                if own_programs and not kind.supervises:
                    backends.append(Backends(self.programs, place.folder))
                    place = replace(place, backends=backends[-1])
                peer = kind(place)
                peers.append(peer)
                try:
                    peer.start()
                except Exception as error:  # noqa: BLE001 - the other peers are still measured
                    self.problem(f"{kind.title} did not start: {error}")
                    peers.remove(peer)
                    peer.stop()
            yield peers
        finally:
            for peer in peers:
                try:
                    peer.stop()
                except Exception as error:  # noqa: BLE001 - the other peers are still ended
                    self.problem(f"{peer.title} did not end: {error}")
            for each in backends:
                each.stop()

    def problem(self, text: str) -> None:
        """Its first line, without paths of this machine."""
        line = re.sub(r"(/[\w.+-]+)+/", "", text.splitlines()[0])[:300]
        print(f"bench: {line}", file=sys.stderr, flush=True)
        self.problems.append(line)


@contextmanager
def bench(programs: Programs, effort: Effort, only: frozenset[str]) -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="portico-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield Bench(programs, effort, only, folder)
    finally:
        if "BENCH_KEEP" not in os.environ:
            shutil.rmtree(folder, ignore_errors=True)
