from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.discovery.resolvers import ACTIVE_TIME, Resolvers
from portico.adapters.discovery.wire import reply_to
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint, FarEndpoint
from portico.core.planning.discovery import NOWHERE_ADDRESS, NOWHERE_PORT, Peer, Verdict, Zone

SRV_OF_WEB = "_http._tcp.web.portico.internal."


def endpoint(slot: int, port: int, **more) -> Endpoint:
    return Endpoint(slot, InstanceId(f"web.{slot}.1"), port, **more)


TWO = (endpoint(1, 3001, weight=9), endpoint(2, 3002, backup=True))
WEB = Zone({"web": TWO})


def test_an_app_is_answered_with_one_record_for_each_endpoint():
    answer = WEB.answer(SRV_OF_WEB, "SRV")

    assert answer.app == "web"
    assert answer.peers == (
        Peer(0, 9, 3001, "1.web.portico.internal"),
        Peer(1, 1, 3002, "2.web.portico.internal"),
    )


def test_a_slot_is_answered_with_its_address():
    zone = Zone({"web": (endpoint(7, 3001, address="127.0.0.9"),)})

    assert zone.answer("7.web.portico.internal.", "A").address == "127.0.0.9"
    assert zone.answer("8.web.portico.internal.", "A").address is None


def test_other_machines_have_their_own_name():
    far = {"web": (FarEndpoint("m2", "10.0.0.2", 8445, weight=4),), "api": ()}
    zone = Zone({"web": TWO}, far=far)
    answer = zone.answer("_http._tcp.far.web.portico.internal.", "SRV")
    (nowhere,) = zone.answer("_http._tcp.far.api.portico.internal.", "SRV").peers

    assert answer.peers == (Peer(0, 4, 8445, "m2.far.web.portico.internal"),)
    assert answer.app is None  # it is no acknowledgement of the app's own endpoints
    assert zone.answer("m2.far.web.portico.internal", "A").address == "10.0.0.2"
    assert zone.answer(nowhere.target, "A").address == NOWHERE_ADDRESS
    assert WEB.answer("_http._tcp.far.web.portico.internal.", "SRV").verdict is Verdict.NOT_YET


@pytest.mark.parametrize(
    ("label", "ports"),
    [
        ("far", {"m2": 8445}),
        ("machines", {"m1": NOWHERE_PORT}),
        ("streams", {"m1": 9445, "m2": 8445}),
    ],
)
def test_where_a_key_is_placed_this_machine_is_one_of_them_by_its_name(label, ports):
    """The names are the same in all answers, and on all machines: a key is placed by them."""
    own = FarEndpoint("m1", "10.0.0.1", 9445, weight=2, is_own=True)
    zone = Zone({"web": TWO}, far={"web": (own, FarEndpoint("m2", "10.0.0.2", 8445, weight=4))})
    peers = zone.answer(f"_http._tcp.{label}.web.portico.internal.", "SRV").peers
    weights = {"m1": 2, "m2": 4}

    assert peers == tuple(
        Peer(0, weights[name], port, f"{name}.far.web.portico.internal")
        for name, port in ports.items()
    )
    assert zone.answer("m1.far.web.portico.internal", "A").address == "10.0.0.1"


@pytest.mark.parametrize(("others", "port"), [((), NOWHERE_PORT), (("m2", "m3"), 8445)])
def test_where_it_is_not_ready_here_another_machine_is_named_again(others, port):
    """A name of its own would take keys from the others."""
    machines = tuple(FarEndpoint(name, "10.0.0.2", 8445, weight=4) for name in others)
    zone = Zone({"web": TWO}, far={"web": machines})
    far, own = (
        zone.answer(f"_http._tcp.{label}.web.portico.internal.", "SRV").peers
        for label in ("far", "machines")
    )
    assert own == far[:1]
    assert own[0].port == port


def test_case_does_not_matter():
    assert WEB.answer("_HTTP._tcp.Web.Portico.Internal", "SRV").peers


def test_an_app_without_endpoints_is_answered_with_a_peer_that_leads_nowhere():
    zone = Zone({"web": ()})
    (peer,) = zone.answer(SRV_OF_WEB, "SRV").peers

    assert zone.answer(peer.target, "A").address == NOWHERE_ADDRESS


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("_http._tcp.api.portico.internal.", Verdict.NOT_YET),
        ("_http._tcp.old.portico.internal.", Verdict.NO_SUCH_NAME),
        ("web.portico.internal.", Verdict.YES),
        ("portico.internal.", Verdict.YES),
        ("_grpc._tcp.web.portico.internal.", Verdict.YES),
        ("example.org.", Verdict.NOT_OURS),
        ("web.notportico.internal.", Verdict.NOT_OURS),
        (".", Verdict.NOT_OURS),
    ],
)
def test_what_is_said_of_names_without_records(name, verdict):
    zone = Zone({"web": TWO}, frozenset({"old"}))

    answer = zone.answer(name, "SRV")

    assert (answer.verdict, answer.peers) == (verdict, ())


endpoints = st.lists(
    st.builds(
        endpoint,
        st.integers(1, 1000),
        st.integers(1, 65535),
        weight=st.integers(1, 65535),
        backup=st.booleans(),
    ),
    max_size=20,
    unique_by=lambda e: e.slot,
).map(tuple)


@given(endpoints, st.booleans())
def test_an_app_that_was_published_is_never_denied_and_never_without_a_peer(given_endpoints, tcp):
    query = dns.message.make_query(SRV_OF_WEB, "SRV")
    reply = reply_to(query.to_wire(), Zone({"web": given_endpoints}), tcp=tcp)
    response = dns.message.from_wire(reply.octets)

    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA
    (records,) = response.answer
    assert records.ttl == 0
    expected = {e.port for e in given_endpoints} or {1}
    assert {record.port for record in records} == expected


