"""Whether a machine may join with what it sends, and what is recorded of it."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from pydantic import TypeAdapter, ValidationError

from portico.core.model.cluster import MachineName, parse_address
from portico.core.model.joining import SCHEMA, JoinRequest
from portico.core.model.moments import moment
from portico.core.model.shared import JoinToken, SharedMachine

MAX_PORT: Final = 65535
MAX_LABELS: Final = 20
_NAMES: Final = TypeAdapter(tuple[MachineName, ...])
_NOT_VALID: Final = "the token is not valid here"


def digest_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def reason_not_to_join(
    request: JoinRequest,
    token: JoinToken | None,
    machines: Mapping[str, SharedMachine],
    now: float,
    schema: int = 1,
) -> str:
    """Why it may not; empty if it may. `token` is what the store has under its id, and `schema`
    the one in use there.
    """
    return (
        _token_problem(request, token, now)
        or _schema_problem(request, schema)
        or _form_problem(request)
        or _place_problem(request, token.replaces if token else "", machines)
    )


def _token_problem(request: JoinRequest, token: JoinToken | None, now: float) -> str:
    if request.v != SCHEMA:
        return (
            "the two machines run different versions of Portico; install the same version on both"
        )
    digest = digest_of(request.secret).encode()
    if token is None or not hmac.compare_digest(digest, token.digest.encode()):
        return f"{_NOT_VALID}; create one with `portico cluster token`"
    if token.used:
        return f"the token was used by {token.used}; create another one"
    if now > token.until:
        return (
            f"the token was valid until {moment(token.until)}, and the clock there says "
            f"{moment(now)}; create another one, or set the clock if it is wrong"
        )
    if token.replaces not in {"", request.name}:
        return f"the token is for machine {token.replaces}, and this one is {request.name}"
    return ""


def _schema_problem(request: JoinRequest, schema: int) -> str:
    if request.store_schema >= schema:
        return ""
    return (
        f"the store of the cluster has schema {schema}, and Portico of this machine knows "
        f"{request.store_schema}; install the version that the machines of the cluster have"
    )


def _form_problem(request: JoinRequest) -> str:
    try:
        _NAMES.validate_python((request.name, *request.labels))
        is_written_well = request.address == parse_address(request.address)
    except (ValidationError, ValueError):
        is_written_well = False
    if not is_written_well or not 0 < request.port <= MAX_PORT or len(request.labels) > MAX_LABELS:
        return "its name, address, port or labels cannot be those of a machine"
    return ""


def _place_problem(
    request: JoinRequest, replaces: str, machines: Mapping[str, SharedMachine]
) -> str:
    if request.name in machines and request.name != replaces:
        return (
            f"there is a machine {request.name} already; choose another name, or create a token "
            f"with `portico cluster token --replace {request.name}`"
        )
    for name, each in machines.items():
        if name != request.name and (each.address, each.port) == (request.address, request.port):
            return f"machine {name} has the address {request.address} with port {request.port}"
    words = {
        word for name, each in machines.items() for word in each.labels if name != request.name
    }
    if request.name in words:
        return f"{request.name} is a label of another machine"
    if taken := set(request.labels) & {*machines, request.name}:
        return f"the label {min(taken)} is the name of a machine"
    return ""
