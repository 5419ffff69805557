"""`portico cluster join ADDRESS:PORT --token …`: the key is made here, a member signs for it."""

from __future__ import annotations

import hashlib
import http.client
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from portico import __version__
from portico.cli.cluster.invitation import Invitation, assert_consistent
from portico.cli.cluster.joining import assert_same_machine, write_machine
from portico.cli.cluster.naming import (
    Member,
    SharedPlace,
    assert_name,
    own_name,
    parse_member,
    with_unchanged,
)
from portico.cli.cluster.own_address import address_towards, assert_reachable
from portico.cli.cluster.restarting import restart_daemon
from portico.client.wire import is_reachable
from portico.core.model.joining import (
    JOIN_PATH,
    MAX_JOIN_SIZE,
    JoinAnswer,
    JoinOffer,
    JoinRequest,
    Token,
    offer_problem,
)
from portico.core.model.json_text import DECODE_ERRORS
from portico.core.model.member_verbs import CLUSTER
from portico.core.model.shared import SCHEMA
from portico.errors import Failed, PorticoError, Refused
from portico.system.clock import SystemClock
from portico.system.cluster_identity import AUTHORITY, new_cluster_folder, read_identity
from portico.system.cluster_store import StoreFile, write_cluster_key, write_store
from portico.system.connection_errors import connection_error
from portico.system.files import write_new
from portico.system.machine_certificates import new_request
from portico.system.waiting import wait_for
from portico.system.x509 import PARSE_ERRORS

if TYPE_CHECKING:
    from pathlib import Path

    from portico.cli.session import Session

TIMEOUT: Final = 30.0
"""Seconds for one question: another machine starts a Python to sign."""
PRESENT_TIMEOUT: Final = 30.0
"""Seconds from the start of the daemon until it says in the store that this machine is there."""
PRESENT_INTERVAL: Final = 0.1
_OK: Final = 200
_UNKNOWN_OUTCOMES: Final = frozenset({500, 502, 504})
"""Answers to a POST that do not say whether it was done: of nginx, or where the store did not
confirm it.
"""
_NO_STORE: Final = "machines cannot join there by a token, because its cluster has no store"
_REASONS: Final = {
    400: _NO_STORE,
    403: _NO_STORE,
    502: "the daemon of that machine does not run; start it with `portico status` there",
    503: "too many requests at a time; try again in a minute",
    504: "the daemon of that machine does not answer in time",
}


def join_by_token(session: Session, where: str, token: str, name: str, place: SharedPlace) -> None:
    """Make HOME/cluster, or add a newer certificate of the same machine to it."""
    member, parsed = parse_member(where), Token.parse(token)
    name = name or own_name()
    assert_name(name)
    if place.address:
        assert_reachable(place.address, [member.address])
    offer = _offer(member, parsed)
    authority = ssl.DER_cert_to_PEM_cert(offer.authority)
    one = read_identity(session.home)
    if one:
        assert_same_machine(one, offer.cluster, name, authority)
    key, request = new_request()
    question = JoinRequest(
        id=parsed.id,
        secret=parsed.secret,
        name=name,
        address=place.address or address_towards(member.address, member.port),
        port=place.port,
        labels=place.labels,
        store_schema=SCHEMA,
        request=request.decode(),
    )

    def joined() -> tuple[Invitation, JoinAnswer]:
        answer = _answer(member, offer, question)
        parts = offer.cluster, name, authority, answer.certificate, key.decode()
        return _consistent(Invitation(*parts), member), answer

    session.home.make()
    if one:
        _write(session.home.cluster, *joined())
    else:
        with new_cluster_folder(session.home) as folder:
            write_new(folder / AUTHORITY, authority)
            _write(folder, *joined())
    restart_daemon(session, start=True)
    wait_until_present(session, name)
    if session.json:
        session.show_json({"cluster": offer.cluster, "name": name})
        return
    what = "has a new certificate of" if one else "has joined"
    session.terminal.write(f"done: {name} {what} cluster {offer.cluster}")
    session.terminal.write("next: portico up, which applies what is in force on the others")


