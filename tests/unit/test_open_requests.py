"""Requests of operators come before the steps of the loop, for a bounded time."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from portico.api.app import Answer, Api
from portico.api.connection import Connection
from portico.api.open_requests import OpenRequests
from portico.core.model.event import Requester

GET = b"GET /v1/version HTTP/1.1\r\nHost: portico\r\n\r\n"


def run(story):
    return asyncio.run(asyncio.wait_for(story, 20))


def test_without_a_request_other_tasks_have_one_turn():
    async def story():
        done = []
        asyncio.get_running_loop().call_soon(done.append, "other")
        await OpenRequests().wait_for_answers()
        assert done == ["other"]

    run(story())


def test_the_loop_waits_until_a_request_is_answered():
    async def story():
        requests, order = OpenRequests(), []
        end = requests.begin()

        async def steps():
            await requests.wait_for_answers()
            order.append("step")

        task = asyncio.create_task(steps())
        for _ in range(20):
            await asyncio.sleep(0)
        order.append("answer")
        end()
        await task
        assert order == ["answer", "step"]

    run(story())


@pytest.mark.parametrize("ended_late", [False, True])
def test_a_request_that_takes_long_waits_for_the_loop(ended_late):
    async def story():
        requests = OpenRequests()
        end = requests.begin()
        await requests.wait_for_answers()  # returns although nothing has ended it
        if ended_late:
            end()
        await requests.wait_for_answers()

    run(story())


def test_requests_that_follow_each_other_do_not_stop_the_loop():
    async def story():
        requests = OpenRequests()

        async def always():
            while True:
                end = requests.begin()
                await asyncio.sleep(0.001)
                following = requests.begin()
                end()
                await asyncio.sleep(0.001)
                following()

        asking = [asyncio.create_task(always()) for _ in range(3)]
        for _ in range(3):
            await requests.wait_for_answers()
        for task in asking:
            task.cancel()

    run(story())


async def waits(requests):
    waiting = asyncio.create_task(requests.wait_for_answers())
    for _ in range(5):
        await asyncio.sleep(0)
    return not waiting.done()


def test_a_connection_comes_first_from_its_beginning_to_each_answer():
    async def story():
        api, while_answered = Api(SimpleNamespace()), []

        async def answer(_):
            while_answered.append(await waits(api.requests))
            return Answer(200, "text/plain", "well")

        here, there = socket.socketpair()
        client, client_writer = await asyncio.open_connection(sock=here)
        reader, writer = await asyncio.open_connection(sock=there)
        connection = Connection(reader, writer, Requester("root", 0, 1), answer, api.requests)
        assert await waits(api.requests)  # it has asked nothing yet
        serving = asyncio.create_task(connection.serve())
        for _ in range(2):
            client_writer.write(GET)
            await client.readuntil(b"well")
            while not connection.is_idle:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            assert not await waits(api.requests)
        assert while_answered == [True, True]
        client_writer.close()
        await serving
        writer.close()
        await asyncio.gather(client_writer.wait_closed(), writer.wait_closed())

    run(story())


def test_a_request_that_never_ends_ends_its_connection(monkeypatch):
    """Anybody may send to a listener on TCP, and it has a few connections."""
    monkeypatch.setattr("portico.api.connection.IDLE_TIMEOUT", 0.3)

    async def story():
        here, there = socket.socketpair()
        _, client = await asyncio.open_connection(sock=here)
        reader, writer = await asyncio.open_connection(sock=there)
        serving = asyncio.create_task(
            Connection(reader, writer, Requester("any"), None, OpenRequests()).serve()
        )
        client.write(b"GET / HTTP/1.1\r\nX: ")
        while not serving.done():
            client.write(b"x")
            await asyncio.sleep(0.01)
        writer.close()
        client.close()
        await asyncio.gather(writer.wait_closed(), client.wait_closed(), return_exceptions=True)

    run(story())
