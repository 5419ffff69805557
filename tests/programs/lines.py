"""A TCP server on $PORT that speaks first, as databases do: its pid on a line, then each line that
comes, with the pid before it.

In the environment:
  UDP=1      takes datagrams at the same port of UDP instead, and sends each back so
"""

from __future__ import annotations

import asyncio
import os

PORT = int(os.environ["PORT"])
PID = str(os.getpid()).encode()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        self._transport.sendto(PID + b" " + data, sender)


async def main() -> None:
    if os.environ.get("UDP"):
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", PORT))
        await loop.create_future()
    server = await asyncio.start_server(talk, "127.0.0.1", PORT)
    await server.serve_forever()


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(PID + b"\n")
        while line := await reader.readline():
            writer.write(PID + b" " + line)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


asyncio.run(main())
