"""Calls to etcd's JSON gateway, at whichever of its members answers."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from portico.adapters.store.etcd.connection import Connection, ConnectionLost, connect
from portico.adapters.store.etcd.wire import (
    DATABASE_IS_FULL,
    INVALID_ARGUMENT,
    NO_AUTHENTICATION,
    NO_LEADER,
    NO_SPACE,
    NOT_IN_SYNC,
    OLD_REVISION,
    PERMISSION_DENIED,
    REFUSALS,
    TOO_FEW_MEMBERS,
    UNAUTHENTICATED,
    Answer,
    Refusal,
)
from portico.core.model.json_text import DECODE_ERRORS
from portico.core.model.snapshot import StoreAddress
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.ports.store import OutcomeUnknown, StoreUnavailable

CALL_TIMEOUT: Final = 2.8
"""Seconds for a call, over all members: an operator is answered within 3 s."""
SEARCH_TIMEOUT: Final = 1.5
"""Of those, for finding a member that can be asked for a change."""
CHANGE_TIMEOUT: Final = CALL_TIMEOUT - SEARCH_TIMEOUT
MEMBER_TIMEOUT: Final = 0.9
"""For one member, where another one can be asked the same."""
RETRY_PAUSE: Final = 0.2
MAX_ANSWER_SIZE: Final = 1 << 26
"""Bytes; what 50 machines share has less than 2 MB."""
NEEDS_LEADER: Final = ("Grpc-Metadata-hasleader", "true")
"""With it a member that is cut from the others ends a watch instead of saying nothing."""
MAX_REASON_LENGTH: Final = 300
"""Characters of what a member says is wrong."""
_TOKEN: Final = re.compile("[!-~]+")
T = TypeVar("T")


class RefusedByMember(Exception):
    def __init__(self, refusal: Refusal, status: int = 0) -> None:
        self.message = refusal.message[:MAX_REASON_LENGTH]
        super().__init__(self.message)
        self.code = refusal.code or refusal.grpc_code
        self.is_unauthenticated = (
            self.code == UNAUTHENTICATED or status == 401 or refusal.message == OLD_REVISION  # noqa: PLR2004
        )


class Gateway:
    def __init__(self, address: StoreAddress, clock: Clock) -> None:
        self._address, self._clock = address, clock
        self._tls = _context(address)
        self._current = 0
        """Which of the endpoints is asked first: the one that has answered last."""
        self._token = ""
        self._idle: Connection | None = None
        self._why: dict[str, str] = {}
        """By endpoint, why it could not be asked last."""

    @property
    def endpoints(self) -> Sequence[str]:
        return self._address.endpoints

    def use(self, endpoints: Sequence[str]) -> None:
        """From now on, instead of those before. Raises Failed, with those before kept, where a
        file for TLS cannot be used.
        """
        address = replace(self._address, endpoints=endpoints)
        self._tls = self._tls or _context(address)
        self._address, self._current = address, 0

    @property
    def url(self) -> str:
        return self._address.endpoints[self._current]

    async def read(
        self, path: str, body: object, kind: type[T], *, seconds: float = CALL_TIMEOUT
    ) -> T:
        """Ask one member after another until one answers: the call changes nothing, or may be made
        twice. Raises StoreUnavailable, Failed.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for _ in self._address.endpoints:
                        if answer := await self._read_at_member(path, body, kind):
                            return answer
                    await self._clock.sleep(RETRY_PAUSE)
        except TimeoutError:
            self._token = ""  # an etcd that was wiped waits for the revision of an older token
            raise self._unavailable_error() from None

    async def change(self, path: str, body: object, kind: type[T]) -> T:
        """Ask once, of a member that has just answered. Raises StoreUnavailable, OutcomeUnknown,
        Failed.
        """
        url, end = self.url, asyncio.get_running_loop().time() + CHANGE_TIMEOUT
        try:
            async with asyncio.timeout_at(end):
                connection = await self._connection(url)
        except (TimeoutError, ConnectionLost) as error:
            self.leave_member(url, str(error))
            raise self._unavailable_error() from error
        try:
            async with asyncio.timeout_at(end):
                return await self._answer(connection, path, body, kind)
        except (TimeoutError, ConnectionLost) as error:
            self.leave_member(url, str(error))
            raise self._unknown_outcome() from error
        except RefusedByMember as refusal:
            if refusal.message in {NO_LEADER, TOO_FEW_MEMBERS}:
                self.leave_member(url, refusal.message)
                raise self._unavailable_error() from refusal
            if refusal.code not in REFUSALS:
                self.leave_member(url, refusal.message)
                raise self._unknown_outcome() from refusal
            raise self._error_of(refusal) from refusal

    async def ask_member(self, url: str, path: str, kind: type[T]) -> T:
        """Raises as `answer_of_member`."""
        try:
            return decoded_answer(await self.answer_of_member(url, path), kind)
        except ConnectionLost as error:
            raise StoreUnavailable(str(error)) from error

    async def answer_of_member(self, url: str, path: str, method: str = "POST") -> bytes:
        """On a connection of its own. Raises StoreUnavailable with why it gives no answer."""
        try:
            async with asyncio.timeout(MEMBER_TIMEOUT):
                connection = await connect(url, self._tls)
                with closing(connection):
                    await self._send(connection, path, {}, [], method)
                    return await _all_of(connection)
        except TimeoutError:
            raise StoreUnavailable("it does not answer in time") from None
        except (ConnectionLost, RefusedByMember) as error:
            raise StoreUnavailable(str(error)) from error

    @asynccontextmanager
    async def stream(self, path: str, body: object) -> AsyncGenerator[Connection, None]:
        """The connection on which the answer comes. Raises ConnectionLost, RefusedByMember and
        TimeoutError, as what is done with it may; the member is then left.
        """
        url = self.url
        try:
            async with asyncio.timeout(MEMBER_TIMEOUT) as deadline:
                connection = await connect(url, self._tls)
                with closing(connection):
                    await self._send(connection, path, body, [NEEDS_LEADER])
                    deadline.reschedule(None)
                    yield connection
        except (ConnectionLost, RefusedByMember, TimeoutError) as error:
            self.leave_member(url, str(error))
            raise

    async def close(self) -> None:
        if self._idle:
            self._idle.close()
            self._idle = None

    async def _read_at_member(self, path: str, body: object, kind: type[T]) -> T | None:
        """Its answer; None where another member is to be asked."""
        url = self.url
        try:
            async with asyncio.timeout(MEMBER_TIMEOUT):
                return await self._answer(await self._connection(url), path, body, kind)
        except (TimeoutError, ConnectionLost) as error:
            self.leave_member(url, str(error))
        except RefusedByMember as refusal:
            if refusal.code in REFUSALS:
                raise self._error_of(refusal) from refusal
            self.leave_member(url, refusal.message)
        return None

    async def _connection(self, url: str) -> Connection:
        """One on which a request can be sent."""
        idle, self._idle = self._idle, None
        if idle and idle.is_reusable and idle.url == url:
            return idle
        if idle:
            idle.close()
        return await connect(url, self._tls)

    async def _answer(self, connection: Connection, path: str, body: object, kind: type[T]) -> T:
        try:
            await self._send(connection, path, body, [])
            answer = decoded_answer(await _all_of(connection), kind)
        finally:
            if self._idle is None and connection.is_reusable:
                self._idle = connection
            else:
                connection.close()
        self._why.pop(connection.url, None)
        return answer

    async def _send(
        self,
        connection: Connection,
        path: str,
        body: object,
        headers: list[tuple[str, str]],
        method: str = "POST",
    ) -> None:
        """Send a request that is not refused. Raises RefusedByMember.

        A token that has expired makes every request fail that it is sent with, `authenticate` as
        well.
        """
        for last in (False, True):
            if self._address.user and not self._token:
                self._token = await self._authenticate(connection)
            about = [*headers, ("Authorization", self._token)] if self._token else headers
            status = await connection.ask(path, body, about, method)
            if status < 400:  # noqa: PLR2004 - RFC 9110 15.5
                return
            refusal = await _refusal(connection, status)
            if last or not (refusal.is_unauthenticated and self._address.user):
                raise refusal
            self._token = ""

    async def _authenticate(self, connection: Connection) -> str:
        """A token; nothing where the store takes requests of everyone."""
        body = {"name": self._address.user, "password": self._address.password}
        status = await connection.ask("/v3/auth/authenticate", body, [])
        if status < 400:  # noqa: PLR2004
            token = decoded_answer(await _all_of(connection), Answer).token
            if _TOKEN.fullmatch(token):
                return token
            raise ConnectionLost("it does not answer as etcd does: its token cannot be used")
        refusal = await _refusal(connection, status)
        if refusal.message == NO_AUTHENTICATION:
            return ""
        raise refusal

    def leave_member(self, url: str, why: str) -> None:
        """Ask another one first, unless another call has left it already."""
        self._why[url] = why[:MAX_REASON_LENGTH] or "it does not answer"
        if url == self.url:
            self._current = (self._current + 1) % len(self._address.endpoints)

    def _unavailable_error(self) -> StoreUnavailable:
        return StoreUnavailable(f"cannot reach the store of the cluster: {self._reasons()}")

    def _unknown_outcome(self) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"the store of the cluster did not confirm the change ({self._reasons()}): it may "
            "have been made; look at `portico cluster show` before you try again"
        )

    def _reasons(self) -> str:
        urls = self._address.endpoints
        return "; ".join(f"{url}: {self._why.get(url, 'does not answer')}" for url in urls)

    def _error_of(self, refusal: RefusedByMember) -> Exception:
        """What an operator has to change, if it is that."""
        if refusal.message == NO_SPACE:
            return StoreUnavailable(
                f"etcd at {self.url} refuses changes because {DATABASE_IS_FULL}"
            )
        if refusal.message == NOT_IN_SYNC:
            return Failed(
                "the new member of etcd does not have all data yet; nothing was changed. Start "
                "it, and try again in a minute"
            )
        if refusal.code == PERMISSION_DENIED:
            user = self._address.user or "without a user"
            return Failed(
                f"etcd at {self.url} does not permit this to {user}; nothing was changed"
            )
        is_about_user = refusal.code == INVALID_ARGUMENT and "user" in refusal.message
        if refusal.is_unauthenticated or is_about_user:
            return StoreUnavailable(
                f"etcd at {self.url} refuses user {self._address.user!r}: {refusal.message}"
            )
        return StoreUnavailable(f"etcd at {self.url} refuses: {refusal.message}")


