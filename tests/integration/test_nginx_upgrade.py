"""Another program takes the place of the nginx that runs: the real one, under load."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from portico.adapters.nginx.program import NginxProgram
from portico.errors import Failed
from tests import newer as programs
from tests.addresses import free_port
from tests.little_nginx import eventually, get
from tests.nginx_lab import PORTS, Lab, Load, in_lab

SLOW = "location /slow {{ proxy_pass http://127.0.0.1:{port}; }}"


def newer(folder: Path, name: str = "nginx") -> Path:
    return programs.nginx(folder / name, later=True)


async def serve_old(lab: Lab, folder: Path, **how) -> Path:
    program = programs.nginx(folder / "nginx")
    await lab.nginx.build(str(program))
    await lab.serve("$nginx_version", **how)
    return program


@asynccontextmanager
async def slow_request(lab: Lab, backend: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """A request that nginx has passed on; calling what is yielded has it answered."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", backend):
        request = asyncio.create_task(get(lab.port, "/slow"))
        await asked.wait()

        async def end():
            go_on.set()
            return await request

        yield end


async def alone(lab: Lab) -> None:
    """Wait until one master is left, all of whose workers stay."""
    await eventually(lambda: len(lab.masters) == 1)
    await eventually(lambda: not any(process.is_shutting_down for process in lab.processes))


@pytest.mark.parametrize("reuseport", [True, False])
def test_a_newer_program_takes_over_without_a_lost_request(tmp_path, reuseport):
    async def story(lab):
        program = await serve_old(lab, tmp_path, reuseport=reuseport)
        before = lab.nginx.observe()
        assert (before.version, before.outdated) == ("1.31.3", False)
        newer(tmp_path)
        assert lab.nginx.observe().outdated

        async with Load(lab.port) as load:
            await lab.nginx.upgrade(await lab.nginx.build(str(program)))
            await eventually(lambda: load.answers[-1] == "1.31.9")

        assert load.lost == []
        assert set(load.answers) == {"1.31.3", "1.31.9"}
        seen = lab.nginx.observe()
        assert (seen.version, seen.outdated, seen.is_upgrade_interrupted) == (
            "1.31.9",
            False,
            False,
        )
        assert (seen.live, seen.generation) == (before.live, before.generation)
        assert seen.pid != before.pid
        await alone(lab)
        await eventually(lambda: lab.masters == [seen.pid])

    in_lab(story)


def test_nothing_happens_where_the_program_is_the_one_that_runs(tmp_path):
    async def story(lab):
        program = await serve_old(lab, tmp_path)
        before = lab.nginx.observe()
        await lab.nginx.upgrade(await lab.nginx.build(str(program)))
        assert lab.nginx.observe() == before

    in_lab(story)


def test_a_program_elsewhere_takes_over_without_a_lost_request(tmp_path):
    async def story(lab):
        await serve_old(lab, tmp_path)
        other = newer(tmp_path, "other")
        async with Load(lab.port, clients=4) as load:
            await lab.nginx.upgrade(await lab.nginx.build(str(other)))
            await eventually(lambda: load.answers[-1] == "1.31.9")

        assert load.lost == []
        assert lab.nginx.observe().program == str(other)
        await alone(lab)

    in_lab(story)


def test_a_program_that_does_not_take_the_files_changes_nothing(tmp_path):
    async def story(lab):
        program = await serve_old(lab, tmp_path)
        before = lab.nginx.observe()
        build = await lab.nginx.build(str(program))
        programs.placed(
            program, b"#!/bin/sh\necho 'nginx: [emerg] unknown directive \"zone\"' >&2\nexit 1\n"
        )

        with pytest.raises(Failed) as caught:
            await lab.nginx.upgrade(build)

        assert str(caught.value) == (
            f"cannot replace nginx with 1.31.3 ({program}): nginx -t rejected the new files: "
            'unknown directive "zone"; the running configuration is unchanged; the previous '
            "nginx keeps serving"
        )
        assert lab.nginx.observe().pid == before.pid
        assert await lab.says() == "1.31.3"

    in_lab(story)


