from __future__ import annotations

import asyncio
import re

import pytest

from portico.adapters.acme.methods import Dns, Lookups, Manual, Rfc2136, Standalone
from portico.adapters.acme.wire import ManualSteps
from tests.addresses import free_port
from tests.fakes import bind, name_server
from tests.fakes.pebble import running
from tests.orders import Acme, by, facts_of, needs_pebble

pytestmark = needs_pebble
TWO = ("127.0.0.1", "127.0.0.2")


@pytest.fixture(scope="module")
def names():
    with name_server.serving("example.test", "proofs.test", addresses=TWO) as names:
        yield names


@pytest.fixture(scope="module")
def pebble(tmp_path_factory, names):
    with running(tmp_path_factory.mktemp("pebble"), dns=names.port) as pebble:
        yield pebble


@pytest.fixture
def acme(tmp_path, pebble):
    return Acme(tmp_path, pebble.server)


def updates(names, secret=name_server.SECRET, timeout=15.0, **more):
    settings = {"server": names.resolver, "key_name": name_server.KEY_NAME, "secret": secret}
    lookups = Lookups((names.resolver,), names.port, timeout)
    return Dns(Rfc2136(**(settings | more)), lookups)


def test_a_wildcard_and_its_apex_are_proven_side_by_side(acme, names):
    record = "_acme-challenge.a.example.test", "TXT"
    names.records[record] = ['"of another client"']
    names.updates.clear()

    acme.issue("*.a.example.test", "a.example.test", **by(updates(names)))

    added = {update for update in names.updates if update.startswith("+")}
    assert len(added) == 2
    assert len(set(names.updates)) == 4
    assert names.records[record] == ['"of another client"']
    assert acme.steps == [
        *("key", "account", "order", "published", "published", "served"),
        *("answered", "answered", "proven", "cleaned", "cleaned", "finalized", "issued"),
    ]


@pytest.mark.skipif(not bind.NAMED, reason="needs BIND; scripts/bind loads it with apt-get")
def test_bind_takes_the_updates_and_serves_them_to_the_authority(tmp_path):
    domain = "a.real.test"
    with (
        bind.running(tmp_path / "bind", "real.test") as port,
        running(tmp_path / "pebble", dns=port) as pebble,
    ):
        acme = Acme(tmp_path, pebble.server)
        server = f"127.0.0.1:{port}"
        publisher = Rfc2136(server, name_server.KEY_NAME, name_server.SECRET)
        method = Dns(publisher, Lookups((server,), port, timeout=15))

        acme.issue(domain, f"*.{domain}", **by(method))
        wrong = Rfc2136(server, name_server.KEY_NAME, "d3Jvbmc=")
        failure = acme.fail("b.real.test", order="two", **by(Dns(wrong, method.lookups)))

        assert bind.txt(port, f"_acme-challenge.{domain}") == set()
    assert failure.kind == "unready"
    assert "rejected the key" in failure.text
    assert "order" not in acme.steps


def test_a_cname_leads_to_a_zone_of_its_own_for_proofs(acme, names):
    names.records["_acme-challenge.b.example.test", "CNAME"] = ["hop.example.test."]
    names.records["hop.example.test", "CNAME"] = ["b.proofs.test."]
    names.updates.clear()

    acme.issue("b.example.test", **by(updates(names)))

    assert [update.split()[:2] for update in names.updates] == [
        ["+", "b.proofs.test"],
        ["-", "b.proofs.test"],
    ]


def test_cnames_that_lead_round_and_round_are_told(acme, names):
    names.records["_acme-challenge.c.example.test", "CNAME"] = ["round.example.test."]
    names.records["round.example.test", "CNAME"] = ["_acme-challenge.c.example.test."]

    failure = acme.fail("c.example.test", **by(updates(names)))

    assert failure.text.endswith("its CNAME records form a loop")


def test_the_authority_is_asked_only_when_every_name_server_has_the_record(acme, names):
    names.hold_back("127.0.0.2")

    async def issue():
        request = acme.request("d.example.test", **by(updates(names)))
        async with asyncio.TaskGroup() as group:
            issuing = group.create_task(acme.child.issue(request, acme.said.append))
            while not _looked_in_vain(names):  # noqa: ASYNC110 - by another process
                await asyncio.sleep(0.02)
            waited = list(acme.steps)
            names.catch_up("127.0.0.2")
            await issuing
        return waited

    assert asyncio.run(issue())[-1] == "published"
    assert acme.steps.index("served") < acme.steps.index("answered")


def _looked_in_vain(names):
    question = "127.0.0.2", "_acme-challenge.d.example.test", "TXT"
    return names.asked.count(question) > 1


