"""Echoes WebSocket messages on $PORT, each as JSON: pid, text. Other requests get 200.

At SIGTERM it closes what is open with 1001 (going away, RFC 6455 7.4.1), and ends.
"""

from __future__ import annotations

import asyncio
import http
import json
import os
import signal

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def main() -> None:
    async with serve(echo, "127.0.0.1", int(os.environ["PORT"]), process_request=plain) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        await server.wait_closed()


async def echo(connection: ServerConnection) -> None:
    try:
        async for text in connection:
            await connection.send(json.dumps({"pid": os.getpid(), "text": text}))
    except ConnectionClosed:
        print("a client left without saying so", flush=True)


def plain(connection: ServerConnection, request: Request) -> Response | None:
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return None
    return connection.respond(http.HTTPStatus.OK, f"pid {os.getpid()}\n")


if __name__ == "__main__":
    asyncio.run(main())
