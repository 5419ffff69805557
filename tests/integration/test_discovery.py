"""Discovery as the real nginx, with two workers, asks it and acts on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from portico.adapters.discovery.responder import Responder
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint
from portico.engine.observed import SETTLE_TIME
from portico.system.clock import SystemClock
from portico.system.names import own_loopbacks
from tests.addresses import free_port
from tests.little_nginx import (
    WEB,
    Client,
    LittleNginx,
    eventually,
    get,
    program,
    spread,
    users_of_nginx,
)
from tests.neighbours import Neighbour

CLOCK = SystemClock()


class Lab:
    """A responder, an nginx that asks it about app web, and programs a, b, c, ..."""

    def __init__(self, folder: Path, responder: Responder, ports: dict[str, int]) -> None:
        self.responder, self.ports = responder, ports
        self.nginx = LittleNginx(folder)
        self.port = free_port()

    def publish(self, *names: str, **weights: int) -> int:
        """Slots 1, 2, ... in this order."""
        return self.responder.publish("web", self.endpoints(*names, **weights))

    def endpoints(self, *names: str, **weights: int) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(
                slot,
                InstanceId(f"web.{slot}.1"),
                self.ports[name],
                weight=weights.get(name, 1),
                backup=name == "spare",
            )
            for slot, name in enumerate(names, 1)
        )

    async def begin(self, method: str = "") -> None:
        """Write the configuration, start nginx, and wait until it has been told."""
        text = WEB.format(method=method, resolver=self.responder.address, port=self.port)
        self.nginx.write(text)
        self.nginx.start()
        await eventually(lambda: self.responder.acknowledged_version("web")[0] > 0)
        await eventually(self.answers)

    async def has_idle_connections(self, by_worker: dict[str, list[Client]]) -> bool:
        """Open one more; whether each of the two workers has some by now."""
        client = Client(self.port)
        _, worker = await client.get("/worker")
        by_worker.setdefault(worker, []).append(client)
        return len(by_worker) > 1

    async def answers(self) -> bool:
        return (await get(self.port))[0] == 200

    async def answers_from(self, *names: str) -> bool:
        return set(await spread(self.port, 10)) == set(names)

    async def answers_also_from(self, name: str) -> bool:
        return name in await spread(self.port, 50)


@asynccontextmanager
async def lab(folder: Path, *names: str) -> AsyncIterator[Lab]:
    ports = {name: free_port() for name in names}
    async with AsyncExitStack() as stack:
        for name, port in ports.items():
            await stack.enter_async_context(program(port, name))
        responder = await open_responder("", *own_loopbacks(folder))  # nobody else takes its port
        stack.push_async_callback(responder.stop)
        lab = Lab(folder, responder, ports)
        stack.callback(lambda: (folder / "nginx.pid").exists() and lab.nginx.stop())
        yield lab


async def open_again(responder: Responder) -> Responder:
    host = responder.address.rpartition(":")[0]
    again = await open_responder(responder.address, host)
    assert again.address == responder.address
    return again


async def open_responder(remembered: str = "", *hosts: str) -> Responder:
    hosts = hosts or ("127.0.0.1",)
    return await Responder.open(CLOCK, remembered, hosts, users=users_of_nginx)


def in_lab(folder: Path, names: str, story: Callable[[Lab], Awaitable[None]]) -> None:
    async def run() -> None:
        async with lab(folder, *names.split()) as made:
            await story(made)

    asyncio.run(run())


def test_weights_of_one_to_nine_are_shares_of_one_to_nine(tmp_path):
    async def story(lab):
        lab.publish("a", "b", b=9)
        await lab.begin()

        assert await spread(lab.port, 200) == {"a": 20, "b": 180}

    in_lab(tmp_path, "a b", story)


def test_a_backup_gets_requests_only_when_the_others_are_gone(tmp_path):
    async def story(lab):
        lab.publish("a", "spare")
        await lab.begin()
        assert await spread(lab.port, 40) == {"a": 40}

        lab.publish("spare")

        await eventually(lambda: lab.answers_from("spare"))

    in_lab(tmp_path, "a spare", story)


def test_a_consistent_hash_keeps_every_key_when_an_instance_moves_to_a_new_port(tmp_path):
    async def story(lab):
        lab.publish("a", "b", "c")
        await lab.begin("hash $request_uri consistent;")
        before = {key: (await get(lab.port, f"/{key}"))[1] for key in range(100)}
        assert len(set(before.values())) == 3

        lab.publish("a", "new", "c")
        await eventually(lambda: lab.answers_also_from("new"))

        after = {key: (await get(lab.port, f"/{key}"))[1] for key in range(100)}
        assert after == {key: "new" if who == "b" else who for key, who in before.items()}

    in_lab(tmp_path, "a b c new", story)


def test_three_hundred_endpoints_are_told_over_tcp(tmp_path):
    async def story(lab):
        names = ["a", "b", "c"] * 100
        version = lab.publish(*names)
        await lab.begin()
        assert lab.responder.acknowledged_version("web")[0] == version
        await eventually(lambda: lab.answers_from("a", "b", "c"))

        version = lab.publish(*["a"] * 300)

        await eventually(lambda: lab.answers_from("a"))
        assert lab.responder.acknowledged_version("web")[0] == version

    in_lab(tmp_path, "a b c", story)


def test_a_change_is_live_in_seconds_and_told_says_so(tmp_path):
    async def story(lab):
        lab.publish("a")
        await lab.begin()
        published = CLOCK.monotonic()

        version = lab.publish("b")
        await eventually(lambda: lab.responder.acknowledged_version("web")[0] == version)
        told = CLOCK.monotonic()

        assert published <= lab.responder.acknowledged_version("web")[1] <= told
        await eventually(
            lambda: lab.answers_from("b"),
        )
        assert CLOCK.monotonic() - published < 8
        assert lab.publish("b") == version

    in_lab(tmp_path, "a b", story)


def test_a_dead_responder_costs_no_peer_and_its_successor_is_asked_again(tmp_path):
    async def story(lab):
        lab.publish("a", "b")
        await lab.begin()
        await lab.responder.stop()
        begun = CLOCK.monotonic()

        while CLOCK.monotonic() < begun + 3:
            assert set(await spread(lab.port, 10)) == {"a", "b"}
            await asyncio.sleep(0.02)

        lab.responder = await open_again(lab.responder)
        lab.publish("c")
        await eventually(lambda: lab.answers_from("c"))
        await lab.responder.stop()

    in_lab(tmp_path, "a b c", story)


def test_peers_stay_while_the_daemon_does_not_know_the_app_yet(tmp_path):
    async def story(lab):
        lab.publish("a", "b")
        await lab.begin()
        await lab.responder.stop()
        lab.responder = await open_again(lab.responder)
        log = lab.nginx.folder / "error.log"
        await eventually(lambda: "Server failure" in log.read_text())

        assert set(await spread(lab.port, 20)) == {"a", "b"}
        lab.nginx.reload()
        await eventually(lambda: log.read_text().count("Server failure") > 3)

        assert set(await spread(lab.port, 20)) == {"a", "b"}
        lab.publish("b")
        await eventually(lambda: lab.answers_from("b"))
        await lab.responder.stop()

    in_lab(tmp_path, "a b", story)


def test_a_reload_keeps_the_peers_and_asks_at_once(tmp_path):
    async def story(lab):
        lab.publish("a", "b")
        await lab.begin()
        old = lab.nginx.pid

        lab.nginx.reload()
        begun = CLOCK.monotonic()
        while CLOCK.monotonic() < begun + 1.5:
            assert set(await spread(lab.port, 10)) == {"a", "b"}

        assert lab.nginx.pid == old

    in_lab(tmp_path, "a b", story)


def test_once_nginx_is_told_no_old_worker_of_a_reload_uses_an_instance_that_left(tmp_path):
    async def story(lab):
        lab.publish("a")
        await lab.begin()
        idle: dict[str, list[Client]] = {}
        await eventually(lambda: lab.has_idle_connections(idle))

        lab.nginx.reload()
        version = lab.publish("b")
        await eventually(lambda: lab.responder.acknowledged_version("web")[0] == version)
        await asyncio.sleep(SETTLE_TIME)  # a worker may have been told and not have read it yet

        for client in chain.from_iterable(idle.values()):
            assert await client.get() == (200, "b")
            client.close()

    in_lab(tmp_path, "a b", story)


def test_an_app_without_endpoints_gets_no_requests_and_is_back_in_seconds(tmp_path):
    """Told that there is nothing, nginx would ask again only after 11 seconds."""

    async def story(lab):
        lab.publish("a")
        await lab.begin()

        lab.publish()
        await eventually(lambda: lab.answers_from("502"), within=8)
        lab.publish("a")

        await eventually(lab.answers, within=8)

    in_lab(tmp_path, "a", story)


def test_a_withdrawn_app_has_no_peers_any_more(tmp_path):
    async def story(lab):
        lab.publish("a")
        await lab.begin()

        lab.responder.withdraw("web")

        await eventually(lambda: lab.answers_from("502"))
        assert lab.responder.acknowledged_version("web") == (0, 0.0)

    in_lab(tmp_path, "a", story)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_where_a_remembered_port_is_taken_another_one_serves(tmp_path, kind):
    own = own_loopbacks(tmp_path)

    async def story():
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind((own[0], 0))
            remembered = f"{own[0]}:{taken.getsockname()[1]}"
            responder = await open_responder(remembered, *own)
            assert responder.address != remembered
            await responder.stop()
        responder = await open_responder(remembered, *own)
        assert responder.address == remembered
        await responder.stop()

    asyncio.run(story())


def test_two_daemons_of_one_machine_find_ports_of_their_own():
    async def story():
        first = await open_responder()
        second = await open_responder(first.address)
        assert first.address != second.address
        await first.stop()
        await second.stop()

    asyncio.run(story())


def test_daemons_of_different_homes_cannot_take_each_others_place(tmp_path):
    """One is away, the other comes up on the same port: the first one's nginx hears nothing."""
    one, other = (own_loopbacks(tmp_path / name) for name in ("one", "other"))
    assert not set(one) & set(other)
    assert one == own_loopbacks(tmp_path / "one")

    async def story() -> None:
        port = free_port()
        there = await open_responder(f"{other[0]}:{port}", *other)
        back = await open_responder(f"{one[0]}:{port}", *one)
        elsewhere = await open_responder(there.address, *one)
        assert back.address == f"{one[0]}:{port}"
        assert elsewhere.address.startswith(f"{one[0]}:")
        for each in (there, back, elsewhere):
            await each.stop()

    asyncio.run(story())