def wait_until_present(session: Session, name: str) -> None:
    """Until the others make a change of all machines on this one too."""

    def is_present() -> bool:
        with suppress(PorticoError):  # it has joined, whatever its daemon answers now
            view = session.client().ask(CLUSTER)
            return any(each.name == name and each.present for each in view.machines)
        return False

    reachable = is_reachable(session.home.socket)  # else it was said that it does not start
    if reachable and not wait_for(is_present, PRESENT_TIMEOUT, PRESENT_INTERVAL):
        session.terminal.write_labelled(
            "warning",
            f"the daemon of {name} is not connected to the cluster's store yet. A change of all "
            "machines leaves it out until `portico cluster show` lists it as connected",
        )


def _write(folder: Path, invitation: Invitation, answer: JoinAnswer) -> None:
    write_cluster_key(folder, answer.cluster_key)
    store = answer.store
    file = StoreFile(store.endpoints, store.user, store.password, store.plain, store.authority)
    write_store(folder, file)
    write_machine(folder, invitation)


def _offer(member: Member, token: Token) -> JoinOffer:
    """Of a machine that the token is of: nothing was sent to it."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    offer = _offer_in(_ask(member, anyone, "GET"), member)
    if hashlib.sha256(offer.authority).hexdigest() != token.fingerprint:
        raise Refused(
            f"cannot join at {member}: the token is of another cluster; it was not sent, and "
            "nothing was changed. Use an address of the cluster that created it"
        )
    if why := offer_problem(offer, __version__, SystemClock().now()):
        raise Refused(f"cannot join at {member}: {why}; nothing was changed")
    return offer


def _answer(member: Member, offer: JoinOffer, question: JoinRequest) -> JoinAnswer:
    verified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verified.check_hostname = False  # it is that of a machine of the cluster, whichever it is
    verified.minimum_version = ssl.TLSVersion.TLSv1_3
    verified.load_verify_locations(cadata=offer.authority)
    answer = _ask(member, verified, "POST", msgspec.json.encode(question))
    try:
        return msgspec.json.decode(answer, type=JoinAnswer)
    except DECODE_ERRORS as error:
        raise _confirmation_error(member, f"its answer cannot be read ({error})") from error


def _ask(member: Member, tls: ssl.SSLContext, method: str, body: bytes = b"") -> bytes:
    connection = http.client.HTTPSConnection(
        member.address, member.port, timeout=TIMEOUT, context=tls
    )
    try:
        connection.request(method, JOIN_PATH, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        status, answer = response.status, response.read(MAX_JOIN_SIZE)
    except (OSError, http.client.HTTPException) as error:
        if body:
            raise _confirmation_error(member, _connection_reason(error)) from error
        raise Failed(
            f"cannot join at {member}: {_connection_reason(error)}; nothing was changed. Use the "
            "command that `portico cluster token` prints on a machine of the cluster whose nginx "
            "runs"
        ) from error
    finally:
        connection.close()
    if body and status in _UNKNOWN_OUTCOMES:
        raise _confirmation_error(member, _reason(status, answer))
    if status != _OK:
        raise Refused(f"cannot join at {member}: {with_unchanged(_reason(status, answer))}")
    return answer


def _confirmation_error(member: Member, why: str) -> Failed:
    return Failed(
        f"{member} did not confirm that this machine has joined: {why}; it may be in the list of "
        "machines there. Create another token with `portico cluster token --replace NAME`, on "
        "another machine if there is one"
    )


def _connection_reason(error: Exception) -> str:
    return connection_error(error) if isinstance(error, OSError) else "it does not speak HTTP/1.1"


def _reason(status: int, answer: bytes) -> str:
    try:
        return str(msgspec.json.decode(answer)["error"])
    except (*DECODE_ERRORS, KeyError, TypeError):
        return _REASONS.get(status, f"it answers {status}, and is not a machine of a cluster")


def _offer_in(answer: bytes, member: Member) -> JoinOffer:
    try:
        return msgspec.json.decode(answer, type=JoinOffer)
    except DECODE_ERRORS as error:
        raise Failed(
            f"cannot join at {member}: its answer cannot be read ({error}); nothing was changed"
        ) from error


def _consistent(invitation: Invitation, member: Member) -> Invitation:
    try:
        assert_consistent(invitation)
    except PARSE_ERRORS as error:
        raise _confirmation_error(member, f"its certificate cannot be used: {error}") from error
    return invitation
