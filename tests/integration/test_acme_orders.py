from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portico.adapters.acme.methods import Http, Manual, Standalone, TlsAlpn
from tests.addresses import free_port
from tests.fakes.pebble import running
from tests.little_nginx import LittleNginx
from tests.orders import Acme, by, facts_of, needs_pebble

pytestmark = needs_pebble

NGINX = """
worker_processes 1;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 64; }}
stream {{
    map $ssl_preread_alpn_protocols $to {{
        ~\\bacme-tls/1\\b 127.0.0.1:{alpn};
        default 127.0.0.1:{https};
    }}
    server {{ listen 127.0.0.1:{tls}; ssl_preread on; proxy_pass $to; }}
}}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{http};
        location ~ "^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$" {{
            default_type text/plain;
            return 200 "$1.{thumbprint}";
        }}
        location / {{ return 301 https://$host$request_uri; }}
    }}
}}
"""


@pytest.fixture(scope="module")
def pebble(tmp_path_factory):
    environ = {"PEBBLE_ALTERNATE_ROOTS": "2", "PEBBLE_CHAIN_LENGTH": "2"}
    with running(tmp_path_factory.mktemp("pebble"), environ=environ) as pebble:
        yield pebble


@pytest.fixture
def acme(tmp_path, pebble):
    return Acme(tmp_path, pebble.server)


@pytest.fixture
def nginx(tmp_path, pebble, acme):
    """The real nginx in front, as a generation would have it; yields its port for ALPN."""
    alpn = free_port()
    folder = tmp_path / "nginx"
    (folder / "logs").mkdir(parents=True)
    nginx = LittleNginx(folder)
    thumbprint = acme.ask_account("key").thumbprint
    ports = {"http": pebble.http, "tls": pebble.tls, "https": free_port(), "alpn": alpn}
    nginx.write(NGINX.format(thumbprint=thumbprint, **ports))
    nginx.start()
    yield alpn
    nginx.stop()


def test_nginx_answers_for_the_account_whatever_the_token(acme, nginx):
    request = acme.request("a.test", "www.a.test", "127.0.0.1")
    issued = asyncio.run(acme.child.issue(request, acme.said.append))

    facts = facts_of(issued, *request.names)
    assert facts.problems == ()
    assert acme.steps == [
        *("key", "account", "order", "answered", "answered", "answered"),
        *("proven", "finalized", "issued"),
    ]
    assert facts.not_after - facts.not_before == pytest.approx(90 * 86400, abs=2)


def test_nginx_passes_the_alpn_question_on_to_the_child(acme, nginx):
    acme.issue("a.test", "b.test", "127.0.0.1", **by(TlsAlpn(nginx)))


def test_the_child_answers_by_itself_where_no_nginx_is_wanted(acme, pebble):
    acme.issue("a.test", "127.0.0.1", **by(Standalone(pebble.http, address="127.0.0.1")))
    acme.issue("b.test", order="two", **by(TlsAlpn(pebble.tls)))


def test_a_port_that_is_taken_is_told_before_anything_is_ordered(acme, pebble):
    taken = by(Standalone(pebble.http, address="127.0.0.1"))
    with acme.answering(pebble.http):
        failure = acme.fail("a.test", **taken)
        assert "order" not in acme.steps
        acme.fail("a.test", foreseen=True, **taken)
        assert "order" in acme.steps, "a preflight has looked, and it is not done twice"

    assert failure.kind == "unready"
    assert ": Address already in use; stop the program that listens there" in failure.text


@pytest.mark.parametrize(
    ("key_type", "kind", "size"),
    [
        ("ecdsa-p256", ec.EllipticCurvePrivateKey, 256),
        ("ecdsa-p384", ec.EllipticCurvePrivateKey, 384),
        ("rsa2048", rsa.RSAPrivateKey, 2048),
        ("rsa4096", rsa.RSAPrivateKey, 4096),
    ],
)
def test_the_key_is_of_the_type_that_was_asked_for(acme, pebble, key_type, kind, size):
    with acme.answering(pebble.http):
        issued = acme.issue("a.test", key_type=key_type)

    key = load_pem_private_key(Path(issued.key).read_bytes(), None)
    assert isinstance(key, kind)
    assert key.key_size == size
    assert key.public_key() == leaf(issued).public_key()
    assert Path(issued.key).stat().st_mode & 0o777 == 0o600


def leaf(issued):
    return x509.load_pem_x509_certificate(issued.chain.encode())


def serial(issued):
    return format(leaf(issued).serial_number, "x")


def issuer(issued):
    """Of the last certificate in the chain."""
    last = x509.load_pem_x509_certificates(issued.chain.encode())[-1]
    return last.issuer.rfc4514_string().removeprefix("CN=")


def test_the_chain_is_the_one_that_the_authority_sent_and_openssl_believes_it(
    acme, pebble, tmp_path
):
    with acme.answering(pebble.http):
        issued = acme.issue("a.test")

    root, intermediates = tmp_path / "root.pem", tmp_path / "chain.pem"
    root.write_bytes(pebble.managed("/roots/0"))
    intermediates.write_text(issued.chain)
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", root, "-untrusted", intermediates, intermediates],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert verified.returncode == 0, verified.stderr
    assert issued.chain.count("BEGIN CERTIFICATE") == 3
    assert pebble.status(serial(issued)) == "Valid"


