"""Whose program answers on an instance's port.

A port proves nothing: it can be taken by any user of the machine while nobody listens on it. What
does is the socket that listens, as the kernel tells of it: who made it, and who holds it open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from portico.core.model.port_owner import Family, Holder, Owner, PortAnswer, Socket

ROOT: Final = 0


_OWNERS_BY_SEVERITY: Final = (Owner.STRANGER, Owner.ROOT, Owner.ITSELF)


def port_answer(
    sockets: Collection[Socket], family: Family, holders: Mapping[int, Holder]
) -> PortAnswer:
    """`holders` are of the sockets that the family does not hold, by inode.

    Where several listen (SO_REUSEPORT) the kernel chooses, so that each has to be the instance's.
    """
    found = {each: _owner(each, family, holders.get(each.inode)) for each in sockets}
    for owner in _OWNERS_BY_SEVERITY:
        for socket in (each for each in sockets if found[each] is owner):
            holder = holders.get(socket.inode)
            other = owner is not Owner.ITSELF and holder is not None
            return PortAnswer(owner, holder.text if other and holder else "")
    return PortAnswer(Owner.NOBODY)


def _owner(socket: Socket, family: Family, holder: Holder | None) -> Owner:
    # A stranger's socket that was handed to the instance is no more its own than the stranger.
    if socket.inode in family.inodes and socket.uid in {ROOT, *family.uids}:
        return Owner.ITSELF
    if socket.uid in family.hidden:
        return Owner.ITSELF
    # Root may do as it likes; but what an instance has left behind is not to answer for the next.
    if socket.uid == ROOT and not (holder and holder.left_behind):
        return Owner.ROOT
    return Owner.STRANGER


def port_taken_text(port: int, holder: str) -> str:
    """The reason of an instance whose port somebody else has."""
    return (
        f"port {port} is held by {holder or 'another program'}, which is not one of its processes"
    )


def passed_on_text(port: int, holder: str) -> str:
    """What is said of an instance that answers through a process of root."""
    return (
        f"gets its requests from {holder or 'a process of root'}, which listens on port {port} "
        "and is not one of its processes"
    )


def no_listener_text(port: int) -> str:
    return f"its check passes, but nothing listens on port {port} of 127.0.0.1"
