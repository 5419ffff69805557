"""Who takes the connections to a port of an instance."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Socket:
    """One that takes connections to 127.0.0.1 on a port."""

    inode: int
    """Another one for each socket."""
    uid: int
    """Of the process that made it."""


@dataclass(frozen=True, slots=True)
class Family:
    """The processes of an instance: what it started, and what those started."""

    inodes: Collection[int] = frozenset()
    """Of the sockets that they hold open, as far as these can be read."""
    uids: Collection[int] = frozenset()
    hidden: Collection[int] = frozenset()
    """The users of those whose sockets cannot be read, as of programs that `sudo` has started
    where the daemon is not root."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a socket open and is none of the instance's."""

    text: str
    """`pid 812 (node) of user joe`"""
    left_behind: bool = False
    """It was started for some instance, which may have ended."""


class Owner(StrEnum):
    NOBODY = "nobody"  # nothing listens
    ITSELF = "itself"
    ROOT = "root"  # a process of root that is no instance's: docker-proxy, systemd
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class PortAnswer:
    """Who takes the connections to an instance's port."""

    owner: Owner
    holder: str = ""
    """Who it is, if it is not the instance itself."""
