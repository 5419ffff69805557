"""An authority that is busy, full, wrong, far or not there."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from portico.adapters.acme.wire import Server
from tests.addresses import free_port
from tests.fakes import acme_proxy
from tests.fakes.pebble import running
from tests.orders import Acme, facts_of, needs_pebble

pytestmark = needs_pebble
EXACT_SET = (
    "too many certificates (5) already issued for this exact set of identifiers in the last "
    "168h0m0s, retry after 2099-11-23 01:02:03 UTC: see https://letsencrypt.org/docs/rate-limits/"
)
DAY = 86400.0


@pytest.fixture(scope="module")
def pebble(tmp_path_factory):
    with running(tmp_path_factory.mktemp("pebble")) as pebble:
        yield pebble


@pytest.fixture
def proxy(pebble):
    with acme_proxy.before(pebble) as proxy:
        yield proxy


@pytest.fixture
def acme(tmp_path, proxy, pebble):
    acme = Acme(tmp_path, proxy.server)
    with acme.answering(pebble.http):
        yield acme


def test_a_limit_is_told_as_data_with_the_moment_that_the_authority_gives(acme, proxy):
    proxy.trouble("order-plz", 429, type="rateLimited", detail=EXACT_SET, retry_after="3600")

    failure = acme.fail("a.test")

    assert failure.kind == "limited"
    assert failure.retry_at == pytest.approx(time.time() + 3600, abs=60)
    assert "too many requests (too many certificates (5)" in failure.text
    assert "; retry after 2" in failure.text
    assert len([asked for asked in proxy.asked if "order-plz" in asked]) == 1


def test_a_limit_without_a_header_is_told_with_the_moment_in_its_words(acme, proxy):
    proxy.trouble("order-plz", 429, type="rateLimited", detail=EXACT_SET)

    moment = datetime(2099, 11, 23, 1, 2, 3, tzinfo=UTC)
    assert acme.fail("a.test").retry_at == moment.timestamp()


def test_a_date_in_retry_after_is_obeyed_as_well(acme, proxy):
    later = datetime.fromtimestamp(time.time() + 7200, UTC)
    date = format_datetime(later, usegmt=True)
    proxy.trouble("order-plz", 503, retry_after=date, detail="maintenance")

    failure = acme.fail("a.test")

    assert failure.kind == "unavailable"
    assert failure.retry_at == pytest.approx(later.timestamp(), abs=2)
    assert "is not available: it has an internal error (maintenance)" in failure.text


def test_a_short_wait_that_the_authority_asks_for_is_waited(acme, proxy):
    proxy.trouble("order-plz", 503, retry_after="1")
    proxy.trouble("authZ", 429, type="rateLimited", detail="Service busy", retry_after="1")

    begun = time.monotonic()
    acme.issue("a.test")

    assert time.monotonic() - begun > 2
    waits = [each.text for each in acme.said if each.step == "wait"]
    assert waits == [f"127.0.0.1:{proxy.port} asked to wait 1 s"] * 2
    assert not acme.notes
    assert len(proxy.orders) == 1


def test_a_wait_beyond_the_deadline_is_not_begun(acme, proxy):
    proxy.trouble("order-plz", 503, retry_after="600")

    begun = time.monotonic()
    failure = acme.fail("a.test", deadline=100.0)

    assert failure.retry_at == pytest.approx(time.time() + 600, abs=100)
    assert time.monotonic() - begun < 100


def test_a_burst_of_refused_nonces_is_sat_out(acme, proxy):
    proxy.trouble("order-plz", 400, type="badNonce", times=12)

    acme.issue("a.test")

    assert len(proxy.orders) == 1


def test_an_authority_that_accepts_no_nonce_at_all_is_told(acme, proxy):
    proxy.trouble("order-plz", 400, type="badNonce", times=1000)

    failure = acme.fail("a.test")

    assert failure.kind == "refused"
    assert "it rejected several nonces in a row" in failure.text


WINDOW = {"suggestedWindow": {"start": "2099-01-01T00:00:00Z", "end": "2099-01-02T00:00:00Z"}}


def test_a_renewal_is_ordered_as_the_replacement_of_what_it_follows(acme, proxy):
    proxy.window = WINDOW
    first = acme.issue("a.test")

    known_as = facts_of(first, "a.test").ari_id
    second = acme.issue("a.test", order="two", replaces=known_as)

    assert (first.replaced, second.replaced) == (False, True)
    assert proxy.orders[-1]["replaces"] == known_as
    assert "replaces" not in proxy.orders[0]


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (409, "alreadyReplaced", "already has a replacement order"),
        (400, "malformed", "parsing ARI CertID failed"),
        (404, "malformed", "requester account did not request the certificate being replaced"),
    ],
)
def test_what_cannot_be_replaced_is_ordered_once_more_as_a_new_one(
    acme, proxy, status, kind, detail
):
    proxy.window = WINDOW
    proxy.trouble("order-plz", status, type=kind, detail=detail)

    issued = acme.issue("a.test", replaces="abc.def")

    assert not issued.replaced
    assert "replaces" not in proxy.orders[-1]
    assert "did not accept it as a replacement" in acme.notes[0]
    assert detail in acme.notes[0]


def test_an_authority_without_renewal_information_is_told_of_no_replacement(acme, proxy):
    assert not acme.issue("a.test", replaces="abc.def").replaced
    assert "replaces" not in proxy.orders[-1]


def test_a_profile_is_asked_for_by_its_name(acme, proxy):
    proxy.profiles = {"shortlived": "six days", "classic": "ninety"}
    acme.issue("a.test", profile="shortlived")
    other = acme.fail("a.test", order="two", profile="shortlive")

    assert proxy.orders[-1]["profile"] == "shortlived"
    assert len(proxy.orders) == 1
    assert other.text.endswith("has no profile shortlive: it has classic, shortlived")


def test_each_name_that_is_refused_is_told_with_its_own_reason(acme, proxy):
    each = [
        {
            "type": f"{acme_proxy.ERROR}{kind}",
            "detail": detail,
            "identifier": {"type": "dns", "value": name},
        }
        for kind, detail, name in (
            ("caa", "CAA record for a.test prevents issuance", "a.test"),
            ("rejectedIdentifier", "forbidden by policy", "b.test"),
        )
    ]
    more = {"subproblems": each}
    proxy.trouble("order-plz", 403, type="compound", detail="see subproblems", more=more)

    failure = acme.fail("a.test", "b.test", "c.test")

    assert failure.names == {
        "a.test": "a CAA record forbids it to issue for this name "
        "(CAA record for a.test prevents issuance)",
        "b.test": "it does not issue for this name (forbidden by policy)",
    }
    assert all(f"{name}: {why}" in failure.text for name, why in failure.names.items())


def test_a_signing_request_that_is_refused_keeps_its_key_and_order(acme, proxy):
    proxy.trouble("finalize-order", 400, type="badCSR", detail="weak")
    failure = acme.fail("a.test")
    key = (acme.orders / "one" / "privkey.pem").read_bytes()

    issued = acme.issue("a.test")

    assert failure.kind == "refused"
    assert Path(issued.key).read_bytes() == key
    assert len(proxy.orders) == 1


def test_a_slow_authority_ends_at_the_deadline_and_the_next_run_goes_on(acme, proxy):
    proxy.trouble("chalZ", delay=9.0)
    begun = time.monotonic()

    failure = acme.fail("a.test", deadline=5.0)
    took = time.monotonic() - begun
    acme.issue("a.test")

    assert failure.kind in {"late", "unavailable"}
    assert took < 9
    assert len(proxy.orders) == 1


def test_an_answer_that_is_no_problem_document_is_told_as_it_is(acme, proxy):
    proxy.trouble("order-plz", 502, more={"type": "about:blank", "detail": "Bad Gateway"})

    failure = acme.fail("a.test")

    assert failure.kind == "unavailable"
    assert failure.text.endswith("is not available: Bad Gateway")


def test_an_authority_that_is_not_there_is_told_in_plain_words(tmp_path):
    port = free_port()
    acme = Acme(tmp_path, Server(f"https://127.0.0.1:{port}/dir"))

    failure = acme.fail("a.test")

    assert failure.kind == "unavailable"
    assert failure.text == (
        "cannot read the directory of the authority: "
        f"cannot reach 127.0.0.1:{port}: Connection refused"
    )


def test_an_authority_that_is_not_trusted_says_so_and_what_to_do(acme, proxy):
    failure = acme.at(Server(proxy.server.directory)).fail("a.test")

    assert failure.kind == "unavailable"
    assert "its certificate is not trusted: unable to get local issuer certificate" in failure.text
    assert "this machine's clock says 2" in failure.text
    assert "set ca_bundle" in failure.text


@pytest.mark.parametrize(
    ("directory", "bundle", "kind", "why"),
    [
        ("/", None, "refused", "refuses: status 404 without a problem document"),
        ("/roots/0", None, "unavailable", "does not follow RFC 8555"),
        ("/dir", "/there/is/none.pem", "unready", "/there/is/none.pem"),
    ],
)
def test_what_is_no_directory_is_told(acme, pebble, directory, bundle, kind, why):
    port = pebble.management if directory == "/roots/0" else pebble.acme
    server = Server(f"https://127.0.0.1:{port}{directory}", bundle or str(pebble.root))

    failure = acme.at(server).fail("a.test")

    assert failure.kind == kind, failure.text
    assert why in failure.text


def test_what_is_no_url_is_told(acme):
    failure = acme.at(Server("letsencrypt")).fail("a.test")

    assert (
        failure.text
        == "cannot read the directory of the authority: letsencrypt is not a usable URL"
    )


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_ordered(acme, proxy):
    acme.orders.write_text("in the way")

    failure = acme.fail("a.test")

    assert failure.kind == "unready"
    assert str(acme.orders) in failure.text
    assert proxy.orders == []
