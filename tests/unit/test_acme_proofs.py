from __future__ import annotations

import pytest

from portico.adapters.acme.child.challenges.dns.lookup import split_address
from portico.adapters.acme.child.challenges.responses import proofs, response_plan, server_name
from portico.adapters.acme.child.documents import (
    Authorization,
    Challenge,
    Identifier,
    key_authorization,
    txt_value,
)
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.methods import Command, Dns, Http, Manual, Standalone, TlsAlpn

DNS = Dns(Command(("hook",)))
ALL = ("http-01", "dns-01", "tls-alpn-01")


def authorization(name, offered=ALL):
    wildcard = name.startswith("*.")
    challenges = tuple(Challenge(each, f"https://ca/{each}", "token") for each in offered)
    identifier = Identifier.of(name.removeprefix("*."))
    return Authorization(identifier, "pending", challenges, wildcard)


def chosen(methods, *names, offered=ALL):
    found = proofs([authorization(name, offered) for name in names], methods, "thumb")
    return {proof.name: proof.method.kind for proof in found}


def test_each_name_is_proven_by_the_first_method_that_can():
    assert chosen((Http(), DNS), "a.test", "*.b.test", "192.0.2.1") == {
        "a.test": "http-01",
        "b.test": "dns-01",
        "192.0.2.1": "http-01",
    }
    assert chosen((DNS, TlsAlpn(1)), "a.test", "2001:db8::1") == {
        "a.test": "dns-01",
        "2001:db8::1": "tls-alpn-01",
    }
    assert chosen((TlsAlpn(1), Standalone()), "a.test", offered=("http-01",)) == {
        "a.test": "standalone"
    }


def test_all_names_that_cannot_be_proven_are_told_at_once():
    with pytest.raises(AcmeFailure) as caught:
        list(response_plan(["a.test", "*.b.test", "*.c.test"], (Http(),)))

    assert caught.value.failure.names == {
        "*.b.test": "a wildcard needs dns-01",
        "*.c.test": "a wildcard needs dns-01",
    }
    with pytest.raises(AcmeFailure, match=r"a.test: the authority offers dns-01"):
        proofs([authorization("a.test", ("dns-01",))], (Http(),), "thumb")


def test_a_person_is_told_a_record():
    [found] = proofs([authorization("*.a.test")], (Manual(),), "thumb")

    assert found.put.where == "_acme-challenge.a.test"
    assert found.put.value == txt_value(key_authorization("token", "thumb"))


def test_the_value_of_a_record_is_that_of_rfc_8555():
    # Computed by openssl: printf token.thumb | openssl dgst -sha256 -binary | basenc --base64url
    assert txt_value(key_authorization("token", "thumb")) == (
        "lCdftpJCXapaZHkBGIZbcubeKW8RmA0jSG_aZN01zbU"
    )


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("a.test", "a.test"),
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        (
            "2001:db8::1",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        ),
    ],
)
def test_addresses_are_asked_for_by_their_reverse_names(name, asked_for):
    assert server_name(Identifier.of(name)) == asked_for


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_an_address_may_have_a_port(text, pair):
    assert split_address(text) == pair


@pytest.mark.parametrize("text", ["", "ns1.example.com", "192.0.2.1:x", "192.0.2.256"])
def test_what_is_no_address_is_told(text):
    with pytest.raises(AcmeFailure, match="not an address such as"):
        split_address(text)
