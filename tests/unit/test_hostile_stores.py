"""What answers in the place of etcd: no answer of it is worse than none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portico.adapters.store.etcd import gateway, wire
from portico.adapters.store.etcd.connection import Connection
from portico.adapters.store.etcd.gateway import MAX_REASON_LENGTH
from portico.adapters.store.etcd.store import EtcdStore
from portico.core.model.snapshot import ABSENT, Compare, Put, Snapshot, StoreAddress, StoreUser
from portico.errors import Failed
from portico.ports.store import OutcomeUnknown, SessionEnded, StoreUnavailable, WatchEnded
from tests.examples import examples
from tests.fakes.clock import VirtualLoop

URL, OTHER_URL = "http://10.0.0.1:2379", "http://10.0.0.2:2379"
DEEP = b'{"header":' + b"[" * 5000 + b"]" * 5000 + b"}"
ANY = b'{"header":{"revision":"1"}}'
LOGIN = "/v3/auth/authenticate"
END = 200.0
"""Virtual seconds, in which a watch is opened again several times."""
WRITES = [Put("/a", b"1")]


def answered(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class Network:
    """What answers at each URL, by path; after anything but a login it closes the connection."""

    def __init__(self, answers: Callable[[str, str], bytes]) -> None:
        self._answers = answers

    async def connected(self, url: str, _: object) -> Connection:
        reader, closed = asyncio.StreamReader(), list[bool]()

        def write(data: bytes) -> None:
            path = data.split()[1].decode()
            if not closed:
                reader.feed_data(self._answers(url, path))
            if path != LOGIN:
                closed.append(True)
                reader.feed_eof()

        async def drain() -> None: ...

        writer = SimpleNamespace(
            write=write,
            drain=drain,
            is_closing=lambda: False,
            transport=SimpleNamespace(abort=lambda: None),
        )
        return Connection(url, reader, writer)


def outcome(
    answers: Callable[[str, str], bytes],
    work: Callable[[EtcdStore], Awaitable[object]],
    address: StoreAddress,
) -> object:
    """What is returned, or why it ends."""
    loop = VirtualLoop(0.0)

    async def ended() -> object:
        store = EtcdStore(address, loop)
        try:
            return await work(store)
        except (Failed, SessionEnded, WatchEnded) as error:
            return error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "connect", Network(answers).connected)
        task = loop.create_task(ended())
        loop.run_until(END)
    loop.close()
    return task.result()


async def watched(store: EtcdStore) -> None:
    async with aclosing(store.watch("/", 1)) as changes:
        with suppress(TimeoutError):
            async with asyncio.timeout(END / 2):
                async for _ in changes:
                    pass


CALLS = {
    "snapshot": (lambda store: store.snapshot("/"), Failed),
    "watch": (watched, WatchEnded),
    "transaction": (lambda store: store.transaction([Compare("/a", ABSENT)], WRITES), Failed),
    "bound": (
        lambda store: store.transaction([], [Put("/a", b"1", 7)]),
        (Failed, SessionEnded),
    ),
    "open_session": (lambda store: store.open_session(9), Failed),
    "keep_session": (lambda store: store.keep_session(7), (Failed, SessionEnded)),
    "end_session": (lambda store: store.end_session(7), Failed),
    "health": (lambda store: store.health(), ()),
    "has_users": (lambda store: store.has_users(), Failed),
    "add_user": (lambda store: store.add_user(StoreUser("m", "x"), []), Failed),
    "remove_user": (lambda store: store.remove_user("m"), Failed),
    "members": (lambda store: store.members(), Failed),
    "add_member": (lambda store: store.add_member(URL), Failed),
}
"""By name a call, and how it may fail."""

values = st.sampled_from([0, 1, -1, 7, 1 << 64, "1", "²", "9" * 5000, "", "x" * 999, [], {}, None])
names = st.sampled_from(
    ["header", "kvs", "token", "ID", "TTL", "result", "events", "error", "code", "message"]
)
messages = st.sampled_from(
    [wire.NO_LEASE, wire.NO_SPACE, wire.NO_AUTHENTICATION, wire.OLD_REVISION, "\n", "x" * 999]
)
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([DEEP, ANY, b'{"token": "\\u00fc"}', b'{"token": "a\\r\\nb"}', b"1" * 5000]),
    st.dictionaries(names, values | st.dictionaries(names, values, max_size=2), max_size=3).map(
        lambda found: json.dumps(found).encode()
    ),
    st.builds(
        lambda code, text: json.dumps({"code": code, "message": text}).encode(),
        st.integers(0, 17),
        messages,
    ),
)
anything = st.one_of(
    st.binary(max_size=60),
    st.builds(answered, bodies, st.sampled_from([100, 101, 200, 204, 302, 400, 401, 503, 999])),
)


@examples(80)
@given(st.sampled_from(sorted(CALLS)), anything, anything, st.sampled_from(["", "m"]))
@example("watch", answered(ANY), answered(b"none"), "m")
@example("watch", answered(ANY), answered(b"{}"), "m")
@example("snapshot", answered(b"{}"), b"", "")
@example("open_session", answered(b"{}"), b"", "")
def test_any_bytes_are_an_answer_or_a_failure_in_words(call, answer, login, user):
    work, failures = CALLS[call]
    address = StoreAddress([URL], user=user)
    found = outcome(lambda _, path: login if path == LOGIN else answer, work, address)
    if isinstance(found, Exception):
        assert isinstance(found, failures)
        assert isinstance(found, SessionEnded) or 0 < len(str(found)) < 2 * MAX_REASON_LENGTH
    elif call == "snapshot":
        assert found.revision > 0
    elif call == "open_session":
        assert found > 0


@pytest.mark.parametrize("strange", [answered(b"fine"), answered(b"none", 404), b"SSH-2.0\r\n"])
def test_the_other_members_are_asked_where_one_is_another_program(strange):
    def answers(url: str, _: str) -> bytes:
        return strange if url == URL else answered(ANY)

    both = StoreAddress([URL, OTHER_URL])
    assert outcome(answers, lambda store: store.snapshot("/"), both) == Snapshot(1)
    assert outcome(answers, lambda store: store.transaction([], WRITES), both) is None


def test_what_does_not_answer_as_etcd_does_is_no_store():
    def after(answer: bytes, work=lambda store: store.snapshot("/")) -> object:
        return outcome(lambda *_: answer, work, StoreAddress([URL]))

    for answer in (answered(b"fine"), answered(DEEP), answered(b"{}")):
        assert isinstance(found := after(answer), StoreUnavailable)
        assert f"{URL}: it does not answer as etcd does" in str(found)
    assert "it answered 404" in str(after(answered(b"none", 404)))
    assert "does not speak HTTP/1.1" in str(after(b"SSH-2.0-OpenSSH\r\n\r\n"))


def test_of_a_change_whose_answer_cannot_be_read_the_outcome_is_not_known():
    def answers(_: str, path: str) -> bytes:
        return answered(DEEP if path == "/v3/kv/txn" else ANY)

    found = outcome(answers, lambda store: store.transaction([], WRITES), StoreAddress([URL]))
    assert isinstance(found, OutcomeUnknown)


@pytest.mark.parametrize(
    ("written", "quota"),
    [(b"8e+09", 8_000_000_000), (b"NaN", None), (b"+Inf", None), (b"x", None)],
)
def test_a_quota_that_is_no_number_is_unknown(written, quota):
    def answers(_: str, path: str) -> bytes:
        metrics = b"etcd_server_quota_backend_bytes " + written + b"\n"
        return answered(metrics if path == "/metrics" else ANY)

    [health] = outcome(answers, lambda store: store.health(), StoreAddress([URL]))
    assert health.quota == quota
