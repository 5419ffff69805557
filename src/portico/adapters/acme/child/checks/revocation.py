"""Revokes a certificate. RFC 8555 7.6."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from portico.adapters.acme.child.checks.renewal import read_leaf
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import Denial, unready
from portico.adapters.acme.child.protocol.accounts import open_account
from portico.adapters.acme.child.protocol.authority import Authority
from portico.adapters.acme.child.protocol.keys import read_jwk
from portico.adapters.acme.wire import Revocation, RevokeRequest

_USUAL: Final = frozenset({0, 1, 3, 4, 5})  # reasons that a subscriber may give


def revoke(request: RevokeRequest, context: RunContext) -> Revocation:
    leaf = read_leaf(request.certificate)
    if request.reason not in _USUAL:
        raise unready(f"cannot revoke for reason {request.reason}; use 0, 1, 3, 4 or 5")
    authority = _authority(request, context)
    if not authority.directory.revoke:
        raise unready(f"cannot revoke a certificate: {authority.host} does not offer it")
    try:
        authority.revoke(leaf, request.reason)
    except Denial as denied:
        if denied.code == "alreadyRevoked":
            return Revocation(already=True)
        raise
    return Revocation()


def _authority(request: RevokeRequest, context: RunContext) -> Authority:
    if request.account:
        return open_account(request.account, context).authority
    if not request.key:
        raise unready("cannot revoke a certificate without an account or the certificate's key")
    return Authority(request.server, context, read_jwk(Path(request.key)))
