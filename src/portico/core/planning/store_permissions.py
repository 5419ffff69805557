"""The users of a cluster in its store, where the store has users, and what each of them may do."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from portico.core.model.shared import MACHINES, PRESENCES, PROGRESS
from portico.core.model.snapshot import Permission
from portico.core.planning.mirroring import prefix_of


def keeper_name(cluster: str, serial: str) -> str:
    """Of the user that creates and removes the others. `serial` is that of the certificate with
    which the cluster was created: what an earlier try has left is another user.
    """
    return f"portico.{cluster}.{serial}"


def machine_user_name(cluster: str, machine: str, serial: str) -> str:
    """Another one for each certificate, so that a machine that is replaced keeps no rights and
    two that ask for one name at the same time do not change each other's password.
    """
    return f"portico.{cluster}.{machine}.{serial}"


def machine_password(key: bytes, user: str) -> str:
    """`key` is that of the cluster: each machine can make the users of all again, where etcd
    has lost them.
    """
    return hmac.new(key, f"password of {user}".encode(), "sha256").hexdigest()


def machine_permissions(cluster: str, machine: str) -> Sequence[Permission]:
    """Reads all keys of the cluster; writes all but those that belong to another machine."""
    prefix = prefix_of(cluster)
    permissions, first = [Permission(prefix, end_of_prefix(prefix))], prefix
    for part in sorted((MACHINES, PRESENCES, PROGRESS)):
        permissions += [
            Permission(first, prefix + part, writes=True),
            Permission(f"{prefix}{part}{machine}", writes=True),
        ]
        first = end_of_prefix(prefix + part)
    return (*permissions, Permission(first, end_of_prefix(prefix), writes=True))


def end_of_prefix(prefix: str) -> str:
    """The first key after all that begin with it; its last character is ASCII."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