ASKS = """
import socket, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
query = bytes.fromhex(sys.argv[4])
mine = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
for one in mine:
    one.connect((host, port))
    one.setblocking(False)
answered, end = 0, time.monotonic() + float(sys.argv[5])
print("begun", flush=True)
while time.monotonic() < end:
    for one in mine:
        try:
            one.send(query)
            answered += bool(one.recv(512))
        except OSError:
            pass
print(answered < 1000)
"""
"""Asks one question from many ports, as fast as it can, for so many seconds."""


def asks(neighbour: Neighbour, responder: Responder, count: int, seconds: float) -> list[str]:
    host, _, port = responder.address.rpartition(":")
    query = dns.message.make_query("_http._tcp.web.portico.internal", "SRV").to_wire().hex()
    return [ASKS, host, port, str(count), query, str(seconds)]


def test_an_answer_that_nginx_has_not_read_yet_is_known():
    async def story():
        responder = await open_responder()
        responder.publish("web", (Endpoint(1, InstanceId("web.1.1"), 3001),))
        host, _, port = responder.address.rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
            nginx.setblocking(False)
            nginx.connect((host, int(port)))
            nginx.send(dns.message.make_query("_http._tcp.web.portico.internal", "SRV").to_wire())
            await eventually(lambda: responder.acknowledged_version("web")[0] > 0)
            assert not responder.has_read("web")
            assert responder.has_read("api")
            nginx.recv(4096)
            assert responder.has_read("web")
            nginx.send(dns.message.make_query("_http._tcp.web.portico.internal", "SRV").to_wire())
            await eventually(lambda: not responder.has_read("web"))
        assert responder.has_read("web")  # it has closed its socket
        await responder.stop()

    asyncio.run(story())


