from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.certificate import Challenge, Issuer
from portico.core.model.preflight import Address, Caa, Name, PreflightFacts
from portico.core.planning.preflight import (
    MAX_CLOCK_SKEW,
    MIN_FILES,
    MIN_ROOM,
    challenge_of,
    findings,
    name_findings,
)
from tests.unit.certificates import lineage

PUBLIC = Issuer("https://ca.test/directory")
PRIVATE = replace(PUBLIC, ca_bundle="/etc/ours.pem")
GOOD = Name("a.example.com", by_address=True, addresses=(Address("1.1.1.1"),))
FINE = PreflightFacts(
    (GOOD,), ("ca.test",), "https://ca.test/acct/1", 0.5, room=1 << 30, files=10_000
)


def told(seen=FINE, issuer=PUBLIC, **more):
    return [str(each) for each in findings(lineage("a.example.com", **more), issuer, seen)]


def with_caa(*records, name="a.example.com", **more):
    caa = tuple(Caa(flags, tag, value) for flags, tag, value in records)
    return replace(FINE, names=(replace(GOOD, name=name, caa=caa, caa_of="example.com"),), **more)


def at(*addresses, name="a.example.com"):
    return replace(FINE, names=(Name(name, by_address=True, addresses=addresses),))


def test_where_everything_is_as_it_should_be_there_is_nothing_to_say():
    assert told() == []
    assert list(name_findings(lineage("a.example.com", "*.example.com"), PUBLIC)) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shop.lan", ".lan is not a public suffix"),
        ("printer.home.arpa", ".arpa is not a public suffix"),
        ("*.corp", ".corp is not a public suffix"),
        ("intranet", "it has only one label"),
        ("a.123", "its last label is a number"),
        ("a_b.example.com", "'a_b' is not a valid label"),
        ("a..example.com", "'' is not a valid label"),
        ("ab--cd.example.com", "'ab--cd' is reserved"),
        ("10.1.2.3", "10.1.2.3 is not a public address"),
        ("fd00::1", "fd00::1 is not a public address"),
    ],
)
def test_a_name_that_no_authority_signs_for_is_told_with_what_to_do(name, said):
    (finding,) = name_findings(lineage(name), PUBLIC)
    assert said in finding.what
    assert finding.do


@pytest.mark.parametrize("name", ["shop.lan", "intranet", "10.1.2.3", "127.0.0.1"])
def test_a_private_authority_may_sign_for_names_that_are_not_public(name):
    assert list(name_findings(lineage(name), PRIVATE)) == []
    assert told(at(Address("10.0.0.1")), PRIVATE) == []


def test_names_in_other_alphabets_are_names():
    assert list(name_findings(lineage("xn--bcher-kva.example.com"), PUBLIC)) == []


def test_an_address_that_leads_elsewhere_is_told_even_if_another_one_leads_here():
    wrong = Address("2606:4700::1", "another server answers (Apache), with 404")
    (said,) = told(at(Address("1.1.1.1"), wrong))
    assert said.startswith(
        "a.example.com at 2606:4700::1 does not reach this machine: another server answers "
        "(Apache), with 404: set the AAAA record of a.example.com to this machine or remove "
        "it"
    )
    assert "preflight = false" in said


def test_what_this_machine_cannot_ask_is_left_to_the_authority_if_another_address_is_ours():
    no_way = Address("2606:4700::1", "Network is unreachable", unasked=True)
    assert told(at(Address("1.1.1.1"), no_way)) == []
    assert len(told(at(no_way))) == 1
    assert len(told(at(Address("1.1.1.1", "Connection refused"), no_way))) == 2


def test_a_name_that_is_not_in_dns_is_told_unless_it_is_proven_there():
    assert "it has neither an A nor an AAAA record: create one" in told(at())[0]
    in_dns = replace(FINE, names=(Name("a.example.com"),))
    assert told(in_dns, challenges=(Challenge("dns-01"),)) == []


def test_an_address_of_a_private_network_is_told_before_a_public_authority_is_asked():
    assert "a private address" in told(at(Address("192.168.1.5")))[0]


