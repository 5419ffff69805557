"""Servers elsewhere: verdicts from probes, and what discovery hands out."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.check import ServerCheck
from portico.core.model.upstream import Server
from portico.core.planning.discovery import Verdict, Zone
from portico.core.planning.servers import (
    CheckedServer,
    host_and_port,
    server_after,
    server_endpoints,
    with_verdicts,
)
from portico.engine.server_checks import FAILING_SETTING, ServerChecks
from portico.errors import ConfigError, Failed
from tests.rendered import block, nginx_conf, wanted

CHECK = ServerCheck(path="/healthz", rise=2, fall=3)


def server(address: str = "10.0.0.1", **settings: object) -> CheckedServer:
    table = Server(address="old.example:3000", **settings)
    return CheckedServer(table, "old.example", address, 3000)


def after(one: CheckedServer, *problems: str | None) -> CheckedServer:
    for problem in problems:
        one = server_after(one, problem, CHECK)
    return one


@pytest.mark.parametrize(
    ("problems", "is_well"),
    [
        (["bad", "bad"], True),
        (["bad", "bad", None, "bad", "bad"], True),
        (["bad", "bad", "bad"], False),
        (["bad", "bad", "bad", None], False),
        (["bad", "bad", "bad", None, "bad", None], False),
        (["bad", "bad", "bad", None, None], True),
    ],
)
def test_a_server_is_out_after_fall_and_back_after_rise(problems, is_well):
    assert after(server(), *problems).is_well is is_well


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_the_last_server_is_never_taken_out(facts):
    servers = [
        replace(server(f"10.0.0.{n}", backup=backup, down=down), is_well=is_well)
        for n, (is_well, backup, down) in enumerate(facts)
    ]
    handed_out = server_endpoints(servers)
    usable = [each for each in servers if not each.server.down]
    assert bool(handed_out) is bool(usable)
    well = {each.address for each in usable if each.is_well}
    assert {each.address for each in handed_out} == (well or {each.address for each in usable})


def test_an_address_keeps_its_slot_and_its_verdict_when_others_come_and_go():
    one, two = server("10.0.0.1"), replace(server("10.0.0.2"), is_well=False)
    found = with_verdicts([server("10.0.0.2"), server("10.0.0.3"), server("10.0.0.2")], [one, two])
    assert [each.is_well for each in found] == [False, True]
    slots = {each.address: each.slot for each in server_endpoints([one, server("10.0.0.3")])}
    assert server_endpoints(found)[0].slot == slots["10.0.0.3"]


def test_the_address_of_a_server_is_answered_in_its_family():
    endpoints = server_endpoints([server("2001:db8::1"), server("10.0.0.1")])
    zone = Zone({"old": endpoints})
    for endpoint, family, other in zip(endpoints, ("AAAA", "A"), ("A", "AAAA"), strict=True):
        name = f"{endpoint.slot}.old.portico.internal"
        assert zone.answer(name, family).address == endpoint.address
        assert (zone.answer(name, other).verdict, zone.answer(name, other).address) == (
            Verdict.YES,
            None,
        )


@pytest.mark.parametrize(
    ("address", "parts"),
    [("[2001:db8::1]:443", ("2001:db8::1", 443)), ("old.example", ("old.example", 80))],
)
def test_a_server_has_a_host_and_a_port(address, parts):
    assert host_and_port(Server(address=address)) == parts


def upstream(keys: str) -> str:
    return f'[upstreams.old]\n{keys}\n[sites."old.test"]\nupstream = "old"\nhttps = false\n'


def test_checked_servers_are_found_by_discovery():
    text = nginx_conf(upstream('servers = ["10.0.0.1:3000", "[::1]:3000"]\nhealth = "/up"'))
    lines = block(text, "upstream old")
    assert "server old.portico.internal service=http resolve;" in lines
    assert "resolver 127.0.0.1:5353;" in lines
    assert not any("10.0.0.1" in line for line in lines)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('servers = ["unix:/run/a.sock"]\nhealth = "/"', "unix socket"),
        ('apps = ["web"]\nhealth = "/"', "needs servers"),
        (
            'servers = ["a:1", {address = "b:1", max_conns = 3}]\nhealth = "/"',
            "must be the same for all servers",
        ),
        ('servers = ["a:1"]\nhealth = {body = "x"}', "is for a path"),
        ('servers = ["a:1"]\nhealth = {interval = 1, timeout = 2}', "must be at most interval"),
        ('servers = ["a:1"]\nhealth = {command = "x"}', "unknown key"),
    ],
)
def test_a_check_that_cannot_be_is_refused(keys, problem):
    with pytest.raises(ConfigError, match=problem):
        wanted(f'[apps.web]\ncommand = "run"\n{upstream(keys)}')


class Daemon:
    """What checks need of an engine; time passes when the test says so."""

    def __init__(
        self, text: str, addresses: dict[str, tuple[str, ...]], failing: str = ""
    ) -> None:
        self.addresses_of, self.well = addresses, set[str]()
        self.published: dict[str, set[str]] = {}
        self.settings = {FAILING_SETTING: failing} if failing else {}
        self.servers, self.revisions, self.is_on = {}, {}, False
        self.first: set[str] = set()
        self.moment = asyncio.Event()
        self.desired = wanted(text)
        self.events = self
        self.intent = self.observed = self.tasks = self.clock = self.state = self.safe_mode = (
            self.troubles
        ) = self
        self.begun: list[asyncio.Task[None]] = []
        self.checks = ServerChecks(self, self)

    def publish_servers(self, upstream, endpoints) -> None:
        self.servers[upstream] = endpoints
        self.first = self.first or {each.address for each in endpoints}
        self.published[upstream] = {each.address for each in endpoints}

    def forget_servers(self, upstream) -> None:
        del self.servers[upstream]

    def resolve_all_of(self, gone) -> None:
        assert gone == "upstream old"

    def note(self, *_: object) -> None:
        pass

    def setting(self, name):
        return self.settings.get(name)

    def put_setting(self, name, value) -> None:
        self.settings[name] = value

    def start(self, _, work):
        self.begun.append(asyncio.create_task(work()))
        return self.begun[-1]

    @contextmanager
    def fence(self, _, of):
        with suppress(Failed):
            yield

    async def sleep(self, _: float) -> None:
        await self.moment.wait()

    async def addresses(self, host):
        if host not in self.addresses_of:
            raise Failed(f"cannot resolve {host}")
        return self.addresses_of[host]

    async def probe(self, check, address, port, tls):
        return None if address in self.well else f"{address} is unwell"

    async def pass_time(self) -> None:
        """An interval of the check, and of the resolver."""
        for _ in range(20):
            await asyncio.sleep(0)
        self.moment.set()
        self.moment = asyncio.Event()
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.begun:
            task.cancel()
        await asyncio.gather(*self.begun, return_exceptions=True)


BY_NAME = upstream('servers = ["old.example:80"]\nhealth = {path = "/", fall = 1}')


def test_a_name_is_resolved_again_and_each_of_its_addresses_is_checked():
    async def story() -> None:
        daemon = Daemon(BY_NAME, {"old.example": ("10.0.0.1", "10.0.0.2")})
        daemon.well = {"10.0.0.1", "10.0.0.3"}
        await daemon.checks.begin()
        await daemon.pass_time()
        assert daemon.first == {"10.0.0.1", "10.0.0.2"}
        assert daemon.published == {"old": {"10.0.0.1"}}
        daemon.addresses_of = {"old.example": ("10.0.0.2", "10.0.0.3")}
        await daemon.pass_time()
        await daemon.pass_time()
        assert daemon.published == {"old": {"10.0.0.3"}}
        daemon.addresses_of = {}
        await daemon.pass_time()
        assert daemon.published == {"old": {"10.0.0.3"}}
        daemon.desired = wanted("")
        await daemon.checks.begin()
        assert daemon.servers == {}
        assert daemon.published == {"old": {"10.0.0.3"}}  # nginx may still ask
        await daemon.end()

    asyncio.run(story())


def test_what_an_earlier_daemon_found_failing_is_out_from_the_beginning():
    async def story() -> None:
        before = Daemon(BY_NAME, {"old.example": ("10.0.0.1", "10.0.0.2")})
        before.well = {"10.0.0.1"}
        await before.checks.begin()
        await before.pass_time()
        await before.end()
        after = Daemon(BY_NAME, before.addresses_of, before.settings[FAILING_SETTING])
        after.well = {"10.0.0.1"}
        await after.checks.begin()
        assert after.first == {"10.0.0.1"}
        assert after.published == {"old": {"10.0.0.1"}}
        await after.end()

    asyncio.run(story())


def test_nothing_is_published_of_a_name_that_was_never_resolved():
    async def story() -> None:
        daemon = Daemon(BY_NAME, {})
        await daemon.checks.begin()
        assert daemon.published == {}
        await daemon.end()

    asyncio.run(story())
