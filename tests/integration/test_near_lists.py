"""Lists of other machines by the real nginx, on its unix socket."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from portico.adapters.neighbours.near_lists import NearLists
from portico.core.model.neighbour import drained_mark_path, near_list_path, neighbours_socket
from portico.errors import Failed
from tests.nginx_lab import Lab, in_lab

LIST = '{"v":1,"machine":"m2","leaving":false,"apps":{"web":4}}'
SERVER = """
server {{
    listen unix:{socket};
    location = /m2/near.json {{ return 200 '{list}'; }}
    location = /m3/near.json {{ return 404; }}
    location = /m4/near.json {{ return 502; }}
    location = /m5/near.json {{ return 444; }}
    location = /m6/near.json {{ limit_rate 1; alias {own}; }}
    location = /m1/near.json {{ alias {own}; }}
}}
"""


def with_nginx(story: Callable[[NearLists], Awaitable[None]]) -> None:
    async def run(lab: Lab) -> None:
        home = str(lab.home.path)
        lab.home.cluster.mkdir(mode=0o700)
        socket, own = neighbours_socket(home), near_list_path(home)
        files = lab.files("anything")
        files["site.conf"] += SERVER.format(socket=socket, list=LIST, own=own)
        await lab.nginx.switch(await lab.nginx.install(files, "g1"))
        await story(NearLists(home))

    in_lab(run)


def test_a_list_that_was_announced_is_the_one_that_is_read() -> None:
    async def story(lists: NearLists) -> None:
        for text in ("one", "another"):
            await lists.announce(
                text, drained=False
            )  # nginx's workers are another user, where we are root
            assert await lists.ask("m1") == text.encode()
        assert await lists.ask("m2") == LIST.encode()
        assert await lists.ask("m3") == b""
        for name, why in (("m4", "does not accept connections"), ("m5", "no answer")):
            with pytest.raises(Failed, match=why):
                await lists.ask(name)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await lists.ask("m6")

    with_nginx(story)


def test_without_nginx_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="nginx of this machine does not answer"):
        asyncio.run(NearLists(str(tmp_path)).ask("m2"))


def test_a_list_that_cannot_be_written_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    lists, file = NearLists(str(tmp_path)), Path(near_list_path(str(tmp_path)))
    asyncio.run(lists.announce("one", drained=True))
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert Path(drained_mark_path(str(tmp_path))).exists()

    (tmp_path / "nginx" / ".near.json.new").mkdir()  # in the way of the next one
    with pytest.raises(Failed, match=r"cannot write .*near\.json"):
        asyncio.run(lists.announce("another", drained=False))
    assert not file.exists()
