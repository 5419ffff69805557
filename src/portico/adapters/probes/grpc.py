"""The gRPC health checking protocol: `grpc.health.v1.Health/Check` over HTTP/2 without TLS.

The two messages are short enough to be written by hand (protobuf encoding: field number and
wire type, then the value): `HealthCheckRequest { string service = 1; }` and
`HealthCheckResponse { ServingStatus status = 1; }`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from portico.adapters.probes.connection import Connection, WrongProtocol

PREFIX_LENGTH: Final = 5  # octets before a message: not compressed, and its length
SETTINGS: Final = b"\x04"
STATUS_SERVING: Final = 1
MAX_ERROR_LENGTH: Final = 200
WORDS: Final = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


@dataclass(slots=True)
class _Answer:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    begun: bool = False
    ended: bool = False


async def ask_grpc(service: str, port: int, connection: Connection) -> str | None:
    http2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    http2.initiate_connection()
    stream = http2.get_next_available_stream_id()
    http2.send_headers(stream, _head(port))
    http2.send_data(stream, _request(service), end_stream=True)
    await connection.send(http2.data_to_send())
    answer = _Answer()
    while not answer.ended:
        data = await connection.receive()
        if not data:
            raise EOFError
        _feed(http2, data, answer)
        await connection.send(http2.data_to_send())
    return _trouble(answer, service)


def _head(port: int) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", f"127.0.0.1:{port}"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "portico"),
    ]


def _request(service: str) -> bytes:
    name = service.encode()
    message = bytes((1 << 3 | 2, len(name))) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _feed(http2: H2Connection, data: bytes, answer: _Answer) -> None:
    # RFC 9113 3.4: a server begins with a SETTINGS frame. h2 would wait for the end of whatever
    # long frame other protocols look like.
    if not answer.begun and data[3:4] != SETTINGS:
        raise WrongProtocol("gRPC", data)
    answer.begun = True
    try:
        events = http2.receive_data(data)
    except ProtocolError:
        raise WrongProtocol("gRPC", data) from None
    for event in events:
        _apply_event(event, answer)


def _apply_event(event: Event, answer: _Answer) -> None:
    match event:
        case ResponseReceived() | TrailersReceived():
            answer.headers |= {_octets(name): _octets(value) for name, value in event.headers}
        case DataReceived():
            answer.data += event.data
        case StreamEnded() | StreamReset() | ConnectionTerminated():
            answer.ended = True
        case _:  # settings, windows, pings
            pass


def _octets(text: bytes | str) -> bytes:
    """As they came; h2's types allow for those that it has decoded."""
    return text if isinstance(text, bytes) else text.encode()


def _trouble(answer: _Answer, service: str) -> str | None:
    status = answer.headers.get(b"grpc-status")
    match status:  # codes of gRPC: OK, NOT_FOUND, UNIMPLEMENTED
        case b"0":
            state = _serving_status(bytes(answer.data[PREFIX_LENGTH:]))
            return None if state == STATUS_SERVING else f"answered {WORDS.get(state, state)}"
        case b"5":
            return f'knows no service "{service}"'
        case b"12":
            return "does not offer grpc.health.v1"
        case None:
            http = answer.headers.get(b":status", b"nothing")
            return f"does not speak gRPC: it answered {_decode(http)}"
        case _:
            # Percent-encoded UTF-8, says the gRPC protocol; what is neither is shown as it can be.
            message = unquote_to_bytes(answer.headers.get(b"grpc-message", b""))
            return f"answered gRPC status {_decode(status)} {_decode(message)}".strip()


def _serving_status(message: bytes) -> int:
    """The field of it that counts; 0, as protobuf has it, where it is missing or cut off."""
    return message[1] if message[:1] == bytes((1 << 3 | 0,)) and len(message) > 1 else 0


def _decode(message_text: bytes) -> str:
    return " ".join(message_text.decode(errors="replace")[:MAX_ERROR_LENGTH].split())
