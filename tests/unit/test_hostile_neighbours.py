"""What answers in the place of another machine's nginx."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portico.adapters.neighbours.near_lists import NearLists
from portico.core.model.neighbour import neighbours_socket
from portico.errors import Failed, Rejected


@pytest.mark.parametrize(
    ("status", "why", "kind"),
    [
        (400, "does not accept the certificate", Rejected),
        (403, "does not accept this machine", Rejected),
        (499, "it answers 499", Failed),
        (500, "it answers 500", Failed),  # nginx of this machine, where it lacks sockets
        (502, "does not accept connections", Failed),
        (530, "it answers 530", Failed),
        (999, "it answers 999", Failed),
    ],
)
def test_a_machine_has_refused_only_where_the_status_says_so(
    tmp_path: Path, status: int, why: str, kind: type[Failed]
) -> None:
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
            with pytest.raises(Failed, match=why) as found:
                await lists.ask("m2")
            assert found.type is kind
            with pytest.raises(Failed, match=why):
                await lists.report("m2", "/v1/status")

    asyncio.run(run())
