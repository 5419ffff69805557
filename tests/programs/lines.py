"""A TCP server on $PORT that speaks first, as databases do: its pid on a line, then each line that
comes, with the pid before it.

In the environment:
  PROXY=1    reads a line of the PROXY protocol first, and greets with it too
"""

from __future__ import annotations

import asyncio
import os

PORT = int(os.environ["PORT"])
PID = str(os.getpid()).encode()


async def main() -> None:
    server = await asyncio.start_server(talk, "127.0.0.1", PORT)
    await server.serve_forever()


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        header = b" " + (await reader.readline()).strip() if os.environ.get("PROXY") else b""
        writer.write(PID + header + b"\n")
        while line := await reader.readline():
            writer.write(PID + b" " + line)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


asyncio.run(main())
