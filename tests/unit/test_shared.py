from __future__ import annotations

import pytest

from portico.core.model.shared import (
    ClusterRecord,
    Head,
    Holder,
    JoinToken,
    Presence,
    SharedMachine,
    decode,
    encode,
    ledger_key,
)


@pytest.mark.parametrize(
    "record",
    [
        ClusterRecord(least=1),
        SharedMachine(address="10.0.0.1", labels=("large",), serial="5f", state="leaving"),
        JoinToken(digest="ab" * 32, until=1.5, used="m2"),
        Presence(version="1", in_force={"default": 3}, troubles=("the disk is full",)),
        Head(number=3, served=2),
        Holder(machine="m1"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_value_is_read_as_it_was_written_also_with_fields_of_a_later_version(record):
    text = encode(record)
    assert decode(type(record), text) == record
    assert decode(type(record), b'{"later":[1],' + text[1:]) == record


DEEP = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"{}", b'{"v":2,"machine":"m1"}', b'{"machine":"m1","x":%b}' % DEEP],
)
def test_a_value_that_cannot_be_read_is_none(text):
    assert decode(Holder, text) is None


def test_entries_of_the_ledger_are_in_the_order_of_time():
    assert ledger_key(999_999_999.9, "b") < ledger_key(1_000_000_000.0, "a")
