"""Watches over etcd's JSON gateway, and how it is noticed that one of them is silent.

A member that is stopped, or cut from the client, sends nothing and closes nothing. So a watch is
opened again where it left off every RENEWAL_INTERVAL seconds, and as soon as an answer to another
call shows that the store has changed while the watch said nothing. Once a connection is lost,
what comes next may be of another history (all members stopped, and started from a copy): then the
watch ends, and what the store has is to be read and compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from portico.adapters.store.etcd.connection import Connection, ConnectionLost
from portico.adapters.store.etcd.gateway import Gateway, RefusedByMember, decoded_answer
from portico.adapters.store.etcd.wire import Event, StreamLine, WatchAnswer, decode, keys_from
from portico.core.model.snapshot import Changes, StoredItem
from portico.ports.clock import Clock
from portico.ports.store import WatchEnded

RENEWAL_INTERVAL: Final = 30.0
SILENCE_INTERVAL: Final = 1.0
"""Seconds after which a watch that said nothing is compared with what other answers said."""
MAX_LINE_SIZE: Final = 1 << 24
"""Bytes of one message."""


class Watch:
    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway, self._clock = gateway, clock
        self.newest = 0
        """The highest revision that an answer to a call had."""

    async def changes(self, prefix: str, after: int) -> AsyncGenerator[Changes, None]:
        """See ports.Store.watch."""
        try:
            while True:
                async with (
                    self._gateway.stream("/v3/watch", _request(prefix, after)) as stream,
                    aclosing(self._answers(stream, after)) as answers,
                ):
                    async for answer in answers:
                        if found := _changes(answer):
                            after = found.revision
                            yield found
        except (ConnectionLost, RefusedByMember, TimeoutError) as error:
            raise WatchEnded(str(error) or "it does not answer") from error

    async def _answers(self, stream: Connection, after: int) -> AsyncGenerator[WatchAnswer, None]:
        """Until it is time to open the watch again."""
        lines, known = _Lines(), 0
        until = self._clock.monotonic() + RENEWAL_INTERVAL
        while (now := self._clock.monotonic()) < until:
            try:
                async with asyncio.timeout(min(SILENCE_INTERVAL, until - now)):
                    data = await stream.data()
            except TimeoutError:
                if known == 0:
                    raise
                if known < self.newest:
                    return
                continue
            if not data:
                raise ConnectionLost("it closed the connection")
            for answer in lines.answers(data):
                _assert_continues(answer, after)
                known = max(known, answer.header.revision)
                yield answer


class _Lines:
    """Messages of a stream, one a line; the last line that came may be a part of one."""

    def __init__(self) -> None:
        self._rest = b""

    def answers(self, data: bytes) -> list[WatchAnswer]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_SIZE:
            raise ConnectionLost(f"a message is longer than {MAX_LINE_SIZE >> 20} MiB")
        return [_answer(line) for line in lines if line]


def _answer(line: bytes) -> WatchAnswer:
    message = decoded_answer(line, StreamLine)
    if message.error:
        raise RefusedByMember(message.error)
    return decoded_answer(message.result, WatchAnswer)


def _request(prefix: str, after: int) -> dict[str, object]:
    return {"create_request": {**keys_from(prefix), "start_revision": after + 1}}


def _assert_continues(answer: WatchAnswer, after: int) -> None:
    """A member says `canceled` and leaves the stream open; and of a revision that is yet to come
    it says nothing at all.
    """
    if answer.compact_revision:
        raise WatchEnded(f"changes before revision {answer.compact_revision} were compacted")
    if answer.canceled:
        raise WatchEnded(answer.cancel_reason or "the store ended it")
    if answer.created and answer.header.revision < after:
        raise WatchEnded(f"the store is at {answer.header.revision}, which is before {after}")


def _changes(answer: WatchAnswer) -> Changes | None:
    if not answer.events:
        return None
    items = {decode(each.kv.key): _item(each) for each in answer.events}
    return Changes(max(each.kv.mod_revision for each in answer.events), items)


def _item(event: Event) -> StoredItem | None:
    kv = event.kv
    if event.type == "DELETE":
        return None
    return StoredItem(kv.value, kv.mod_revision, kv.create_revision, kv.lease)
