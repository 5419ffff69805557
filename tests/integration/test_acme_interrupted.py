"""A child that is killed before each of its acts in turn, and the next one that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from portico.adapters.acme.methods import Command, Dns, Http, Lookups, Rfc2136
from portico.adapters.acme.wire import AccountRequest, IssuedCertificate
from tests.fakes import acme_proxy, name_server
from tests.fakes.pebble import running
from tests.orders import Acme, answering, by, facts_of, needs_pebble

pytestmark = [needs_pebble, pytest.mark.slow]
PROGRAM = Path(__file__).parents[1] / "programs" / "acme_killed.py"
MOST_ACTS = 200


@pytest.fixture(scope="module")
def names():
    with name_server.serving("example.test") as names:
        yield names


@pytest.fixture(scope="module")
def pebble(tmp_path_factory, names):
    with running(tmp_path_factory.mktemp("pebble"), dns=names.port) as pebble:
        yield pebble


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    with running(tmp_path_factory.mktemp("other")) as pebble:
        yield pebble


@pytest.fixture(scope="module")
def proxy(pebble):
    with acme_proxy.before(pebble) as proxy:
        yield proxy


@pytest.fixture
def run(tmp_path):
    """Runs a request, killed before its n-th act or not at all."""
    words = (tmp_path / "words").open("w")
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
    )

    def run(request, before=0):
        asked = {"request": msgspec.to_builtins(request), "before": before}
        program.stdin.write(json.dumps(asked) + "\n")
        program.stdin.flush()
        return json.loads(program.stdout.readline())

    with program, words:
        yield run
        program.stdin.close()


def walk(run, proxy, folder, request_of, is_over=lambda _: False):
    """Every way in which a run can be killed, and what the next run made of it; until nothing is
    left to do but what another walk has.
    """
    for number in range(1, MOST_ACTS):
        acme = Acme(folder / str(number), proxy.server)
        request = request_of(acme)
        proxy.orders.clear()
        proxy.asked.clear()
        if not run(request, number)["killed"] or is_over(acme):
            return
        key, asked, was_sent = _key(acme), proxy.asked[-1:], bool(proxy.orders)
        ended = run(request)
        assert not ended["killed"]
        answer = ended["line"]["answer"]
        assert answer, (number, asked, ended["line"]["failure"])
        assert facts_of(msgspec.convert(answer, IssuedCertificate), *request.names).problems == ()
        assert len(proxy.orders) == 1, (number, asked)
        assert not was_sent or _key(acme) == key
        yield acme
    pytest.fail(f"not done after {MOST_ACTS} acts")


def _key(acme):
    file = acme.orders / "one" / "privkey.pem"
    return file.read_bytes() if file.exists() else None


def test_killed_at_any_moment_the_same_order_goes_on_with_the_same_key(
    run, proxy, pebble, tmp_path
):
    key = Acme(tmp_path / "account", proxy.server)
    account = key.own()

    with answering(pebble.http, key.ask_account("key").thumbprint):
        walked = list(
            walk(
                run, proxy, tmp_path, lambda acme: acme.request("a.example.test", account=account)
            )
        )

    assert len(walked) > 9  # each of them killed before another act
    for acme in walked:
        assert sorted(each.name for each in (acme.orders / "one").iterdir()) == [
            "fullchain.pem",
            "order.json",
            "privkey.pem",
        ]


def test_killed_at_any_moment_no_txt_record_stays_behind(run, proxy, names, tmp_path):
    publisher = Rfc2136(names.resolver, name_server.KEY_NAME, name_server.SECRET)
    method = Dns(publisher, Lookups((names.resolver,), names.port, timeout=10))
    domain = "b.example.test"
    theirs = ('"of somebody else"',)
    names.records[f"_acme-challenge.{domain}", "TXT"] = list(theirs)

    def request_of(acme):
        names.updates.clear()
        return acme.request(domain, f"*.{domain}", **by(method))

    def is_cleaned(acme):
        removed = any(update.startswith("-") for update in names.updates)
        return (
            removed and not json.loads((acme.orders / "one/order.json").read_text())["published"]
        )

    walked = 0
    for _ in walk(run, proxy, tmp_path, request_of, is_cleaned):
        assert names.records[f"_acme-challenge.{domain}", "TXT"] == list(theirs)
        walked += 1

    assert walked > 20


def test_killed_at_any_moment_the_operators_program_cleans_up_what_it_was_told(
    run, proxy, names, tmp_path
):
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\necho "$1 $CERTBOT_VALIDATION $CERTBOT_AUTH_OUTPUT" >> $FILE\n')
    hook.chmod(0o755)
    file = tmp_path / "said"
    file.touch()
    command = Command((str(hook), "+"), (str(hook), "-"), {"FILE": str(file), "PATH": "/bin"})
    method = Dns(command, Lookups((names.resolver,), names.port, timeout=0.5))
    names.records["_acme-challenge.c.example.test", "TXT"] = ['"x"']

    acme = Acme(tmp_path / "one", proxy.server)
    request = acme.request("c.example.test", **by(method))
    number = 0
    while True:
        number += 1
        ended = run(request, number)
        if not ended["killed"]:
            break
    assert ended["line"]["failure"]["kind"] == "unready"  # the program publishes nothing
    said = [line.split() for line in file.read_text().splitlines()]
    assert {"+", "-"} == {words[0] for words in said}
    assert said[-1] == ["-", *said[-2][1:]]


def test_killed_at_any_moment_of_a_rollover_every_account_is_still_ours(
    run, pebble, other, tmp_path
):
    servers = pebble.server, other.server
    for number in range(1, MOST_ACTS):
        acme = Acme(tmp_path / str(number), servers[0])
        both = [acme.at(server) for server in servers]
        before = [each.account() for each in both]
        change = AccountRequest(acme.own(), "rollover", also=(servers[1],))
        killed = run(change, number)["killed"]

        between = [each.account() for each in both]
        ended = run(change)["line"]["answer"]
        after = [each.account() for each in both]

        for each in (between, after):
            assert [one.created for one in each] == [False, False]
            assert [one.url for one in each] == [one.url for one in before]
        assert {one.thumbprint for one in after} == {ended["thumbprint"]}
        if not killed:
            return
    pytest.fail(f"not done after {MOST_ACTS} acts")


def test_an_answer_that_was_lost_on_the_way_costs_no_second_order(proxy, pebble, tmp_path):
    acme = Acme(tmp_path, proxy.server)
    proxy.orders.clear()
    proxy.trouble("/order-plz", 504, after=True)

    with acme.answering(pebble.http):
        failure = acme.fail("d.example.test", **by(Http()))
        acme.issue("d.example.test")

    assert failure.kind == "unavailable"
    assert acme.steps[0] == "found"
    assert len(proxy.orders) == 1


def test_of_two_lost_orders_for_the_same_names_each_goes_on_with_its_own(proxy, pebble, tmp_path):
    acme = Acme(tmp_path, proxy.server)
    proxy.orders.clear()
    proxy.trouble("/order-plz", 504, after=True, times=2)

    with acme.answering(pebble.http):
        for order in ("ecdsa", "rsa"):
            acme.fail("e.example.test", order=order)
        chains = {acme.issue("e.example.test", order=order).chain for order in ("ecdsa", "rsa")}

    assert len(chains) == len(proxy.orders) == 2
