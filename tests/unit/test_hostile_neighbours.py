"""What answers in the place of another machine's nginx."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portico.adapters.neighbours.near_lists import NearLists
from portico.core.model.neighbour import neighbours_socket
from portico.errors import Failed


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (502, "does not accept connections"),
        (499, "it answers 499"),
        (530, "it answers 530"),
        (999, "it answers 999"),
    ],
)
def test_a_status_that_no_standard_has_is_a_failure(tmp_path: Path, status: int, why: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d \r\nContent-Length: 0\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    async def run() -> None:
        socket = Path(neighbours_socket(str(tmp_path)))
        socket.parent.mkdir()
        lists = NearLists(str(tmp_path))
        async with await asyncio.start_unix_server(answer, socket):
            with pytest.raises(Failed, match=why):
                await lists.ask("m2")
            with pytest.raises(Failed, match=why):
                await lists.report("m2", "/v1/status")

    asyncio.run(run())
