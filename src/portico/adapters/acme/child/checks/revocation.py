"""Revokes a certificate. RFC 8555 7.6."""

from __future__ import annotations

from typing import Final

from portico.adapters.acme.child.checks.renewal import read_leaf
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import Denial, setup_failure
from portico.adapters.acme.child.protocol.accounts import open_account
from portico.adapters.acme.wire import RevokedAnswer, RevokeRequest

_SUBSCRIBER_REASONS: Final = frozenset({0, 1, 3, 4, 5})  # reasons that a subscriber may give


def revoke(request: RevokeRequest, context: RunContext) -> RevokedAnswer:
    leaf = read_leaf(request.certificate)
    if request.reason not in _SUBSCRIBER_REASONS:
        raise setup_failure(f"cannot revoke for reason {request.reason}; use 0, 1, 3, 4 or 5")
    authority = open_account(request.account, context)
    if not authority.directory.revoke:
        raise setup_failure(f"cannot revoke a certificate: {authority.host} does not offer it")
    try:
        authority.revoke(leaf, request.reason)
    except Denial as denied:
        if denied.code != "alreadyRevoked":
            raise
    return RevokedAnswer()
