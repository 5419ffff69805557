"""Whatever an instance sends, a probe of it says something short, and in time."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.probes import grpc, http
from portico.adapters.probes.connection import MAX_ANSWER_SIZE
from portico.adapters.probes.loopback import LoopbackProbes
from portico.core.model.check import Check
from tests.examples import examples

LONGEST_SAID = 500
HTTP = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.0 999 \xff\r\n",
    b"HTTP/9.9 200\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: keep-alive\r\n",
    b"X: \xfc\x00\r\n",
    b" folded\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x16",
    b"a" * 70_000,
]
PREFACE = b"\0\0\0\4\0\0\0\0\0"  # an empty SETTINGS frame
TRAILERS = b"\x00\x0bgrpc-status"


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream + payload


def literal(name, value):
    """A header of HPACK without compression. RFC 7541 6.2.2."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


status_200 = b"\x88"
header_blocks = st.one_of(
    st.binary(max_size=30),
    st.builds(
        lambda status, message: (
            literal(b"grpc-status", status) + literal(b"grpc-message", message)
        ),
        st.sampled_from([b"0", b"5", b"12", b"14", b"\xff"]) | st.binary(max_size=4),
        st.binary(max_size=40),
    ),
    st.just(status_200 + literal(b"content-type", b"application/grpc")),
)
frames = st.one_of(
    st.builds(
        frame,
        st.integers(0, 12),
        st.sampled_from([0, 1, 4, 5, 8, 0x20, 0xFF]),
        st.sampled_from([b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\2", b"\xff\xff\xff\xff"]),
        st.binary(max_size=30),
    ),
    st.builds(frame, st.just(1), st.sampled_from([4, 5]), st.just(b"\0\0\0\1"), header_blocks),
    st.builds(
        frame,
        st.just(0),
        st.sampled_from([0, 1]),
        st.just(b"\0\0\0\1"),
        st.sampled_from([b"\0\0\0\0\1\x08", b"\0\0\0\0\2\x08\1", b"\x08", b""]),
    ),
    st.just(b"\xff\xff\xff\0\0\0\0\0\1"),  # the head of a frame of 16 MiB
)


def probe(check, *parts):
    """What a probe says of a server that sends these bytes, and reads all that it is sent."""

    async def serve(reader, writer):
        with closing(writer), suppress(ConnectionError):
            await asyncio.gather(write(writer), reader.read())

    async def write(writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.write_eof()

    async def ask():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await LoopbackProbes().probe(check, port)

    return asyncio.run(ask())


def fair(said):
    return said is None or (isinstance(said, str) and 0 < len(said) <= LONGEST_SAID)


@examples(60)
@given(st.lists(st.sampled_from(HTTP) | st.binary(max_size=40), max_size=8))
def test_any_answer_to_an_http_check_is_judged(parts):
    assert fair(probe(Check(path="/", body="~ hello|^$", timeout=60.0), *parts))


@examples(80)
@given(st.lists(frames, max_size=6), st.booleans())
def test_any_answer_to_a_grpc_check_is_judged(parts, begun):
    preface = (PREFACE,) if begun else ()
    assert fair(probe(Check(grpc=True, timeout=60.0), *preface, *parts))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Datenbank nicht verfügbar".encode("latin-1"), "Datenbank nicht verf\ufffdgbar"),
        ("nicht verfügbar".encode(), "nicht verfügbar"),
        (b"nicht verf%C3%BCgbar", "nicht verfügbar"),
        (b"100%", "100%"),
        (b"%ff%zz", "\ufffd%zz"),
        (b"a" * 120, "a" * 120),
    ],
)
def test_the_message_of_a_grpc_status_is_shown_as_it_can_be_read(message, said):
    head = frame(1, 4, b"\0\0\0\1", status_200)
    end = literal(b"grpc-status", b"14") + literal(b"grpc-message", message)
    answer = probe(Check(grpc=True, timeout=60.0), PREFACE, head, frame(1, 5, b"\0\0\0\1", end))
    assert answer == f"answered gRPC status 14 {said}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\0\0\0\0\1\x08", "answered UNKNOWN"),
        (b"\0\0\0\0\0", "answered UNKNOWN"),
        (b"", "answered UNKNOWN"),
        (b"\0\0\0\0\2\x08\2", "answered NOT_SERVING"),
        (b"\0\0\0\0\2\x08\1", None),
    ],
)
def test_a_grpc_answer_that_is_cut_off_is_no_good_one(data, said):
    head, body = frame(1, 4, b"\0\0\0\1", status_200), frame(0, 0, b"\0\0\0\1", data)
    end = frame(1, 5, b"\0\0\0\1", literal(b"grpc-status", b"0"))
    assert probe(Check(grpc=True, timeout=60.0), PREFACE, head, body, end) == said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "parts"),
    [
        (Check(path="/", timeout=60.0), [b"HTTP/1.1 103 Early Hints\r\n\r\n"]),
        (Check(path="/", body="x", timeout=60.0), [b"HTTP/1.1 103 Early Hints\r\n\r\n"]),
        (Check(grpc=True, timeout=60.0), [PREFACE]),
        (Check(grpc=True, timeout=60.0), [frame(6, 0, b"\0\0\0\0", b"12345678")]),  # pings
    ],
)
def test_an_answer_without_an_end_costs_a_bounded_number_of_bytes(check, parts):
    begun = PREFACE if check.grpc else b""
    repeated = b"".join(parts) * (MAX_ANSWER_SIZE * 3 // len(b"".join(parts)))
    before = time.process_time()
    said = probe(check, begun, repeated)
    assert said == "sent more than 512 KiB in answer"
    assert time.process_time() - before < 20


def test_headers_without_an_end_are_no_http():
    said = probe(Check(path="/", timeout=60.0), b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100_000)
    assert said is not None
    assert said.startswith("does not speak HTTP")


def test_a_body_longer_than_what_is_read_is_judged_by_what_was_read():
    chunks = (b"40\r\n" + b"a" * 64 + b"\r\n") * (MAX_ANSWER_SIZE // 60)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert probe(Check(path="/", timeout=60.0), head, chunks) is None
    assert (
        probe(Check(path="/", body="b", timeout=60.0), head, chunks)
        == "/ answered 200 without 'b'"
    )


def test_an_answer_that_drips_ends_with_the_time_of_the_probe():
    async def drip(reader, writer):
        with closing(writer), suppress(ConnectionError):
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.01)

    async def ask():
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await LoopbackProbes().probe(Check(path="/", timeout=0.3), port)

    assert asyncio.run(ask()) == "no answer within 0.3s"


def test_a_regular_expression_that_would_run_for_ever_is_given_up():
    body = b"a" * 5000 + b"!"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    said = probe(Check(path="/", body="~ ^(a+)+$", timeout=60.0), answer)
    assert said == "/ answered 200: '~ ^(a+)+$' takes too long to search for"


@examples(20)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True),
        st.from_regex(r"[^\x00-\x1f\x7f]{0,20}", fullmatch=True),
        max_size=4,
    )
)
def test_a_check_of_any_file_is_sent_or_said_to_be_impossible(headers):
    """Also one that an earlier Portico took, which today's would refuse."""
    said = probe(Check(path="/", headers=headers, timeout=60.0), b"HTTP/1.1 204 X\r\n\r\n")
    assert said is None or said.startswith("cannot be probed: ")


def test_headers_that_are_no_ascii_are_sent_as_utf_8():
    check = Check(path="/", headers={"X-Client": "  Büro "})
    assert (b"X-Client", "Büro".encode()) in http._head(check, 80)  # noqa: SLF001 - what is sent


def test_the_request_of_a_grpc_check_has_one_message():
    assert grpc._request("a.B") == b"\0\0\0\0\5\x0a\3a.B"  # noqa: SLF001 - what is sent
