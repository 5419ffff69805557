from __future__ import annotations

import pytest

from portico.core.model.machine_views import MachineFactsView
from portico.core.model.snapshot import MemberHealth
from portico.core.planning.cluster_check import (
    CLOCK_TOLERANCE,
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
        (
            answer("m2", time=NOW + 5.0),
            "warning",
            "m2 has a clock that is 5.0 s ahead of that of m1",
        ),
        (
            answer("m2", time=NOW - 5.0),
            "warning",
            "m2 has a clock that is 5.0 s behind that of m1",
        ),
        (answer("m2", version="1.1"), "warning", "m2 has version 1.1 of Portico"),
        (answer("m2", version=None), "warning", "m2 has version unknown of Portico"),
        (answer("m2", lists=2), "warning", "m2 has version 2 of the lists"),
        (answer("m2", files={"shop": "0b"}), "warning", "m2 has another file in force for"),
        (answer("m2", files={}), "warning", "m2 has no file in force for project shop"),
        (
            answer("m2", certificate_until=NOW + 60),
            "warning",
            "m2 has a certificate that expires at",
        ),
        (answer("m2", certificate_until=NOW), "error", "m2 has a certificate that expired at"),
    ],
)
def test_what_differs_or_fails_is_found(other, severity, what):
    found = said(other, answer("m3"))
    assert any(each == severity and text.startswith(what) for each, text in found), found
    assert [each for each, _ in found] == sorted(each for each, _ in found), "errors first"


def test_the_way_to_a_machine_is_no_difference_of_clocks():
    slow = MemberAnswer("m2", member("m2", time=NOW + 4.0), asked=NOW, round_trip=8.0)
    assert slow.clock_offset == 0.0
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
            StoreAnswer(members=[MemberHealth("e1", size=1 << 31)]),
            "warning",
            " etcd at e1: its database has 2048.0 MiB of 2048.0 MiB",
        ),
        (
            StoreAnswer(members=[MemberHealth("e1", size=9 << 20, quota=10 << 20)]),
            "warning",
            " etcd at e1: its database has 9.0 MiB of 10.0 MiB",
        ),
        (StoreAnswer(schema=2), "error", "m2 knows schema 1 of the store, and 2 is in use"),
        (
            StoreAnswer(schema=0, members=[MemberHealth("e1", "no leader", 9 << 30)]),
            "error",
            " etcd at e1: no leader",
        ),
    ],
)
def test_a_store_that_is_not_well_is_found(store, severity, what):
    [found] = findings(member("m1", store_schema=2), [answer("m2")], NOW, store)
    assert found.severity == severity
    assert f"{found.machine} {found.what}".startswith(what)
    healthy = StoreAnswer(members=[MemberHealth("e1", size=1 << 20), MemberHealth("e2")])
    assert findings(OWN, [answer("m2")], NOW, healthy) == []


def test_a_schema_that_all_machines_know_is_recommended():
    newer = [member(each, store_schema=3) for each in ("m1", "m2")]
    answers = [MemberAnswer("m2", newer[1], asked=NOW)]
    [found] = findings(newer[0], answers, NOW, StoreAnswer(schema=2))
    assert found.severity == "warning"
    assert found.what.startswith("all machines know schema 3 of the store, and 2 is in use; run")
    assert findings(newer[0], answers, NOW, StoreAnswer(schema=3)) == []


def test_how_a_certificate_is_renewed_depends_on_the_store():
    ends = member("m1", certificate_until=NOW)
    [without] = findings(ends, [], NOW)
    [found] = findings(ends, [], NOW, StoreAnswer())
    assert "invite m1 --replace" in without.what
    assert "token --replace m1" in found.what


def test_the_digest_of_a_file_is_that_of_what_all_machines_have_in_common():
    file = {"apps": {"web": {"command": "run"}}, "sites": {}}
    assert digest_of(file) == digest_of({"sites": {}, "edge": {"http": 80}, **file})
    assert digest_of(file) != digest_of({**file, "sites": {"a.test": {}}})
