"""Which ports are free, who holds one, how many connections it has: asked of the real system."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

import pytest

from portico.adapters.processes import listening
from portico.adapters.processes.listening import (
    _read_connections,
    _read_listeners,
    connections,
    listeners,
)
from portico.adapters.processes.sockets import LinuxPorts, _range
from portico.core.model.instance import ListeningPort, Process
from portico.system.clock import SystemClock
from portico.system.proc import stat
from tests.addresses import free_port
from tests.instances import PROGRAMS, Exits, launch, node, python, supervised, until
from tests.network import own_network


@pytest.fixture(autouse=True)
def _nobody_else():
    """What is counted by port is counted alone: others may hold its number on another address, or
    by the other protocol.
    """
    with own_network() if os.geteuid() == 0 else nullcontext():
        yield


def ask(question):
    async def scenario():
        return await question(LinuxPorts(SystemClock()))

    return asyncio.run(scenario())


def server(host="127.0.0.1", port=0):
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(kind, socket.SOCK_STREAM)
    listening.bind((host, port))
    listening.listen()
    return listening


def datagrams(host="127.0.0.1", port=0):
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    receiving = socket.socket(kind, socket.SOCK_DGRAM)
    receiving.bind((host, port))
    return receiving


def test_free_ports_are_outside_the_ephemeral_range_and_differ():
    async def question(ports):
        return [await ports.free(frozenset()) for _ in range(200)]

    found = ask(question)
    assert len(set(found)) == 200
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(20000 <= port < min(low, 30000) for port in found)


class StartingAt(SystemClock):
    """A clock whose chance makes the search begin at this port."""

    def __init__(self, port):
        self.port = port

    def jitter(self):
        first, after = _range().start, _range().stop
        return (self.port - first + 0.5) / (after - first)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_port_that_is_held_on_any_address_is_not_free(host):
    async def scenario():
        port = await LinuxPorts(SystemClock()).free(frozenset())
        assert await LinuxPorts(StartingAt(port)).free(frozenset()) == port
        assert await LinuxPorts(StartingAt(port)).free(frozenset({port})) > port
        for held in (server, datagrams):
            with closing(held(host, port)):
                assert await LinuxPorts(StartingAt(port)).free(frozenset()) > port

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_holder_of_a_port_is_named(host):
    with closing(server(host)) as listening:
        port = listening.getsockname()[1]
        holder = ask(lambda ports: ports.holder(port))
    assert holder == f"pid {os.getpid()} ({Path('/proc/self/comm').read_text().strip()})"
    assert ask(lambda ports: ports.holder(port)) is None


def test_connections_are_counted_once_and_at_the_server_only():
    with ExitStack() as stack:
        servers = [stack.enter_context(closing(server(host))) for host in ("127.0.0.1", "::")]
        ports = [each.getsockname()[1] for each in servers]
        clients = [socket.create_connection(("127.0.0.1", ports[0])) for _ in range(3)]
        clients += [socket.create_connection(("127.0.0.1", ports[1]))]  # accepted by nobody
        clients += [socket.create_connection(("::1", ports[1]))]
        theirs = [client.getsockname()[1] for client in clients]
        asked = frozenset(ports)

        assert ask(lambda ports: ports.connection_counts(asked)) == {ports[0]: 3, ports[1]: 2}
        assert ask(lambda ports: ports.connection_counts(frozenset({theirs[0]}))) == {theirs[0]: 1}
        for client in clients:
            client.close()
    assert ask(lambda ports: ports.connection_counts(asked)) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_from_the_same_port_of_another_address_is_not_counted(host):
    with closing(server(host)) as listening, closing(server("127.0.0.3")) as elsewhere:
        port = listening.getsockname()[1]
        stranger = socket.create_connection(
            elsewhere.getsockname(), source_address=("127.0.0.2", port)
        )
        client = socket.create_connection((host, port))
        with closing(stranger), closing(client):
            assert ask(lambda ports: ports.connection_counts(frozenset({port}))) == {port: 1}


def test_a_connection_goes_on_counting_when_nothing_listens_any_more():
    with closing(server()) as listening:
        port = listening.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted = listening.accept()[0]
    with closing(accepted), closing(client):
        assert ask(lambda ports: ports.connection_counts(frozenset({port}))) == {port: 1}


def test_counting_thousands_of_connections_takes_no_noticeable_time():
    with ExitStack() as opened:
        listening = opened.enter_context(closing(server()))
        port = listening.getsockname()[1]
        for _ in range(2000):
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            opened.enter_context(listening.accept()[0])
        begun = time.process_time()
        assert ask(lambda ports: ports.connection_counts(frozenset({port}))) == {port: 2000}
        assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "*"), ("::1", "[::1]"), ("::", "*")],
)
@pytest.mark.parametrize("program", [node("listen.js"), python("listen.py")])
def test_it_is_seen_where_a_program_listens(tmp_path, program, host, address):
    async def question(ports):
        port = free_port()
        asked = launch(tmp_path, command=(*program, str(port), host))
        async with supervised(tmp_path) as processes:
            process = await processes.spawn(asked, Exits())
            await until(lambda: "listens" in processes.output(asked))
            return port, await ports.listening_ports(process)

    port, found = ask(question)
    assert found == {ListeningPort(port, address)}


def test_what_listens_is_told_alike_by_the_kernel_and_in_proc():
    hosts = ("127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1")
    with ExitStack() as stack:
        ports = {stack.enter_context(closing(server(host))).getsockname()[1] for host in hosts}
        told = {each for each in listeners() if each.at.port in ports}
        read = {each for each in _read_listeners() if each.at.port in ports}
        one_by_one = {each for port in ports for each in listeners(port)}
    assert told == read == one_by_one
    assert len(told) == len(hosts)
    assert {each.uid for each in told} == {os.geteuid()}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_connections_are_told_alike_by_the_kernel_and_in_proc(host):
    with ExitStack() as stack:
        listening = stack.enter_context(closing(server(host)))
        port = listening.getsockname()[1]
        for _ in range(3):
            stack.enter_context(closing(socket.create_connection((host, port))))
        told = connections(frozenset({port}))
        read = {each for each in _read_connections() if each.at.port == port}
    assert len(told) == len(read) == 3
    assert {each.at for each in told} == {each.at for each in read}


def test_children_are_seen_to_listen_even_in_a_session_of_their_own():
    code = (
        "import subprocess, sys\n"
        "subprocess.run((*sys.argv[1:], '0'), start_new_session=True, check=False)"
    )
    command = (sys.executable, "-c", code, sys.executable, str(PROGRAMS / "listen.py"))
    parent = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    process = Process(parent.pid, stat(parent.pid).started)
    try:
        parent.stdout.readline()
        found = ask(lambda ports: ports.listening_ports(process))
        assert len(found) == 1
    finally:
        for child in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
            os.kill(int(child), 9)
        parent.communicate(timeout=60)


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize(
    ("host", "addresses", "is_held"),
    [
        ("127.0.0.1", ("127.0.0.1",), True),
        ("127.0.0.1", ("*",), True),
        ("127.0.0.1", ("[::1]", "127.0.0.1"), True),
        ("127.0.0.1", ("127.0.0.2",), False),
        ("127.0.0.1", ("[::1]",), False),
        ("0.0.0.0", ("127.0.0.2",), True),
        ("::1", ("[::1]",), True),
        ("::1", ("127.0.0.1",), False),
    ],
)
def test_who_holds_a_port_is_asked_of_an_address_and_a_protocol(udp, host, addresses, is_held):
    with closing((datagrams if udp else server)(host)) as held:
        port = held.getsockname()[1]

        async def question(ports):
            same = await ports.holder_at(addresses, port, udp=udp)
            return same, await ports.holder_at(addresses, port, udp=not udp)

        same, other = ask(question)
    assert bool(same) is is_held
    assert not same or f"pid {os.getpid()} " in same
    assert other is None


@pytest.mark.parametrize("is_asked", [True, False])
def test_sessions_of_udp_count_as_connections(monkeypatch, is_asked):
    """A socket that sends to the port of an instance alone, as nginx has one for each client; also
    where the kernel cannot be asked.
    """
    if not is_asked:
        monkeypatch.setattr(listening, "_sockets_in_state", lambda *_, **__: None)
    with closing(datagrams()) as instance, ExitStack() as stays:
        port = instance.getsockname()[1]

        def count():
            return ask(lambda ports: ports.connection_counts(frozenset({port, 1}))).get(port, 0)

        assert count() == 0
        for number in (1, 2):
            client = stays.enter_context(closing(datagrams()))
            client.connect(("127.0.0.1", port))
            assert count() == number
        client.close()
        assert count() == 1
