"""What `portico cluster etcd NAME=ADDRESS` does where the cluster has an etcd already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from portico.core.model.snapshot import StoreMember
from portico.errors import NotFound, Refused

Act = Literal["add", "promote", "renew"]


def act_on_member(name: str, peer: str, members: Sequence[StoreMember]) -> Act:
    """`add` one that is not there, `promote` one that was added and has started, or `renew` its
    certificate. `peer` is the URL that it is to have. Raises Refused.
    """
    if any(not url.startswith("https:") for each in members for url in each.peers):
        raise Refused(
            "the members of etcd reach each other without TLS; nothing was changed. Add the "
            "member with `etcdctl member add`"
        )
    own = next((each for each in members if peer in each.peers), None)
    namesake = next((each for each in members if each.name == name), None)
    if namesake and namesake is not own:
        raise Refused(
            f"etcd has a member {name} at {', '.join(namesake.peers)}; nothing was changed. "
            f"Choose another name, or remove that one with `portico cluster etcd {name} --remove`"
        )
    if own is None:
        return "add"
    if own.name not in {"", name}:
        raise Refused(f"member {own.name} of etcd has that address; nothing was changed")
    return "promote" if own.is_learner and own.name else "renew"


def member_to_drop(name: str, peer: str, members: Sequence[StoreMember]) -> StoreMember | None:
    """The one of this name, or with this URL if that is not empty: before it has started it has no
    name. None where that URL is no member's any more. Raises NotFound, Refused.
    """
    for each in members:
        if each.name == name or peer in each.peers:
            if len(members) == 1:
                raise Refused(f"{name} is the only member of etcd; nothing was changed")
            return each
    if peer:
        return None
    known = ", ".join(each.name or ", ".join(each.peers) for each in members)
    raise NotFound(f"etcd has no member {name}; its members are {known}")