def test_a_preferred_chain_is_taken_by_its_issuer(acme, pebble):
    roots = [
        x509.load_pem_x509_certificate(pebble.managed(f"/roots/{number}")).subject
        for number in range(3)
    ]
    names = [root.rfc4514_string().removeprefix("CN=") for root in roots]

    with acme.answering(pebble.http):
        taken = [
            acme.issue("a.test", order=f"n{number}", preferred_chain=name)
            for number, name in enumerate(names)
        ]
        other = acme.issue("a.test", order="other", preferred_chain="Nobody")

    assert len(set(names)) == 3
    assert [issuer(issued) for issued in taken] == names
    assert issuer(other) == names[0]
    (note,) = acme.notes
    assert note.startswith("no chain was issued by Nobody; available: ")


def test_a_name_that_cannot_be_proven_is_told_with_the_reason_of_each(acme, pebble):
    with acme.answering(pebble.http):
        pebble.names("add-a", host="bad.test", addresses=["127.0.0.9"])
        failure = acme.fail("good.test", "bad.test")

    assert failure.kind == "unproven"
    assert list(failure.names) == ["bad.test"]
    assert "it could not connect" in failure.names["bad.test"]
    assert "127.0.0.9" in failure.names["bad.test"]
    assert failure.names["bad.test"] in failure.text


def test_after_a_failed_proof_the_next_attempt_begins_a_new_order(acme, pebble):
    acme.fail("a.test")

    with acme.answering(pebble.http):
        acme.issue("a.test")

    assert "order" in acme.steps


@pytest.mark.parametrize(
    ("names", "methods", "why"),
    [
        (["*.a.test"], (Http(),), r"\*\.a\.test: a wildcard needs dns-01"),
        (["*.a.test", "127.0.0.1"], (Manual(),), "127.0.0.1: no configured challenge"),
        (["a.test"], (), "cannot validate these names with nothing"),
    ],
)
def test_what_cannot_be_proven_with_the_challenges_at_hand_is_not_ordered(
    acme, names, methods, why
):
    failure = acme.fail(*names, methods=methods)

    assert failure.kind == "unready"
    assert re.search(why, failure.text)
    assert "order" not in acme.steps


def test_a_profile_that_the_authority_does_not_have_is_not_ordered(acme):
    failure = acme.fail("a.test", profile="shortlived")

    assert failure.text.endswith("has no profile shortlived: it has none")
    assert "order" not in acme.steps


def test_a_name_that_the_authority_refuses_is_told_in_its_words(tmp_path):
    with running(tmp_path / "pebble", domainBlocklist=["blocked.test"]) as pebble:
        failure = Acme(tmp_path, pebble.server).fail("blocked.test")

    assert failure.kind == "refused"
    assert "it does not issue for this name" in failure.text


def test_the_same_request_answers_the_same_certificate_until_it_is_forgotten(acme, pebble):
    with acme.answering(pebble.http):
        first = acme.issue("a.test")
        again = acme.ask(acme.request("A.test"))
        asyncio.run(acme.child.forget(str(acme.orders), "one"))
        other = acme.issue("a.test")

    assert again == first
    assert serial(other) != serial(first)
    assert sorted(file.name for file in (acme.orders / "one").iterdir()) == [
        "fullchain.pem",
        "order.json",
        "privkey.pem",
    ]


def test_other_names_under_the_same_order_are_another_certificate_with_another_key(acme, pebble):
    with acme.answering(pebble.http):
        first = acme.issue("a.test")
        key = Path(first.key).read_bytes()
        other = acme.issue("a.test", "b.test")

    assert serial(other) != serial(first)
    assert Path(other.key).read_bytes() != key


def test_names_that_were_proven_before_are_not_proven_again(tmp_path):
    with running(tmp_path / "p", environ={"PEBBLE_AUTHZREUSE": "100"}) as pebble:
        acme = Acme(tmp_path, pebble.server)
        with acme.answering(pebble.http):
            acme.issue("a.test")
        acme.issue("a.test", order="two")

    assert acme.steps == ["key", "order", "finalized", "issued"]


def test_half_of_all_nonces_refused_delays_and_stops_nothing(tmp_path):
    with running(tmp_path / "p", environ={"PEBBLE_WFE_NONCEREJECT": "50"}) as pebble:
        acme = Acme(tmp_path, pebble.server)
        with acme.answering(pebble.http):
            for number in range(3):
                acme.issue("a.test", "b.test", order=str(number))


def test_a_lifetime_of_six_days_is_read_from_the_certificate(tmp_path):
    with running(tmp_path / "p", certificateValidityPeriod=576000) as pebble:
        acme = Acme(tmp_path, pebble.server)
        with acme.answering(pebble.http):
            issued = acme.issue("a.test")

    facts = facts_of(issued, "a.test")
    assert facts.not_after - facts.not_before == pytest.approx(576000, abs=2)


def test_the_pair_serves_tls(acme, pebble, tmp_path):
    with acme.answering(pebble.http):
        issued = acme.issue("a.test")

    chain = tmp_path / "chain.pem"
    chain.write_text(issued.chain)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, issued.key)


def test_nothing_that_is_kept_of_an_order_holds_a_secret_but_its_key(acme, pebble):
    with acme.answering(pebble.http):
        acme.issue("a.test")

    kept = json.loads((acme.orders / "one" / "order.json").read_text())
    assert set(kept) == {"asked", "sending", "order", "account", "replaced", "published"}
    assert {file.stat().st_mode & 0o777 for file in (acme.orders / "one").iterdir()} == {0o600}
    assert (acme.orders / "one").stat().st_mode & 0o777 == 0o700