def test_there_is_no_ipv6_address_and_that_is_no_error():
    query = dns.message.make_query("1.web.portico.internal.", "AAAA")
    response = dns.message.from_wire(reply_to(query.to_wire(), WEB, tcp=False).octets)

    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(
    ("query", "endpoints_that_fit"),
    [
        (dns.message.make_query(SRV_OF_WEB, "SRV"), 80),
        (dns.message.make_query(SRV_OF_WEB, "SRV", use_edns=0, payload=1232), 20),
        (dns.message.make_query(SRV_OF_WEB, "SRV", use_edns=0, payload=9000), 80),
    ],
    ids=["nginx, which announces nothing", "1232 announced", "9000 announced"],
)
def test_an_answer_too_long_for_a_datagram_is_truncated_and_whole_over_tcp(
    query, endpoints_that_fit
):
    few, many = (
        Zone({"web": tuple(endpoint(i, i) for i in range(1, count + 1))})
        for count in (endpoints_that_fit, 300)
    )

    assert not reply_to(query.to_wire(), few, tcp=False).truncated
    reply = reply_to(query.to_wire(), many, tcp=False)
    assert reply.truncated
    assert dns.message.from_wire(reply.octets).flags & dns.flags.TC
    whole = dns.message.from_wire(reply_to(query.to_wire(), many, tcp=True).octets)
    assert len(whole.answer[0]) == 300


def test_a_thousand_instances_of_the_longest_name_still_fit_one_message():
    app = "a" * 50
    zone = Zone({app: tuple(endpoint(i, i) for i in range(1, 1001))})
    query = dns.message.make_query(f"_http._tcp.{app}.portico.internal.", "SRV")

    reply = reply_to(query.to_wire(), zone, tcp=True)

    assert len(reply.octets) <= 65535
    assert len(dns.message.from_wire(reply.octets).answer[0]) > 600


@given(st.binary(max_size=200))
def test_garbage_gets_no_answer_or_a_well_formed_one(octets):
    reply = reply_to(octets, WEB, tcp=False)

    if reply is not None:
        dns.message.from_wire(reply.octets)


@given(st.data())
def test_a_damaged_question_does_no_harm(data):
    octets = bytearray(dns.message.make_query(SRV_OF_WEB, "SRV").to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))

    reply = reply_to(bytes(octets), WEB, tcp=False)

    assert reply is None or dns.message.from_wire(reply.octets)


@given(st.binary(max_size=300), st.integers(0, 20), st.sampled_from([41, 250, 249, 24, 0, 6]))
def test_any_record_behind_a_question_does_no_harm(octets, records, kind):
    """Options (EDNS), signatures, and what a stranger makes of them."""
    query = bytearray(dns.message.make_query(SRV_OF_WEB, "SRV").to_wire())
    query[10:12] = records.to_bytes(2, "big")
    length = len(octets).to_bytes(2, "big")
    record = b"\0" + kind.to_bytes(2, "big") + b"\x10\x00" + bytes(4) + length + octets

    reply = reply_to(bytes(query) + record * records, WEB, tcp=False)

    assert reply is None or dns.message.from_wire(reply.octets).id == int.from_bytes(query[:2])


@pytest.mark.parametrize(
    "query",
    [
        dns.message.make_query(SRV_OF_WEB, "SRV", rdclass="CH"),
        dns.message.make_query(r"_http._tcp\.web.portico.internal.", "SRV"),
        dns.message.make_query("web.example.org.", "A"),
    ],
    ids=["another class", "a dot within a label", "another domain"],
)
def test_a_question_about_what_is_not_ours_is_refused(query):
    response = dns.message.from_wire(reply_to(query.to_wire(), WEB, tcp=False).octets)

    assert (response.rcode(), response.answer) == (dns.rcode.REFUSED, [])
    assert query.is_response(response)


def test_an_answer_is_no_question():
    response = dns.message.make_response(dns.message.make_query(SRV_OF_WEB, "SRV"))

    assert reply_to(response.to_wire(), WEB, tcp=False) is None


def test_nginx_is_told_when_every_worker_that_asks_has_had_the_answer():
    askers = Resolvers()
    for old, new, version, now in ((1, 2, 1, 10.0), (1, 3, 2, 11.0)):
        askers.record_answer("web", old, version, now)
        askers.record_answer("web", new, version, now + 0.1)

    assert askers.acknowledged_version("web") == (1, 10.0)  # asker 2 has not had version 2
    askers.record_answer("web", 2, 2, 11.4)
    assert askers.acknowledged_version("web") == (2, 11.4)


def test_what_was_told_keeps_the_moment_it_was_told_first():
    askers = Resolvers()
    for now in (10.0, 11.0, 12.0):
        askers.record_answer("web", 1, 5, now)

    assert askers.acknowledged_version("web") == (5, 10.0)


def test_a_worker_that_asks_no_more_is_not_waited_for():
    askers = Resolvers()
    askers.record_answer("web", 1, 1, 10.0)
    askers.record_answer("web", 2, 2, 10.5)
    askers.record_answer("web", 2, 2, 10.0 + ACTIVE_TIME)
    assert askers.acknowledged_version("web") == (1, 10.0)

    askers.record_answer("web", 2, 2, 10.1 + ACTIVE_TIME)

    assert askers.acknowledged_version("web") == (2, 10.1 + ACTIVE_TIME)


def test_nothing_was_told_of_an_app_that_nobody_asked_about():
    assert Resolvers().acknowledged_version("web") == (0, 0.0)