def test_a_name_server_that_never_gets_the_record_costs_no_failed_validation(acme, names):
    names.hold_back("127.0.0.2")
    try:
        failure = acme.fail("e.example.test", **by(updates(names, timeout=1.0)))
    finally:
        names.catch_up("127.0.0.2")

    assert failure.kind == "unready"
    assert "ns2.example.test (127.0.0.2) for _acme-challenge.e" in failure.text
    assert "answered" not in acme.steps
    assert names.txt("_acme-challenge.e.example.test") == set()


def test_a_dead_name_server_among_others_is_noted_and_stops_nothing(acme, names):
    names.silent.add("127.0.0.2")
    try:
        acme.issue("f.example.test", **by(updates(names, timeout=1.0)))
    finally:
        names.silent.clear()

    assert acme.notes == [
        "the name server ns2.example.test (127.0.0.2) does not answer; all others serve it"
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"secret": "d3Jvbmc="}, r"answered NOTAUTH|rejected the key"),
        ({"secret": "?"}, "the secret of the key portico is not valid base64"),
        ({"key_name": "nobody"}, r"answered NOTAUTH|rejected the key"),
        ({"zone": "elsewhere.test"}, "answered NOTAUTH"),
        ({"algorithm": "hmac-nothing"}, "hmac-nothing is not a TSIG algorithm"),
        ({"server": "127.0.0.1:1"}, "127.0.0.1:1 does not answer: Connection refused"),
        ({"server": "ns1.example.test"}, "not an address such as 192.0.2.1:53"),
    ],
)
def test_what_keeps_updates_out_is_told_before_anything_is_ordered(acme, names, more, why):
    failure = acme.fail("g.example.test", **by(updates(names, **more)))

    assert failure.kind == "unready"
    assert re.search(why, failure.text)
    assert "order" not in acme.steps
    assert name_server.SECRET not in failure.text


def test_resolvers_that_do_not_answer_are_named(acme, names):
    dead = f"127.0.0.1:{free_port()}"
    publisher = Rfc2136(names.resolver, name_server.KEY_NAME, name_server.SECRET)

    failure = acme.fail("a.example.test", **by(Dns(publisher, Lookups((dead,)))), deadline=3)

    assert failure.kind == "unready"
    assert dead.replace("127.0.0.1:", "") in failure.text
    assert failure.text.endswith("see resolvers")


def test_after_a_proof_that_failed_the_records_are_taken_away(tmp_path, names):
    with running(tmp_path / "pebble") as elsewhere:  # it asks other name servers than ours
        acme = Acme(tmp_path, elsewhere.server)
        failure = acme.fail("h.example.test", **by(updates(names)))

    assert failure.kind == "unproven"
    assert "cleaned" in acme.steps
    assert names.txt("_acme-challenge.h.example.test") == set()


def test_a_record_that_cannot_be_taken_away_is_noted_and_taken_away_by_the_next_run(acme, names):
    request = acme.request("i.example.test", **by(updates(names)))

    names.keeps = True
    try:
        issued, noted = acme.ask(request), acme.notes
    finally:
        names.keeps = False
    left = names.txt("_acme-challenge.i.example.test")
    again = acme.ask(request)

    assert [note.split(":")[0] for note in noted] == [
        "cannot remove the TXT record of _acme-challenge.i.example.test"
    ] * len(noted)
    assert (len(noted) > 0, len(left)) == (True, 1)
    assert again == issued
    assert names.txt("_acme-challenge.i.example.test") == set()


def test_addresses_are_proven_over_http_and_wildcards_in_dns_within_one_order(acme, names, pebble):
    methods = updates(names), Standalone(pebble.http, address="127.0.0.1")

    acme.issue("127.0.0.1", "*.j.example.test", methods=methods)


def test_a_person_is_told_which_records_to_publish_until_they_are_there(acme, names):
    lookups = Lookups((names.resolver,), names.port, timeout=0.5)
    request = acme.request("k.example.test", "*.k.example.test", **by(Manual(lookups)))

    todo = acme.ask(request)
    early = acme.ask(request)
    assert isinstance(todo, ManualSteps)
    for put in todo.steps:
        names.records.setdefault((put.where, "TXT"), []).append(f'"{put.value}"')
    issued = acme.ask(request)

    assert acme.steps[0] == "found"
    assert {put.where for put in todo.steps} == {"_acme-challenge.k.example.test"}
    assert early == todo
    assert facts_of(issued, *request.names).problems == ()
    assert len(names.txt("_acme-challenge.k.example.test")) == 2  # they are the person's
