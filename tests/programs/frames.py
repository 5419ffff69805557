"""The server's half of a WebSocket (RFC 6455), as far as an echo takes it.

Each message, in one frame of at most 64 KiB, comes back as JSON: pid, text.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
GOING_AWAY = 1001


async def echo(key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the handshake with this Sec-WebSocket-Key, and talk until the client leaves."""
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\nX-Pid: {os.getpid()}\r\n\r\n".encode()
    )
    while True:
        kind, data = await _read_frame(reader)
        if kind == TEXT:
            data = json.dumps({"pid": os.getpid(), "text": data.decode()}).encode()
        writer.write(frame({PING: PONG}.get(kind, kind), data))
        await writer.drain()
        if kind == CLOSE:
            return


def frame(kind: int, data: bytes) -> bytes:
    """One frame, unmasked as a server sends it (RFC 6455 5.2)."""
    if len(data) < 126:
        return bytes([0x80 | kind, len(data)]) + data
    return bytes([0x80 | kind, 126]) + len(data).to_bytes(2, "big") + data


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    return first & 0x0F, bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