def test_a_neighbour_who_asks_is_not_taken_for_nginx(neighbour):
    async def story():
        responder = await open_responder()
        responder.publish("web", (Endpoint(1, InstanceId("web.1.1"), 3001),))
        said = await asyncio.to_thread(neighbour.python, *asks(neighbour, responder, 50, 2))
        assert said.stdout == "begun\nTrue\n"
        assert responder.acknowledged_version("web") == (0, 0.0)
        await responder.stop()

    asyncio.run(story())


def test_a_neighbour_who_asks_without_end_holds_up_no_change(tmp_path, neighbour):
    async def story(lab):
        lab.publish("a")
        await lab.begin()
        flood = neighbour.start_python(*asks(neighbour, lab.responder, 500, 600))
        assert flood.stdout
        assert await asyncio.to_thread(flood.stdout.readline) == "begun\n"

        for name in "ba":
            version = lab.publish(name)
            await eventually(
                lambda version=version: lab.responder.acknowledged_version("web")[0] == version
            )
            await eventually(lambda name=name: lab.answers_from(name))

    in_lab(tmp_path, "a b", story)


def test_garbage_holds_up_nobody():
    import dns.asyncquery  # noqa: PLC0415 - all processes that run tests import this module

    async def story():
        responder = await open_responder()
        responder.publish("web", (Endpoint(1, InstanceId("web.1.1"), 3001),))
        host, _, port = responder.address.rpartition(":")
        address = host, int(port)
        noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(5000):
            noise.sendto(number.to_bytes(2, "big") * (number % 60), address)
            if number % 50 == 0:
                await asyncio.sleep(0)
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")

        query = dns.message.make_query("_http._tcp.web.portico.internal", "SRV")
        where = {"where": host, "port": int(port), "timeout": 2}
        for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
            response = await ask(query, **where)
            assert [record.port for record in response.answer[0]] == [3001]
        other = await dns.asyncquery.udp(dns.message.make_query("example.org", "A"), **where)
        assert other.rcode() == dns.rcode.REFUSED

        noise.close()
        writer.close()
        await responder.stop()

    asyncio.run(story())
