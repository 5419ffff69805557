"""The server's half of a WebSocket (RFC 6455), as far as an echo takes it.

Each message, which is one frame, comes back as JSON: pid, text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
from typing import BinaryIO

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
LONG = {2: 126, 8: 127}
"""What is written for a length that takes so many bytes."""


def echo(key: str, stream: BinaryIO, connection: socket.socket) -> None:
    """Accept the handshake with this Sec-WebSocket-Key, and talk until the client leaves."""
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\nX-Pid: {os.getpid()}\r\n\r\n".encode()
    )
    while head := stream.read(2):
        kind, data = head[0] & 0x0F, read_data(head[1] & 0x7F, stream)
        if kind == TEXT:
            data = json.dumps({"pid": os.getpid(), "text": data.decode()}).encode()
        connection.sendall(frame({PING: PONG}.get(kind, kind), data))
        if kind == CLOSE:
            return


def frame(kind: int, data: bytes) -> bytes:
    """One frame, unmasked as a server sends it (RFC 6455 5.2)."""
    if len(data) < 126:
        return bytes([0x80 | kind, len(data)]) + data
    size = 2 if len(data) < 1 << 16 else 8
    return bytes([0x80 | kind, LONG[size]]) + len(data).to_bytes(size, "big") + data


def read_data(length: int, stream: BinaryIO) -> bytes:
    for size, mark in LONG.items():
        if length == mark:
            length = int.from_bytes(stream.read(size), "big")
            break
    mask = stream.read(4)
    return bytes(byte ^ mask[n % 4] for n, byte in enumerate(stream.read(length)))
