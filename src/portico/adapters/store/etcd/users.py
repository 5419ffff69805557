"""Users of etcd, each with a role of the same name (rpc.proto: service Auth)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portico.adapters.store.etcd.gateway import Gateway, refusal_message
from portico.adapters.store.etcd.wire import NO_AUTHENTICATION, Answer, encode
from portico.core.model.snapshot import Permission, StoreUser
from portico.ports.store import StoreUnavailable

ROOT: Final = "root"
"""The role that may do everything."""
_REPEATED_CALL_MESSAGES: Final = frozenset(
    {
        "etcdserver: role name already exists",
        "etcdserver: user name already exists",
        "etcdserver: role name not found",
        "etcdserver: user name not found",
    }
)
"""What a call that is repeated is refused for."""


async def has_users(gateway: Gateway, user: StoreUser) -> bool:
    body = {"name": user.name, "password": user.password}
    try:
        await gateway.read("/v3/auth/authenticate", body, Answer)
    except StoreUnavailable as error:
        if refusal_message(error) == NO_AUTHENTICATION:
            return False
        raise
    return True


async def add_user(gateway: Gateway, user: StoreUser, permissions: Sequence[Permission]) -> None:
    role = user.name if permissions else ROOT
    if permissions:
        await _ensure(gateway, "role/add", {"name": role})
    for each in permissions:
        await _ensure(gateway, "role/grant", {"name": role, "perm": _encode_permission(each)})
    await _ensure(gateway, "user/add", {"name": user.name, "password": user.password})
    await _ensure(gateway, "user/grant", {"user": user.name, "role": role})


async def remove_user(gateway: Gateway, name: str) -> None:
    await _ensure(gateway, "user/delete", {"name": name})
    await _ensure(gateway, "role/delete", {"role": name})


async def _ensure(gateway: Gateway, path: str, body: object) -> None:
    try:
        await gateway.read(f"/v3/auth/{path}", body, Answer)
    except StoreUnavailable as error:
        if refusal_message(error) not in _REPEATED_CALL_MESSAGES:
            raise


def _encode_permission(permission: Permission) -> dict[str, str]:
    return {
        "permType": "READWRITE" if permission.writes else "READ",
        "key": encode(permission.first),
        "range_end": encode(permission.end),
    }
