"""New certificates reach nginx in batches, and what is not served is put back alone."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from types import SimpleNamespace

import pytest

from portico.core.model.certificate import RenewalState
from portico.core.model.place import CertificateFiles
from portico.engine.certificates.deployment import Deployment, fingerprint_of
from portico.errors import Failed
from tests.fakes.certificates_kept import Lineages
from tests.fakes.clock import FakeClock
from tests.unit.certificates import certificate, lineage

NAMES = [f"n{number}.test" for number in range(8)]


class Machine:
    """Lineages, nginx, and who shakes hands with it, as far as a deployment sees them."""

    def __init__(self, folder):
        self.clock = FakeClock()
        self.lineages, self.folder = Lineages(self.clock), folder
        self.renewals, self.served_by_nginx = {}, {}
        self.prints = {}
        self.renders, self.refused, self.unserved = 0, set(), set()
        self.broken = self.bug = None
        self.desired = SimpleNamespace(sites={}, listeners=None)

    def hold(self, name, serial):
        file = self.folder / f"{name}.{serial}"
        body = base64.b64encode(serial.encode()).decode()
        file.write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        self.prints[str(file)] = fingerprint_of(file.read_text())
        held = certificate(name, serial=serial, files=CertificateFiles(str(file), "/k"))
        self.lineages.newest[name] = replace(held, generation=int(serial))
        return held

    def deploy(self, names=NAMES, **more):
        engine = SimpleNamespace(clock=self.clock, events=None, intent=self, state=self)
        deployment = Deployment(engine, self, None, lineages=self.lineages, sites=self)
        return asyncio.run(deployment.deploy([lineage(name, **more) for name in names]))

    def serials(self):
        return {name: held and held.serial for name, held in self.lineages.given.items()}

    # As intent, nginx and state

    def wanted(self):
        return self.desired, ""

    async def render_again(self):
        self.renders += 1
        given = {name: held for name, held in self.lineages.given.items() if held}
        if self.bug:
            raise self.bug
        if self.broken or self.refused & {held.serial for held in given.values()}:
            raise Failed(self.broken or "nginx -t: bad certificate")
        self.served_by_nginx = given

    async def served_fingerprints(self, name, listeners, *, proxied, rsa):
        if name in self.unserved:
            return {""}
        return {self.prints[self.served_by_nginx[name].files.certificate]}

    def renewal_state(self, name):
        return self.renewals.get(name) or RenewalState(name)

    def put_renewal_state(self, renewal):
        self.renewals[renewal.lineage] = renewal


@pytest.fixture
def machine(tmp_path):
    """Serial 1 of each is in use, and 2 is new; n7 is new altogether."""
    machine = Machine(tmp_path)
    for name in NAMES[:-1]:
        machine.hold(name, "1")
        asyncio.run(machine.lineages.switch(name, 1))
    for name in NAMES:
        machine.hold(name, "2")
    return machine


def test_all_of_a_batch_are_served_after_one_reload(machine):
    assert machine.deploy() == {}
    assert machine.renders == 1
    assert set(machine.serials().values()) == {"2"}
    assert machine.renewals == {}, "what is recorded comes after the hooks"


@pytest.mark.parametrize("bad", ["n0.test", "n3.test", "n7.test"])
def test_one_that_nginx_refuses_is_found_and_put_back_alone(machine, bad):
    machine.hold(bad, "66")
    machine.refused = {"66"}
    errors = machine.deploy()
    assert {name: str(error) for name, error in errors.items()} == {
        bad: "the new certificate is not served: nginx -t: bad certificate"
    }
    assert machine.serials() == dict.fromkeys(NAMES, "2") | {
        bad: "1" if bad != "n7.test" else None
    }
    assert machine.served_by_nginx.keys() >= set(NAMES) - {bad}
    assert machine.renewals.keys() == {bad}
    assert machine.renewals[bad].deploy_trouble.error == "nginx -t: bad certificate"
    assert machine.renders <= 12, "by halves"


def test_one_that_no_handshake_gets_is_put_back_alone(machine):
    machine.unserved = {"n3.test", "n7.test"}
    errors = machine.deploy()
    assert errors.keys() == {"n3.test", "n7.test"} == machine.renewals.keys()
    assert "still return another certificate" in str(errors["n3.test"])
    assert machine.serials() == dict.fromkeys(NAMES, "2") | {"n3.test": "1"}, (
        "there is none better than the first one"
    )
    assert machine.renders == 2


def test_where_nginx_takes_nothing_at_all_none_is_blamed_by_turns(machine):
    machine.broken = "nginx -t: no such file"
    errors = machine.deploy()
    assert errors.keys() == set(NAMES) == machine.renewals.keys()
    assert machine.serials() == dict.fromkeys(NAMES[:-1], "1") | {"n7.test": None}
    assert machine.renders == 3


def test_a_bug_is_returned_as_it_is_and_waits_its_time_too(machine):
    machine.bug = LookupError("x")
    assert machine.deploy(["n0.test"]) == {"n0.test": machine.bug}
    assert machine.renewals["n0.test"].deploy_trouble
    assert machine.serials()["n0.test"] == "1"


def test_one_that_no_nginx_serves_needs_none(machine):
    machine.broken = "nginx -t: no such file"
    assert machine.deploy(["n0.test"], behind_nginx=False) == {}
    assert machine.serials()["n0.test"] == "2"
    assert machine.renders == 0
