"""Which keys a machine may read and write where the store has users."""

from __future__ import annotations

import pytest

from portico.core.planning.store_permissions import machine_permissions

CLUSTER = "6a1c"


def may(key: str, *, write: bool) -> bool:
    return any(
        (each.writes or not write)
        and (each.first <= key < each.end if each.end else key == each.first)
        for each in machine_permissions(CLUSTER, "m1")
    )


@pytest.mark.parametrize(
    ("key", "reads", "writes"),
    [
        ("6a1c/present/m1", True, True),
        ("6a1c/progress/m1", True, True),
        ("6a1c/present/m2", True, False),
        ("6a1c/present/m10", True, False),
        ("6a1c/present/m1/x", True, False),
        ("6a1c/present/m", True, False),
        ("6a1c/progress/m2", True, False),
        ("6a1c/progress/m10", True, False),
        ("6a1c/account", True, True),
        ("6a1c/cluster", True, True),
        ("6a1c/machines/m1", True, True),
        ("6a1c/machines/m2", True, False),
        ("6a1c/machines/m10", True, False),
        ("6a1c/presents", True, True),
        ("6a1c/revisions/web/1", True, True),
        ("6a1c/turn", True, True),
        ("6a1c/tokens/a", True, True),
        ("6a1c", False, False),
        ("6a1", False, False),
        ("6a1c0/cluster", False, False),
        ("6a1d/cluster", False, False),
        ("other/present/m1", False, False),
    ],
)
def test_a_machine_reads_all_and_writes_all_but_what_is_another_machines(key, reads, writes):
    assert may(f"/portico/{key}", write=False) == reads
    assert may(f"/portico/{key}", write=True) == writes
