from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.acme.child.challenges.dns.lexicon_child import without_secrets
from portico.adapters.acme.child.documents import Problem, problem_of
from portico.adapters.acme.child.failures import FailedAnswer, denial, explanation, retry_after
from portico.adapters.acme.wire import REQUEST, IssueRequest, Request

NOW = 1_790_000_000.0
URN = "urn:ietf:params:acme:error:"


def denied(kind, detail="", status=403, seconds=None):
    answered = FailedAnswer("order a certificate", "ca.example", status, NOW, seconds)
    return denial(Problem(URN + kind, detail), answered)


def test_a_limit_is_told_in_the_authoritys_words():
    detail = "too many new orders (300) from this account in the last 3h0m0s"
    failure = denied("rateLimited", detail, 429)

    assert failure.kind == "limited"
    assert detail in failure.text


@pytest.mark.parametrize(
    ("detail", "seconds", "retry_at"),
    [
        ("", 60.0, NOW + 60),
        ("retry after 2030-01-02 03:04:05 UTC", None, 1893553445.0),
        ("retry after 2030-01-02T03:04:05Z", None, 1893553445.0),
        ("retry after 2030-01-02 03:04:05 UTC", 60.0, NOW + 60),
        ("retry after 1970-01-01 00:18:15 UTC: see the page", None, None),  # seen in production
        ("", None, None),
    ],
)
def test_the_moment_to_ask_again_is_the_headers_else_that_in_the_words(detail, seconds, retry_at):
    assert denied("rateLimited", detail, 429, seconds).retry_at == retry_at


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "refused"), (429, "limited"), (500, "unavailable")]
)
def test_a_refusal_is_told_from_trouble_of_the_authority(status, kind):
    assert denied("malformed", status=status).kind == kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Mon, 21 Sep 2026 13:20:00 GMT", 0.0),
        ("Fri, 25 Sep 2026 13:20:00 GMT", 342400.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, NOW) == seconds


@given(st.binary(max_size=600), st.integers(min_value=400, max_value=599))
def test_whatever_an_authority_answers_there_are_words_for_it(body, status):
    text = explanation(problem_of(body, status))

    assert text.strip()
    assert "\n" not in text


def test_a_problem_of_an_unknown_type_is_told_in_its_own_words():
    assert explanation(Problem("https://ca.example/errors/17", "no such thing")) == "no such thing"
    assert explanation(Problem("https://ca.example/errors/17")) == (
        "its answer was https://ca.example/errors/17"
    )


def test_secrets_are_cut_out_of_what_providers_say():
    options = {"auth_token": "abcdef-123", "auth_username": "x", "more": "abcdef-123-longer"}

    said = without_secrets("GET /?key=abcdef-123-longer and abcdef-123 for x", options)

    assert said == "GET /?key=*** and *** for x"


def test_a_request_is_the_same_after_its_way_to_the_child():
    methods = [
        {"kind": "dns-01", "publisher": {"kind": "command", "auth": ["hook"]}},
        {"kind": "tls-alpn-01", "port": 4430},
        {"kind": "http-01"},
    ]
    document = {
        "act": "issue",
        "account": {"server": {"directory": "https://ca.example/dir"}, "key": "/k.pem"},
        "order": "a.test.1",
        "folder": "/orders",
        "names": ["a.test"],
        "methods": methods,
    }

    request = msgspec.convert(document, Request)

    assert isinstance(request, IssueRequest)
    assert REQUEST.decode(msgspec.json.encode(request)) == request
