from __future__ import annotations

import pytest

from portico.core.model.machine_views import MachineFactsView
from portico.core.model.stored import MemberHealth
from portico.core.planning.cluster_check import (
    CLOCK_TOLERANCE,
    LARGE_STORE,
    RENEWAL_NOTICE,
    MemberAnswer,
    StoreAnswer,
    digest_of,
    findings,
    machine_rows,
)

NOW = 1_800_000_000.0
FILES = {"shop": "0a"}


def member(machine: str, **more: object) -> MachineFactsView:
    return MachineFactsView(
        machine=machine,
        **{
            "version": "1.0",
            "time": NOW,
            "lists": 1,
            "files": FILES,
            "certificate_until": NOW + 2 * RENEWAL_NOTICE,
            "unreached": {},
        }
        | more,
    )


def answer(name: str, **more: object) -> MemberAnswer:
    return MemberAnswer(name, member(name, **more), asked=NOW)


OWN = member("m1")


def said(*answers: MemberAnswer, own: MachineFactsView = OWN) -> list[tuple[str, str]]:
    return [(each.severity, f"{each.machine} {each.what}") for each in findings(own, answers, NOW)]


def test_machines_that_are_alike_have_no_finding():
    assert said(answer("m2"), answer("m3")) == []


@pytest.mark.parametrize(
    ("other", "severity", "what"),
    [
        (MemberAnswer("m2", None, "it does not answer"), "error", "m2 gives no answer: it does"),
        (answer("m2", unreached={"m3": "late"}), "error", "m2 does not reach m3: late"),
        (answer("m2", time=NOW + 5.0), "warning", "m2 its clock is 5.0 s ahead of that of m1"),
        (answer("m2", time=NOW - 5.0), "warning", "m2 its clock is 5.0 s behind that of m1"),
        (answer("m2", version="1.1"), "warning", "m2 has version 1.1 of Portico"),
        (answer("m2", version=None), "warning", "m2 has version unknown of Portico"),
        (answer("m2", lists=2), "warning", "m2 has version 2 of the lists"),
        (answer("m2", files={"shop": "0b"}), "warning", "m2 has another file in force for"),
        (answer("m2", files={}), "warning", "m2 has no file in force for project shop"),
        (answer("m2", certificate_until=NOW + 60), "warning", "m2 its certificate expires at"),
        (answer("m2", certificate_until=NOW), "error", "m2 its certificate expired at"),
    ],
)
def test_what_differs_or_fails_is_found(other, severity, what):
    found = said(other, answer("m3"))
    assert any(each == severity and text.startswith(what) for each, text in found), found
    assert [each for each, _ in found] == sorted(each for each, _ in found), "errors first"


def test_the_way_to_a_machine_is_no_difference_of_clocks():
    slow = MemberAnswer("m2", member("m2", time=NOW + 4.0), asked=NOW, round_trip=8.0)
    assert slow.apart == 0.0
    just = MemberAnswer("m2", member("m2", time=NOW + CLOCK_TOLERANCE), asked=NOW)
    assert said(slow) == said(just) == []


def test_what_a_machine_does_not_say_is_unknown():
    silent = MemberAnswer("m2", MachineFactsView(machine="m2"))
    [_, row] = machine_rows(OWN, [silent])
    assert (row.answers, row.version, row.apart_s, row.certificate_until) == (
        True,
        None,
        None,
        None,
    )
    assert [text for _, text in said(silent) if "file" in text or "clock" in text] == []


@pytest.mark.parametrize(
    ("store", "severity", "what"),
    [
        (StoreAnswer("no answer"), "error", "m1 does not follow the store of the cluster: no"),
        (
            StoreAnswer(members=[MemberHealth("e1", "no leader")]),
            "error",
            " etcd at e1: no leader",
        ),
        (
            StoreAnswer(members=[MemberHealth("e1", size=LARGE_STORE + 1)]),
            "warning",
            " etcd at e1: its database has 1.6 GiB",
        ),
    ],
)
def test_a_store_that_is_not_well_is_found(store, severity, what):
    [found] = findings(OWN, [answer("m2")], NOW, store)
    assert found.severity == severity
    assert f"{found.machine} {found.what}".startswith(what)
    healthy = StoreAnswer(members=[MemberHealth("e1", size=1 << 20), MemberHealth("e2")])
    assert findings(OWN, [answer("m2")], NOW, healthy) == []


def test_the_digest_of_a_file_is_that_of_what_all_machines_have_in_common():
    file = {"apps": {"web": {"command": "run"}}, "sites": {}}
    assert digest_of(file) == digest_of({"sites": {}, "edge": {"http": 80}, **file})
    assert digest_of(file) != digest_of({**file, "sites": {"a.test": {}}})