def test_a_program_that_does_not_come_up_leaves_the_one_before(tmp_path):
    async def story(lab):
        program = await serve_old(lab, tmp_path)
        build, before = await lab.nginx.build(str(program)), lab.nginx.observe()
        programs.placed(program, b'#!/bin/sh\n[ "$5" = -t ] && exit 0\nkill -SEGV $$\n')

        with pytest.raises(Failed, match=r"new binary process [0-9]+ exited on signal 11"):
            await lab.nginx.upgrade(build)

        seen = lab.nginx.observe()
        assert (seen.pid, seen.live, seen.is_upgrade_interrupted) == (
            before.pid,
            before.live,
            False,
        )
        await eventually(lambda: lab.masters == [before.pid])
        assert await lab.says() == "1.31.3"

    in_lab(story)


def test_a_program_whose_workers_die_gives_way_to_the_one_before(tmp_path):
    async def story(lab):
        program = await serve_old(lab, tmp_path)
        before = lab.nginx.observe()
        newer(tmp_path)

        upgrade = asyncio.create_task(lab.nginx.upgrade(await lab.nginx.build(str(program))))
        while not upgrade.done():  # whenever it looks, one has just died
            for worker in new_workers(lab, before.pid)[:1]:
                os.kill(worker, signal.SIGKILL)
            await asyncio.sleep(0.02)
        with pytest.raises(Failed, match="exited immediately; the previous nginx keeps serving"):
            await upgrade

        seen = lab.nginx.observe()
        assert (seen.pid, seen.live, seen.is_upgrade_interrupted) == (
            before.pid,
            before.live,
            False,
        )
        await eventually(lambda: lab.masters == [before.pid])
        assert await lab.says() == "1.31.3"
        await lab.serve("again")
        assert await lab.says() == "again"

    in_lab(story)


def new_workers(lab: Lab, old: int) -> list[int]:
    """Workers of the new master. What nginx forks looks like a second master until it is the new
    program, which looks like none until it has named itself: only its workers show it.
    """
    return [p.pid for p in lab.processes if p.is_worker and p.parent != old]


def serving(lab: Lab, master: int) -> list[int]:
    return [
        p.pid
        for p in lab.processes
        if p.is_worker and p.parent == master and not p.is_shutting_down
    ]


@pytest.mark.parametrize("signals", [(), ("SIGWINCH",), ("SIGWINCH", "SIGQUIT")])
def test_an_upgrade_that_the_daemon_did_not_live_to_end_is_ended_by_the_next_one(
    tmp_path, signals
):
    """The old master is told as much as the daemon came to; a slow request holds it there."""

    async def story(lab):
        backend = free_port()
        await serve_old(lab, tmp_path, more=SLOW.format(port=backend))
        old = lab.nginx.observe().pid
        newer(tmp_path)
        async with slow_request(lab, backend) as slow, Load(lab.port, clients=4) as load:
            os.kill(old, signal.SIGUSR2)
            await eventually(lambda: new_workers(lab, old))
            await eventually(lambda: lab.home.nginx.joinpath("nginx.pid").exists())
            for name in signals:
                os.kill(old, getattr(signal, name))

            successor = NginxProgram(lab.home, PORTS)
            assert successor.observe().is_upgrade_interrupted
            await successor.upgrade(None)
            await eventually(lambda: load.answers[-1] == "1.31.9")

            assert await slow() == (200, "done")

        assert load.lost == []
        seen = successor.observe()
        assert (seen.version, seen.is_upgrade_interrupted, seen.outdated) == (
            "1.31.9",
            False,
            False,
        )
        assert seen.live == "$nginx_version"
        assert seen.pid != old
        await alone(lab)

    in_lab(story)


