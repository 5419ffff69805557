"""When to renew, and revocation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.wire import (
    RenewalInfoRequest,
    RevokeRequest,
)
from portico.core.model.pair import Facts
from tests.fakes import acme_proxy
from tests.fakes.pebble import running
from tests.orders import Acme, facts_of, needs_pebble

pytestmark = needs_pebble
HOUR = 3600.0
PAGE = "https://example.com/an-incident"


@pytest.fixture(scope="module")
def pebble(tmp_path_factory):
    with running(tmp_path_factory.mktemp("pebble")) as pebble:
        yield pebble


@pytest.fixture
def proxy(pebble):
    with acme_proxy.before(pebble) as proxy:
        yield proxy


@pytest.fixture
def acme(tmp_path, proxy):
    return Acme(tmp_path, proxy.server)


@pytest.fixture(scope="module")
def certificate(pebble, tmp_path_factory):
    """A good certificate in a file."""
    acme = Acme(tmp_path_factory.mktemp("certificate"), pebble.server)
    return issued(acme, pebble)


@pytest.fixture(scope="module")
def expired(pebble, tmp_path_factory):
    acme = Acme(tmp_path_factory.mktemp("expired"), pebble.server)
    with acme_proxy.before(pebble) as proxy:
        proxy.lifetime = (time.time() - 2 * HOUR, time.time() - HOUR)
        return issued(acme.at(proxy.server), pebble)


def issued(acme, pebble, **more):
    with acme.answering(pebble.http):
        answer = acme.ask(acme.request("a.test", **more))
    file = acme.folder / "copy.pem"
    file.write_text(answer.chain)
    return Held(facts_of(answer, "a.test"), str(file))


@dataclass
class Held:
    facts: Facts
    file: str


def window(start, end):
    text = [datetime.fromtimestamp(each, UTC).isoformat() for each in (start, end)]
    return {"suggestedWindow": {"start": text[0], "end": text[1].replace("+00:00", "Z")}}


def renewal(acme, held):
    return acme.answer(RenewalInfoRequest(acme.server, held.file))


def test_the_window_is_told_as_the_authority_gives_it(acme, proxy, certificate):
    now = float(int(time.time()))
    ahead, behind = (now + HOUR, now + 2 * HOUR), (now - 2 * HOUR, now - HOUR)
    asked = []
    for start, end in (ahead, behind):
        proxy.window = window(start, end) | {"explanationURL": PAGE}
        proxy.window_headers = {"Retry-After": "21600"}
        asked.append(renewal(acme, certificate))

    assert [(info.start, info.end) for info in asked] == [ahead, behind]
    assert [(info.explanation, info.why) for info in asked] == [(PAGE, "")] * 2
    assert asked[0].ask_again == pytest.approx(time.time() + 6 * HOUR, abs=60)
    assert asked[0].id == certificate.facts.ari_id
    assert proxy.asked[-1] == f"GET /renewal/{certificate.facts.ari_id}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("1", 60), (None, 6 * HOUR), ("99999999", 24 * HOUR), ("nonsense", 6 * HOUR)],
)
def test_the_time_until_it_is_asked_again_is_kept_within_reason(
    acme, proxy, certificate, header, seconds
):
    proxy.window = window(time.time(), time.time() + HOUR)
    proxy.window_headers = {"Retry-After": header} if header else {}

    assert renewal(acme, certificate).ask_again == pytest.approx(time.time() + seconds, abs=30)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"suggestedWindow": {"start": "soon", "end": "later"}}, "has no suggestedWindow"),
        (
            {"suggestedWindow": {"start": "2030-01-01T00:00:00", "end": "2030-01-02T00:00:00"}},
            "has no suggestedWindow",
        ),
        ({}, "has no suggestedWindow"),
        (window(2e9, 1.9e9), "ends before it starts"),
    ],
)
def test_a_window_that_cannot_be_is_none_and_asked_for_in_six_hours(
    acme, proxy, certificate, document, why
):
    proxy.window = document
    info = renewal(acme, certificate)

    assert (info.start, info.end) == (None, None)
    assert why in info.why
    assert info.ask_again == pytest.approx(time.time() + 6 * HOUR, abs=30)


def test_where_there_is_no_window_to_be_had_the_reason_is_told(acme, proxy, certificate, expired):
    without = renewal(acme, certificate)
    proxy.window = window(time.time(), time.time() + HOUR)
    proxy.trouble("/renewal/", 404, type="malformed", detail="no such certificate")
    unknown = renewal(acme, certificate)
    proxy.asked.clear()
    ended = renewal(acme, expired)

    assert without.why.endswith("does not offer renewal information")
    assert "no such certificate" in unknown.why
    assert ended.why == "the certificate has expired; renew it now"
    assert proxy.asked == []  # RFC 9773 4.3: clients must not ask for expired ones
    assert {info.start for info in (without, unknown, ended)} == {None}


def test_an_authority_in_trouble_is_told_with_the_moment_to_ask_again(acme, proxy, certificate):
    proxy.window = window(time.time(), time.time() + HOUR)
    proxy.trouble("/renewal/", 503, retry_after="900")

    with pytest.raises(AcmeFailure, match="is not available") as caught:
        renewal(acme, certificate)

    assert caught.value.failure.retry_at == pytest.approx(time.time() + 900, abs=30)


def revoke(acme, file, **more):
    return acme.answer(RevokeRequest(acme.own(), file, **more))


def test_a_certificate_is_revoked_by_its_account_and_a_second_time_is_as_good(acme, pebble):
    held = issued(acme, pebble)

    for _ in range(2):
        revoke(acme, held.file, reason=4)

    assert pebble.status(held.facts.serial) == "Revoked"


def test_what_cannot_be_revoked_is_told(acme, certificate):
    for more, why in (
        ({"reason": 2}, "use 0, 1, 3, 4 or 5"),
        ({}, "cannot revoke the certificate: 127.0.0.1"),  # it is another account's
    ):
        with pytest.raises(AcmeFailure, match=why):
            revoke(acme, certificate.file, **more)
    with pytest.raises(AcmeFailure, match="cannot read the certificate /none: No such file"):
        revoke(acme, "/none")
