"""DNS providers and programs of the operator, each behind a deadline of its own."""

from __future__ import annotations

import asyncio
import os

import pytest

from portico.adapters.acme.methods import Command, Dns, Lexicon, Lookups
from tests.fakes import name_server, power_dns
from tests.fakes.pebble import running
from tests.orders import Acme, by, facts_of, needs_pebble
from tests.waiting import eventually, is_gone

pytestmark = needs_pebble
HOOK = """#!/bin/sh
echo "$@ $CERTBOT_DOMAIN $CERTBOT_IDENTIFIER $CERTBOT_REMAINING_CHALLENGES" \\
    "$CERTBOT_ALL_DOMAINS $CERTBOT_AUTH_OUTPUT" >> "$SAID"
{more}
"""


@pytest.fixture(scope="module")
def names():
    with name_server.serving("example.test") as names:
        yield names


@pytest.fixture(scope="module")
def power(names):
    with power_dns.serving(names, "example.test") as power:
        yield power


@pytest.fixture(scope="module")
def pebble(tmp_path_factory, names):
    with running(tmp_path_factory.mktemp("pebble"), dns=names.port) as pebble:
        yield pebble


@pytest.fixture
def acme(tmp_path, pebble):
    return Acme(tmp_path, pebble.server)


@pytest.fixture
def lookups(names):
    return Lookups((names.resolver,), names.port, timeout=10.0)


def provider(power, lookups, name="powerdns", token=power_dns.TOKEN, deadline=120.0):
    options = {"auth_token": token, "pdns_server": power.url}
    return Dns(Lexicon(name, options, deadline), lookups)


def test_a_provider_of_lexicon_publishes_and_takes_away(acme, names, power, lookups):
    record = "_acme-challenge.a.example.test"
    names.records[record, "TXT"] = ['"of another client"']

    acme.issue("a.example.test", "*.a.example.test", **by(provider(power, lookups)))

    assert acme.steps.count("published") == acme.steps.count("cleaned") == 2
    assert names.txt(record) == {"of another client"}


@pytest.mark.parametrize(
    ("name", "token", "why"),
    [
        (
            "powerdns",
            "wrong",
            "cannot find the zone of _acme-challenge.b.example.test at powerdns",
        ),
        ("powrdns", power_dns.TOKEN, "This provider (powrdns) is not supported by Lexicon"),
        ("powerdns", "", "PowerDNS API key not defined (auth_token)"),
    ],
)
def test_what_keeps_a_provider_out_is_told_before_anything_is_ordered(
    acme, power, lookups, name, token, why
):
    failure = acme.fail("b.example.test", **by(provider(power, lookups, name, token)))

    assert failure.kind == "unready"
    assert why in failure.text
    assert "order" not in acme.steps


def test_a_provider_that_hangs_is_left_at_its_deadline(acme, power, lookups):
    power.delay = 5.0
    try:
        failure = acme.fail("b.example.test", **by(provider(power, lookups, deadline=2.0)))
    finally:
        power.delay = 0.0

    assert failure.text.endswith("at powerdns: no answer within 2 s")


class Hook:
    """A program of the operator that writes down what it was told."""

    def __init__(self, folder, more):
        self.path, self.said_in = folder / "hook", folder / "said"
        self.path.write_text(HOOK.format(more=more))
        self.path.chmod(0o755)

    def by(self, lookups, **more):
        environ = {"PATH": os.environ["PATH"], "SAID": str(self.said_in), "HERE": "1"}
        settings = {"auth": (str(self.path), "auth"), "cleanup": (str(self.path), "clean")}
        return by(Dns(Command(**(settings | {"environ": environ} | more)), lookups))

    @property
    def said(self):
        return [line.split() for line in self.said_in.read_text().splitlines()]


def test_a_program_is_told_in_certbots_variables(acme, names, lookups, tmp_path):
    # As operators have it: something of their own that publishes, here a file next to the server.
    hook = Hook(tmp_path, 'echo "$CERTBOT_VALIDATION" >> "$SAID.$1"; echo zone-4711')
    published = tmp_path / "said.auth"

    def publish(progress):
        acme.said.append(progress)
        if progress.step == "published":
            values = [f'"{value}"' for value in published.read_text().split()]
            names.records["_acme-challenge.c.example.test", "TXT"] = values

    request = acme.request("c.example.test", "*.c.example.test", **hook.by(lookups))
    issued = asyncio.run(acme.child.issue(request, publish))

    domain = "c.example.test"
    assert facts_of(issued, *request.names).problems == ()
    assert hook.said == [
        ["auth", domain, domain, "1", domain],
        ["auth", domain, domain, "0", domain],
        ["clean", domain, domain, "0", "zone-4711"],
        ["clean", domain, domain, "0", "zone-4711"],
    ]
    assert published.read_text() == (tmp_path / "said.clean").read_text()


def test_a_program_that_fails_is_told_with_its_words_and_cleaned_up_after(acme, lookups, tmp_path):
    hook = Hook(tmp_path, '[ "$1" = clean ] || { echo "no credentials" >&2; exit 3; }')

    failure = acme.fail("d.example.test", **hook.by(lookups))

    assert failure.kind == "unready"
    assert failure.text.endswith("for d.example.test: it exited with code 3: no credentials")
    assert [words[0] for words in hook.said] == ["auth", "clean"]


def test_a_program_that_hangs_is_stopped_with_all_that_it_has_started(acme, lookups, tmp_path):
    hook = Hook(tmp_path, '[ "$1" = clean ] || { sleep 60 & echo $! > "$SAID.pid"; wait; }')

    failure = acme.fail("d.example.test", **hook.by(lookups, deadline=1.0))

    assert "it timed out after 1 s and was stopped" in failure.text
    assert_gone(int((tmp_path / "said.pid").read_text()))


def assert_gone(pid):
    eventually(lambda: is_gone(pid))


def test_a_program_that_is_not_there_is_told_before_anything_is_ordered(acme, lookups, tmp_path):
    hook = Hook(tmp_path, "")

    failure = acme.fail("d.example.test", **hook.by(lookups, cleanup=("no-such-program",)))

    assert failure.text == ("cannot run no-such-program for d.example.test: no such program")
    assert "order" not in acme.steps
    assert not hook.said_in.exists()