def test_what_dns_could_not_say_is_told():
    trouble = "cannot look up a.example.com in DNS: timed out (asked 192.0.2.1)"
    assert told(replace(FINE, names=(replace(GOOD, trouble=trouble),))) == [trouble]


ALLOWED = [
    [(0, "issue", "ca.test")],
    [(0, "issue", "other.test"), (0, "issue", "CA.test")],
    [(0, "ISSUE", "ca.test; validationmethods=http-01")],
    [(0, "issue", "ca.test; accounturi=https://ca.test/acct/1; validationmethods=dns-01,http-01")],
    [(0, "issuewild", ";")],
    [(128, "issue", "ca.test")],
    [(0, "unheard", "x")],
    [(0, "iodef", "mailto:a@example.com")],
]
FORBIDDEN = [
    [(0, "issue", ";")],
    [(0, "issue", "")],
    [(0, "issue", "other.test")],
    [(0, "issue", "ca.test; validationmethods=dns-01")],
    [(0, "issue", "ca.test; accounturi=https://ca.test/acct/2")],
    [(128, "unheard", "x"), (0, "issue", "ca.test")],
]


@pytest.mark.parametrize("records", ALLOWED)
def test_caa_records_that_allow_the_authority_are_nothing_to_tell(records):
    assert told(with_caa(*records)) == []


@pytest.mark.parametrize("records", FORBIDDEN)
def test_caa_records_that_forbid_it_are_told_with_the_one_to_add(records):
    (said,) = told(with_caa(*records))
    assert 'add one: example.com CAA 0 issue "ca.test"' in said or "remove it" in said


@pytest.mark.parametrize(
    ("records", "allowed"),
    [
        ([(0, "issue", "ca.test")], True),
        ([(0, "issue", "other.test"), (0, "issuewild", "ca.test")], True),
        ([(0, "issue", "ca.test"), (0, "issuewild", "other.test")], False),
        ([(0, "issue", "ca.test"), (0, "issuewild", ";")], False),
    ],
)
def test_for_a_wildcard_the_records_of_wildcards_come_first(records, allowed):
    by_dns = {"challenges": (Challenge("dns-01"),)}
    assert (told(with_caa(*records, name="*.example.com"), **by_dns) == []) is allowed


def test_an_authority_that_does_not_say_its_name_and_an_account_not_made_yet_forbid_nothing():
    other = [(0, "issue", "other.test")]
    assert told(with_caa(*other, identities=())) == []
    bound = [(0, "issue", "ca.test; accounturi=https://ca.test/acct/2")]
    assert told(with_caa(*bound, account="")) == []


@pytest.mark.parametrize(
    ("ahead", "said"), [(3600.0, "60 minutes ahead"), (-900.0, "15 minutes behind")]
)
def test_a_clock_that_is_wrong_is_told(ahead, said):
    assert said in told(replace(FINE, clock_ahead=ahead))[0]


@pytest.mark.parametrize("ahead", [None, MAX_CLOCK_SKEW, -MAX_CLOCK_SKEW])
def test_a_clock_that_is_a_little_off_or_cannot_be_compared_is_no_reason(ahead):
    assert told(replace(FINE, clock_ahead=ahead)) == []


def test_a_disk_without_room_and_a_folder_that_cannot_be_written_are_told():
    assert told(replace(FINE, room=MIN_ROOM - 1))[0].endswith("free disk space")
    assert "inodes" in told(replace(FINE, files=MIN_FILES - 1))[0]
    assert told(replace(FINE, room=None, files=None)) == []
    (said,) = told(replace(FINE, unwritable=("/srv/c: Permission denied",)))
    assert "cannot write to /srv/c: Permission denied: give the daemon's user" in said


def test_a_proof_that_cannot_be_made_is_told_in_its_own_words():
    assert told(replace(FINE, unprovable="the provider cloudfare is not known")) == [
        "the provider cloudfare is not known"
    ]


def test_each_name_is_proven_by_the_first_challenge_that_can():
    http, dns = Challenge("http-01"), Challenge("dns-01")
    assert challenge_of("a.example.com", (http, dns)) == http
    assert challenge_of("*.example.com", (http, dns)) == dns
    assert challenge_of("1.1.1.1", (dns, http)) == http
    assert challenge_of("*.example.com", (http,)) is None