def test_the_next_daemon_finds_the_old_master_while_the_new_one_is_not_there_yet(tmp_path):
    async def story(lab):
        program = await serve_old(lab, tmp_path)
        old = lab.nginx.observe().pid
        programs.placed(program, b"#!/bin/sh\nexec sleep 300\n")
        os.kill(old, signal.SIGUSR2)
        await eventually((lab.home.nginx / "nginx.pid.oldbin").exists)

        successor = NginxProgram(lab.home, PORTS)
        seen = successor.observe()
        assert (seen.pid, seen.live, seen.is_upgrade_interrupted) == (old, "$nginx_version", True)
        await eventually(lambda: asleep(old))
        os.kill(asleep(old)[0], signal.SIGKILL)
        await eventually(lambda: not successor.observe().is_upgrade_interrupted)
        assert await lab.says() == "1.31.3"

    in_lab(story)


def asleep(pid: int) -> list[int]:
    """Its children that are `sleep` by now."""
    return [child.pid for child in psutil.Process(pid).children() if child.name() == "sleep"]


def test_a_new_program_begins_with_the_peers_it_is_told_and_keeps_none_of_them(tmp_path):
    """Here they are lines of a site; those of an app are servers in its upstream."""

    async def story(lab):
        program = await serve_old(lab, tmp_path)
        lab.nginx = NginxProgram(
            lab.home, PORTS, bootstrap_peers=lambda: {"web.conf": "add_header X-Seed 1;\n"}
        )
        await lab.nginx.build(str(program))
        await lab.serve("two", more="include ../../seeds/web.*;")
        newer(tmp_path)
        seen = []

        async def watch():
            while True:
                seen.append((lab.home.nginx / "seeds/web.conf").exists())
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(watch())
        await lab.nginx.upgrade(await lab.nginx.build(str(program)))
        watching.cancel()

        assert True in seen
        assert not (lab.home.nginx / "seeds").exists()
        assert not lab.nginx.observe().is_upgrade_interrupted
        assert await lab.says() == "two"

    in_lab(story)


def test_peers_that_a_lost_daemon_left_behind_are_taken_away(tmp_path):
    async def story(lab):
        await serve_old(lab, tmp_path)
        bootstrap_peers = lab.home.nginx / "seeds"
        bootstrap_peers.mkdir()
        successor = NginxProgram(lab.home, PORTS)
        assert successor.observe().is_upgrade_interrupted

        await successor.upgrade(None)

        assert not bootstrap_peers.exists()
        assert (successor.observe().is_upgrade_interrupted, successor.observe().live) == (
            False,
            "$nginx_version",
        )

    in_lab(story)


def test_new_files_reach_a_master_whose_program_was_replaced_by_the_new_program(tmp_path):
    """They are written for what the new one can do."""

    async def story(lab):
        program = await serve_old(lab, tmp_path)
        newer(tmp_path)
        await lab.nginx.build(str(program))
        async with Load(lab.port, clients=4) as load:
            await lab.serve("$nginx_version again")
            await eventually(lambda: load.answers[-1] == "1.31.9 again")
        assert load.lost == []
        assert lab.nginx.observe().version == "1.31.9"

    in_lab(story)


def test_a_site_that_is_wanted_again_does_not_wait_for_a_master_that_leaves():
    async def story(lab):
        backend = free_port()
        await lab.serve("one", more=SLOW.format(port=backend))
        async with slow_request(lab, backend) as slow:
            stopping = asyncio.create_task(lab.nginx.stop(graceful=True))
            await eventually(lambda: any(p.is_shutting_down for p in lab.processes))

            successor = NginxProgram(lab.home, PORTS)
            tested = await successor.install(lab.files("two"), "two")
            await asyncio.wait_for(successor.switch(tested), 60)

            assert await lab.says() == "two"
            assert await slow() == (200, "done")
        stopping.cancel()

    in_lab(story)
