"""What is found on the machine around a file: what prevents its use, and what is worth knowing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.model.app import App
from portico.core.model.desired import Origin, Spec
from portico.core.model.pair import Findings
from portico.engine.host_checks import HostChecks


class Certificates:
    def __init__(self, findings):
        self.findings, self.asked = findings, 0

    async def examine(self, pairs):
        self.asked += 1
        return [self.findings for _ in pairs]


class Free:
    """No nginx runs, and nothing listens."""

    inherited_ports = frozenset()

    def observe(self):
        return SimpleNamespace(pid=0)

    async def holder_at(self, addresses, port, *, udp=False):
        return ""


def host_checks(outside, in_force, certificates=None, processes=None):
    return HostChecks(
        SimpleNamespace(nginx=outside, ports=outside, processes=processes),
        certificates or Certificates(Findings((), ())),
        instances=dict,
        in_force=lambda: in_force,
        workers="",
    )


@pytest.fixture
def desired(tmp_path):
    for name in ("a.pem", "a.key"):
        (tmp_path / name).touch()
    site = {"redirect": "https://b.test", "certificate": "a.pem", "key": "a.key"}
    document = read_document({"sites": {"a.test": site}}, source="x")
    return desired_from(
        document,
        folder=str(tmp_path),
        environ={},
        cores=1,
        root=True,
        asked={},
        paused=frozenset(),
    )


def test_an_operators_pair_is_examined_once_for_its_problems_and_its_notes(desired):
    certificates = Certificates(Findings(("it expired",), ("it is out of order",)))
    checks = host_checks(Free(), desired, certificates)
    problems, notes = asyncio.run(checks.findings(desired))
    assert [(each.where, each.what) for each in problems] == [
        ('sites."a.test".certificate', "it expired")
    ]
    assert notes == ['sites."a.test".certificate: it is out of order']
    assert certificates.asked == 1


def test_a_program_with_a_schedule_follows_links_at_each_run():
    class Processes:
        async def links_of(self, spec):
            return {"/srv/current": "/srv/1"}

    checks = host_checks(Free(), None, processes=Processes())
    web = App(command="run", cwd="current")
    clean = web.model_copy(update={"port": False, "schedule": "@daily"})
    found = [
        asyncio.run(checks.links_of(Spec("v1", "app", app, "/srv", {}))) for app in (web, clean)
    ]
    assert found == [{"/srv/current": "/srv/1"}, {}]


def test_another_program_at_the_udp_port_is_named_only_if_http_3_would_need_it(desired):
    class Held(Free):
        async def holder_at(self, addresses, port, *, udp=False):
            return f"pid 7 (caddy) on {port}" if udp else ""

    async def found(listeners):
        wanted = replace(desired, listeners=listeners)
        problems, _ = await host_checks(Held(), desired).findings(wanted)
        return [str(problem) for problem in problems]

    assert asyncio.run(found(desired.listeners)) == []
    (problem,) = asyncio.run(found(replace(desired.listeners, http3=True)))
    assert problem.startswith("edge.http3: UDP port 443 is held by pid 7 (caddy) on 443")


def test_a_port_is_held_only_at_an_address_where_nginx_is_to_listen(desired):
    class HeldElsewhere(Free):
        async def holder_at(self, addresses, port, *, udp=False):
            return "pid 7 (caddy)" if "10.0.0.1" in addresses else None

    def found(*addresses):
        checks = host_checks(HeldElsewhere(), desired)
        listeners = replace(desired.listeners, addresses=addresses)
        problems, _ = asyncio.run(checks.findings(replace(desired, listeners=listeners)))
        return [each.where for each in problems]

    assert found("127.0.0.1") == []
    assert found("127.0.0.1", "10.0.0.1") == ["edge.http", "edge.https"]


@pytest.mark.parametrize("others", [False, True])
def test_who_holds_a_port_that_sites_of_other_projects_may_not_move_to_is_not_asked(
    desired, others
):
    class Held(Free):
        async def holder_at(self, addresses, port, *, udp=False):
            return "pid 7 (nginx)"

    sites = dict.fromkeys(("a.test", *(["b.test"] if others else [])), desired.sites["a.test"])
    origins = {"b.test": Origin("other")} if others else {}
    moved = replace(desired.listeners, http=8080, https=8443)
    now = replace(desired, sites=sites, origins=desired.origins | origins, listeners=moved)
    problems, _ = asyncio.run(host_checks(Held(), now).findings(desired))
    assert [each.where for each in problems] == ([] if others else ["edge.http", "edge.https"])
