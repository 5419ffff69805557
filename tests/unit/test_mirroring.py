from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.shared import CLUSTER_KEY, SCHEMA, ClusterRecord, encode
from portico.core.model.snapshot import Changes, Put, Snapshot, StoredItem
from portico.core.planning.mirroring import (
    continues,
    difference,
    prefix_of,
    reason_not_to_follow,
    remedy,
    values_of,
    without_sessions,
    writes_to_restore,
)

CLUSTER = "6a1c"
ROOT = prefix_of(CLUSTER)
OWN = StoredItem(encode(ClusterRecord(least=SCHEMA)), 2, 2)


def shared(revision: int, **items: StoredItem) -> Snapshot:
    return Snapshot(revision, {ROOT + key: item for key, item in items.items()})


def item(revision: int, value: bytes = b"", session: int = 0) -> StoredItem:
    return StoredItem(value, revision, revision, session)


MIRROR = shared(9, cluster=OWN, a=item(5), b=item(9))


@pytest.mark.parametrize(
    ("mirror", "found"),
    [
        (None, shared(2, cluster=OWN)),
        (MIRROR, MIRROR),
        (MIRROR, shared(12, cluster=OWN, b=item(12), c=item(10))),
        (MIRROR, shared(12, cluster=OWN, a=item(5), present=item(7, session=3))),
        (MIRROR, shared(7, cluster=item(5, OWN.value), a=item(6), b=item(7))),
    ],
    ids=["first look", "unchanged", "changed since", "who was there before", "same values again"],
)
def test_a_store_that_has_gone_on_from_what_is_known_is_followed(mirror, found):
    assert reason_not_to_follow(CLUSTER, mirror, found) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Snapshot(1), "no data of this cluster"),
        (Snapshot(99), "no data of this cluster"),
        (shared(99, cluster=StoredItem(b"{}", 2, 2)), "cannot be read"),
        (shared(99, cluster=StoredItem(b"\xff", 2, 2)), "cannot be read"),
        (
            shared(99, cluster=StoredItem(encode(ClusterRecord(least=SCHEMA + 1)), 98, 2)),
            "upgrade",
        ),
        (shared(8, cluster=OWN, a=item(5)), "is at revision 8, and this machine has seen 9"),
        (shared(30, cluster=OWN, a=item(5), b=item(8, b"other")), "b differs"),
        (shared(30, cluster=OWN, a=item(5, b"other"), b=item(20)), "a differs"),
        (shared(30, cluster=OWN, c=item(6)), "c differs"),
    ],
)
def test_a_store_that_is_another_one_or_an_older_copy_is_not(found, why):
    assert why in reason_not_to_follow(CLUSTER, MIRROR, found)


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (Snapshot(1), ". `portico cluster restore` on a machine with a copy fills it"),
        (shared(99, cluster=StoredItem(encode(ClusterRecord(least=SCHEMA + 1)), 98, 2)), ""),
        (shared(8, cluster=OWN), ". `portico cluster restore` fills it, or `portico cluster"),
    ],
)
def test_it_is_said_what_ends_that_a_store_is_not_followed(found, hint):
    assert remedy(CLUSTER, found).startswith(hint)
    assert bool(hint) is bool(remedy(CLUSTER, found))


KEYS = st.sampled_from("abcde")


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Of one store, a snapshot after each change."""
    seen = [shared(2, cluster=OWN)]
    for key, is_deleted, session in draw(
        st.lists(st.tuples(KEYS, st.booleans(), st.sampled_from([0, 0, 7])), min_size=1)
    ):
        number = seen[-1].revision + 1
        new: Mapping[str, StoredItem | None] = {
            ROOT + key: None if is_deleted else item(number, str(number).encode(), session)
        }
        seen.append(seen[-1].with_changes(Changes(number, new)))
    return seen


@given(histories(), st.data())
def test_whatever_was_missed_the_store_of_later_is_followed_and_that_of_earlier_is_not(seen, data):
    first = data.draw(st.integers(0, len(seen) - 1))
    second = data.draw(st.integers(first, len(seen) - 1))
    older, newer = seen[first], seen[second]
    assert reason_not_to_follow(CLUSTER, without_sessions(older), newer) == ""
    assert continues(older, newer)
    assert continues(newer, older) is (older == newer)
    is_same = values_of(older) == values_of(newer)
    assert bool(reason_not_to_follow(CLUSTER, without_sessions(newer), older)) is not is_same


@given(histories(), st.data())
def test_the_difference_makes_one_of_the_other(seen, data):
    before, after = data.draw(st.sampled_from(seen)), data.draw(st.sampled_from(seen))
    assert before.with_changes(Changes(after.revision, difference(before, after))) == after
    assert dict(difference(None, after)) == dict(after.items)


@given(histories(), st.data())
def test_a_store_that_is_restored_from_a_copy_is_followed_by_all_who_have_the_same(seen, data):
    mirror = without_sessions(data.draw(st.sampled_from(seen)))
    found = data.draw(st.sampled_from([Snapshot(1), *seen]))
    found = found.with_changes(Changes(found.revision + 1, {ROOT + CLUSTER_KEY: None}))
    for write in itertools.chain(*writes_to_restore(CLUSTER, mirror, found)):
        number = found.revision + 1
        value = item(number, write.value) if isinstance(write, Put) else None
        if value or write.key in found.items:
            found = found.with_changes(Changes(number, {write.key: value}))
        is_whole = values_of(found) == values_of(mirror)
        assert bool(reason_not_to_follow(CLUSTER, mirror, found)) is not is_whole
    assert is_whole
    number = found.revision + 1
    changed = found.with_changes(Changes(number, {ROOT + "a": item(number, b"changed since")}))
    assert reason_not_to_follow(CLUSTER, mirror, changed) == ""
    other = without_sessions(data.draw(st.sampled_from(seen)))
    is_newer = other.revision > changed.revision
    if is_newer and values_of(other) not in (values_of(mirror), values_of(changed)):
        assert "older copy" in reason_not_to_follow(CLUSTER, other, changed)
