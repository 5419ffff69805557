"""What another user of the machine tries; each test as a real one."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from portico.adapters.discovery.address import UNASSIGNED_PORTS, reserve
from portico.adapters.nginx.processes import Master
from portico.adapters.state.sqlite import SqliteState
from portico.system.home import Home
from portico.system.names import own_loopbacks, unprivileged_from
from tests import newer
from tests.neighbours import Neighbour, make_neighbour
from tests.network import own_network
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_gone

TWO_ECHOES = (
    f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\ninstances = 2\n"
    "[sites.'app.localhost']\napp = 'web'\n"
)

OUTGOING = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

BINDS = """
import itertools, os, signal, socket, sys, time
host, port, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
counter = os.open(sys.argv[4], os.O_WRONLY) if sys.argv[4:] else None
signal.signal(signal.SIGTERM, lambda *_: globals().update(rounds=0))
SHARED, AGAIN = socket.SO_REUSEPORT, socket.SO_REUSEADDR
ways = list(itertools.product(
    (socket.SOCK_DGRAM, socket.SOCK_STREAM),
    ((), (AGAIN,), (SHARED,), (AGAIN, SHARED)),
    ((socket.AF_INET, host), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")),
))
got, done = [], 0
print("begun", flush=True)
while done < rounds:
    for kind, options, (family, address) in ways:
        with socket.socket(family, kind) as mine:
            for option in options:
                mine.setsockopt(socket.SOL_SOCKET, option, 1)
            if family == socket.AF_INET6:
                mine.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                mine.bind((address, port))
                got.append((kind.name, options, address))
            except OSError:
                pass
    done += 1
    if counter is not None:
        os.pwrite(counter, b"%d" % done, 0)
    time.sleep(0.02)
print(done, "rounds:", got[:3])
"""
"""Binds a port in every way there is, so many times or until SIGTERM; says what that got it. How
many times it has done so is in a file.
"""

ROUNDS = 8

LOCKS = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH | fcntl.LOCK_NB)"

TAKES_ALL = """
import os, resource, socket, sys, time
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
host, kind = sys.argv[1], getattr(socket, sys.argv[2])
ports, mine = list(range(int(sys.argv[3]), int(sys.argv[4]))), []
said, says = os.pipe()
parts = [ports[at : at + most - 20] for at in range(0, len(ports), most - 20)]
for part in parts:
    if os.fork() == 0:
        for port in part:
            one = socket.socket(socket.AF_INET, kind)
            try:
                one.bind((host, port))
                mine.append(one)
            except OSError:
                one.close()
        os.write(says, b"%d " % len(mine))
        time.sleep(600)
counts = b""
while counts.count(b" ") < len(parts):
    counts += os.read(said, 4096)
taken = sum(map(int, counts.split()))
print(taken, flush=True)
time.sleep(600)
"""
"""Takes every port of an address from one to another; says how many it got, and keeps them."""


def resolvers(home: Path) -> set[str]:
    """Where nginx asks."""
    text = "".join(file.read_text() for file in (home / "nginx/current").rglob("*.conf"))
    return set(re.findall(r"resolver (127\.\S+:\d+)", text))


def gets_nothing(neighbour: Neighbour, address: str) -> bool:
    host, _, port = address.rpartition(":")
    said = neighbour.python(BINDS, host, port, "20").stdout
    assert said == "begun\n20 rounds: []\n"
    return True


class Siege:
    """A neighbour who tries to bind an address without end."""

    def __init__(self, neighbour: Neighbour, address: str, counter: Path) -> None:
        host, _, port = address.rpartition(":")
        self._counter = counter
        counter.touch()
        shutil.chown(counter, neighbour.uid)
        self._program = neighbour.start_python(BINDS, host, port, str(1 << 30), str(counter))
        self.goes_on()

    def goes_on(self) -> None:
        """Wait for some more rounds, so that what comes next is in the middle of them."""
        before = self._rounds()
        eventually(lambda: self._rounds() > before + ROUNDS)

    def end(self) -> str:
        """What it got."""
        self._program.send_signal(signal.SIGTERM)
        said, _ = self._program.communicate(timeout=60)
        return said.partition(":")[2].strip()

    def _rounds(self) -> int:
        return int(self._counter.read_text() or 0)


@pytest.fixture(params=["of root", "of a user"])
def owner(request) -> Iterator[Neighbour | None]:
    """Whose installation it is, if not root's."""
    if request.param == "of root":
        yield None
        return
    with closing(make_neighbour()) as owner:
        yield owner


def test_a_neighbour_who_besieges_discovery_never_has_it_and_costs_no_request(
    owner, stack, neighbour
):
    if owner:
        stack.belong_to(owner.uid, owner.gid)
    stack.up(TWO_ECHOES, workers=2, nginx=str(newer.nginx(stack.root / "nginx")))
    (address,) = resolvers(stack.home)
    assert (int(address.rpartition(":")[2]) in UNASSIGNED_PORTS) == (owner is None)
    ours = {str(instance["pid"]) for instance in stack.instances("web")}
    siege = Siege(neighbour, address, stack.root / "rounds")

    with stack.load("app.localhost", rate=40, connections=4) as load:
        stack.kill_daemon()
        siege.goes_on()
        stack.done("upgrade", "--daemon")
        siege.goes_on()
        newer.nginx(stack.root / "nginx", later=True)
        stack.done("upgrade")
        siege.goes_on()
        workers = psutil.Process(stack.status()["nginx"]["pid"]).children()
        killed = stack.kill_nginx()
        siege.goes_on()
        eventually(lambda: stack.status()["nginx"]["pid"] not in {None, killed})
        eventually(lambda: not any(worker.is_running() for worker in workers))
        siege.goes_on()
        report = load.stop()

    assert siege.end() == "[]"
    assert report.failed == {}, report.first_failures
    assert set(report.answers) <= ours
    assert resolvers(stack.home) == {address}


def test_an_nginx_that_does_not_keep_the_port_is_replaced_by_one_that_does(stack, neighbour):
    """That of a Portico which did not note where it asks."""
    address = remember_a_common_port(stack)
    stack.up(TWO_ECHOES, workers=2)
    before = stack.status()["nginx"]["pid"]
    with stack.load("app.localhost", rate=40, connections=4) as load:
        stack.kill_daemon()
        for file in (stack.home / "nginx/generations").rglob("generation.json"):
            about = json.loads(file.read_text())
            del about["discovery"]
            file.write_text(json.dumps(about))

        eventually(lambda: stack.status()["nginx"]["pid"] not in {None, before})
        eventually(lambda: is_gone(before))
        assert load.stop().failed == {}
    assert resolvers(stack.home) == {address}
    stack.kill_daemon()
    assert gets_nothing(neighbour, address)


def test_a_neighbour_who_takes_ports_and_locks_keeps_no_daemon_from_starting(stack, neighbour):
    """All but those of outgoing connections: without them no program could ask anything."""
    own = own_loopbacks(stack.home)
    takes(neighbour, own[0], "SOCK_DGRAM", unprivileged_from(), OUTGOING)

    stack.up(TWO_ECHOES)

    (address,) = resolvers(stack.home)
    assert gets_nothing(neighbour, address)
    tried = neighbour.python(LOCKS, str(Home(stack.home).lock))
    assert "Permission denied" in tried.stdout


@pytest.mark.parametrize("kind", ["SOCK_DGRAM", "SOCK_STREAM"])
def test_with_all_ports_of_an_address_taken_discovery_answers_at_another(
    tmp_path, neighbour, kind
):
    own = own_loopbacks(tmp_path)
    with own_network():  # who takes them all leaves none for outgoing connections
        takes(neighbour, own[0], kind, unprivileged_from(), 1 << 16)

        for below in (0, unprivileged_from()):
            place = reserve("", own, below=below, fraction=0.3)
            with closing(place):
                assert place.port in UNASSIGNED_PORTS if below else place.host in own[1:]
                assert gets_nothing(neighbour, place.address)


POSES = """
import os, sys
os.chdir(sys.argv[1])
print("begun", flush=True)
os.execv(sys.executable, ["nginx: master process x", "-c", "import time; time.sleep(600)"])
"""


def test_a_process_of_another_user_is_no_master_of_ours(stack, neighbour):
    home = Home(stack.home)
    home.make()
    poses = neighbour.start_python(POSES, str(home.nginx))
    title = Path(f"/proc/{poses.pid}/cmdline")
    eventually(lambda: title.read_bytes().startswith(b"nginx: master process"))

    assert Master.running_in(home.nginx) is None
    (home.nginx / "nginx.pid").write_text(f"{poses.pid}\n")
    assert Master.from_pid_file(home.nginx / "nginx.pid") is None


def takes(neighbour: Neighbour, host: str, kind: str, first: int, end: int) -> None:
    taking = neighbour.start_python(TAKES_ALL, host, kind, str(first), str(end))
    assert taking.stdout
    assert int(taking.stdout.readline()) > 0.95 * (end - first)


def remember_a_common_port(stack: Stack) -> str:
    home = Home(stack.home)
    home.make()
    own = own_loopbacks(home.path)
    place = reserve("", own, below=0, fraction=0.5)
    place.close()
    with closing(SqliteState(home.database)) as state:
        state.put_setting("discovery_port", str(place.port))
    assert place.port >= unprivileged_from()
    return place.address