async def _all_of(connection: Connection) -> bytes:
    answer = bytearray()
    while data := await connection.data():
        answer += data
        if len(answer) > MAX_ANSWER_SIZE:
            raise ConnectionLost(f"its answer is longer than {MAX_ANSWER_SIZE >> 20} MiB")
    return bytes(answer)


async def _refusal(connection: Connection, status: int) -> RefusedByMember:
    answer = await _all_of(connection)
    try:
        return RefusedByMember(decoded_answer(answer, Refusal), status)
    except ConnectionLost:
        raise ConnectionLost(f"it answered {status}, which is not an answer of etcd") from None


def decoded_answer(answer: bytes, kind: type[T]) -> T:
    """What answers there may be anything: an answer that cannot be read is no answer."""
    try:
        return msgspec.json.decode(answer, type=kind, strict=False)
    except DECODE_ERRORS as error:
        raise ConnectionLost(f"it does not answer as etcd does: {error}") from error


def refusal_message(error: StoreUnavailable) -> str:
    """What etcd said; empty where it refused nothing."""
    cause = error.__cause__
    return cause.message if isinstance(cause, RefusedByMember) else ""


def _context(address: StoreAddress) -> ssl.SSLContext | None:
    """Raises Failed where a file cannot be used."""
    if not any(url.startswith("https") for url in address.endpoints):
        return None
    try:
        context = ssl.create_default_context(
            cafile=address.authority or None, cadata=address.more_authorities or None
        )
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(filter(None, (address.authority, address.certificate, address.key)))
        raise Failed(f"cannot use the certificates for etcd ({files}): {error}") from error
    return context
