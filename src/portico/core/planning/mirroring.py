"""Whether what a store has is followed, or this machine keeps to the copy that it has of it.

A store may be wiped, or be replaced by an older copy of itself: then its content is no order to
anyone. What is in force stays in force until an operator has decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from portico.core.model.shared import (
    CLUSTER_KEY,
    RESTORE_KEY,
    RESTORED_KEY,
    SCHEMA,
    ClusterRecord,
    decode,
)
from portico.core.model.snapshot import Delete, Put, Snapshot, StoredItem, Write


def prefix_of(cluster: str) -> str:
    """All keys of a cluster begin with it."""
    return f"/portico/{cluster}/"


def reason_not_to_follow(cluster: str, mirror: Snapshot | None, found: Snapshot) -> str:
    """Why the copy on this machine stays in force; empty where the store is to be followed."""
    return reason_not_to_accept(cluster, found) or (
        _restore_reason(cluster, mirror, found) if mirror else ""
    )


def reason_not_to_accept(cluster: str, found: Snapshot) -> str:
    """The same where an operator has decided for what the store has."""
    item = found.items.get(prefix_of(cluster) + CLUSTER_KEY)
    if item is None:
        return "it has no data of this cluster: it is another store, or it was wiped"
    record = decode(ClusterRecord, item.value)
    if record is None:
        return "its key `cluster` cannot be read"
    if record.least > SCHEMA:
        return (
            f"its schema is {record.least}, and Portico of this machine knows {SCHEMA}: upgrade "
            "Portico here"
        )
    return ""


def remedy(cluster: str, found: Snapshot) -> str:
    """What an operator can do about a store that is not followed, as a sentence. Empty where a
    newer Portico is needed, as the reason says.
    """
    item = found.items.get(prefix_of(cluster) + CLUSTER_KEY)
    record = decode(ClusterRecord, item.value) if item else None
    if record is None:
        return ". `portico cluster restore` on a machine with a copy fills it"
    if record.least > SCHEMA:
        return ""
    return ". `portico cluster restore` fills it, or `portico cluster accept` follows it"


def continues(before: Snapshot, found: Snapshot) -> bool:
    """Whether it came after what was followed before, as far as that can be seen."""
    return found.revision >= before.revision and not _other_history(before, found)


def without_sessions(found: Snapshot) -> Snapshot:
    """Without what ends with a session: that says who is there now, and is not kept on disk."""
    items = {key: item for key, item in found.items.items() if not item.session}
    return Snapshot(found.revision, items)


def difference(before: Snapshot | None, after: Snapshot) -> Mapping[str, StoredItem | None]:
    """What has to be written to make one of the other; None is a key that was deleted."""
    old = before.items if before else {}
    deleted: dict[str, StoredItem | None] = dict.fromkeys(old.keys() - after.items.keys())
    return deleted | {key: item for key, item in after.items.items() if old.get(key) != item}


def values_of(found: Snapshot) -> Mapping[str, bytes]:
    """Without what ends with a session, and without what says which copy was restored."""
    items = without_sessions(found).items.items()
    return {key: item.value for key, item in items if key.split("/", 3)[-1] != RESTORED_KEY}


def _digest_of(copy: Snapshot) -> bytes:
    digest = sha256()
    for key, value in sorted(values_of(copy).items()):
        digest.update(b"%d %d " % (len(key.encode()), len(value)) + key.encode() + value)
    return digest.hexdigest().encode()


def _is_restored_from(cluster: str, mirror: Snapshot, found: Snapshot) -> bool:
    item = found.items.get(prefix_of(cluster) + RESTORED_KEY)
    return item is not None and item.value == _digest_of(mirror)


def _restore_reason(cluster: str, mirror: Snapshot, found: Snapshot) -> str:
    why = ""
    if found.revision < mirror.revision:
        why = f"it is at revision {found.revision}, and this machine has seen {mirror.revision}"
    elif key := _other_history(mirror, found):
        why = f"{key} differs from what this machine has seen"
    if not why or values_of(found) == values_of(mirror):
        return ""  # with the same values, whatever became of it, following it changes nothing
    if _is_restored_from(cluster, mirror, found):
        return ""  # what it has else was changed after that
    return f"it was restored from an older copy: {why}"


def _other_history(mirror: Snapshot, found: Snapshot) -> str:
    """A key that had another value at a revision that the mirror has all changes of."""
    return next(
        (
            key
            for key, item in without_sessions(found).items.items()
            if item.revision <= mirror.revision and mirror.items.get(key) != item
        ),
        "",
    )


def writes_to_restore(
    cluster: str, mirror: Snapshot, found: Snapshot
) -> tuple[Sequence[Write], Sequence[Write]]:
    """What makes a store without a record have the values of the copy: all writes but one of the
    record, and those that end it, because no machine follows a store without its record.
    """
    record, own, digest = (
        prefix_of(cluster) + key for key in (CLUSTER_KEY, RESTORE_KEY, RESTORED_KEY)
    )
    wanted, there = values_of(mirror), values_of(found)
    deletes: list[Write] = [Delete(key) for key in sorted(there.keys() - wanted.keys())]
    puts: list[Write] = [Put(key, each) for key, each in wanted.items() if there.get(key) != each]
    others = [each for each in (*deletes, *puts) if each.key not in {record, own}]
    restored = Put(digest, _digest_of(mirror))
    return others, [restored, Put(record, wanted[record]), Delete(own)]
