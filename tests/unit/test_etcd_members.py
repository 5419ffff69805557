"""Members of an etcd that runs: what is done about each, and what is refused."""

from __future__ import annotations

import pytest

from portico.core.model.snapshot import StoreMember
from portico.core.planning.etcd_members import act_on_member, member_to_drop
from portico.errors import PorticoError, Refused

NEW = "https://10.0.0.4:2380"


def member(number: int, name: str | None = None, *, learns: bool = False, tls: bool = True):
    scheme = "https" if tls else "http"
    peer = f"{scheme}://10.0.0.{number}:2380"
    clients = [peer.replace("2380", "2379")]
    return StoreMember(number, f"m{number}" if name is None else name, [peer], clients, learns)


THREE = [member(1), member(2), member(3)]


@pytest.mark.parametrize(
    ("members", "act"),
    [
        (THREE, "add"),
        ([*THREE, member(4, "", learns=True)], "renew"),  # it was added, and has not started
        ([*THREE, member(4, learns=True)], "promote"),
        ([*THREE, member(4)], "renew"),
    ],
)
def test_the_same_command_is_right_for_each_state_of_a_member(members, act):
    assert act_on_member("m4", NEW, members) == act


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([member(9, "m4")], "etcd has a member m4 at https://10.0.0.9:2380"),
        ([member(4, "m9")], "member m9 of etcd has that address"),
        ([member(1, tls=False)], "without TLS"),
    ],
)
def test_a_member_that_cannot_be_is_refused(members, why):
    with pytest.raises(Refused, match=why):
        act_on_member("m4", NEW, members)


def test_a_member_is_removed_by_its_name_or_by_its_address():
    assert member_to_drop("m2", "", THREE) == THREE[1]
    waiting = member(4, "", learns=True)
    assert member_to_drop("m4", NEW, [*THREE, waiting]) == waiting
    assert member_to_drop("m4", NEW, THREE) is None
    for members, why in ((THREE, "its members are m1, m2, m3"), ([member(4)], "the only member")):
        with pytest.raises(PorticoError, match=why):
            member_to_drop("m4", "", members)
