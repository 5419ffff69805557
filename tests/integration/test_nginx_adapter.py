"""The real nginx under NginxProgram, with files written by hand."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from portico.adapters.nginx.generations import Generations
from portico.adapters.nginx.processes import orphans
from portico.adapters.nginx.program import NginxProgram
from portico.core.render.scope import digest
from portico.errors import Failed
from portico.system.home import Home
from tests.addresses import free_port
from tests.little_nginx import BINARY, eventually, get
from tests.nginx_lab import PORTS, Lab, Load, in_lab


def held_by(pid: int) -> dict[str, str]:
    return {file.name: str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}


def program_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def test_a_generation_is_served_and_the_next_one_replaces_it():
    async def story(lab):
        assert lab.nginx.observe().pid is None

        first = await lab.serve("one")
        assert await lab.says() == "one"
        seen = lab.nginx.observe()
        assert (seen.generation, seen.live) == (first.number, "one")

        second = await lab.serve("two")
        assert await lab.says() == "two"
        assert lab.nginx.observe().pid == seen.pid
        assert (lab.nginx.observe().generation, lab.nginx.observe().live) == (second.number, "two")

    in_lab(story)


def test_files_that_nginx_refuses_are_explained_and_leave_nothing_behind():
    async def story(lab):
        await lab.serve("one")
        before = lab.generations

        with pytest.raises(Failed) as caught:
            await lab.nginx.install(lab.files("two", more="nonsense on;"), "two")

        assert str(caught.value) == (
            'nginx -t rejected the new files: unknown directive "nonsense" (site.conf, line '
            "5); the running configuration is unchanged"
        )
        assert lab.generations == before
        assert await lab.says() == "one"

    in_lab(story)


def test_a_port_in_use_is_named_with_its_holder_and_nginx_does_not_run():
    async def story(lab):
        with socket.create_server(("127.0.0.1", lab.port)), pytest.raises(Failed) as caught:
            await lab.serve("one")

        assert f"port {lab.port} is held by pid {os.getpid()} (" in str(caught.value)
        assert "set other ports in [edge] http and https" in str(caught.value)
        assert str(caught.value).endswith("nginx is not running")
        assert lab.nginx.observe().pid is None
        assert lab.processes == []
        assert await lab.serve("two")

    in_lab(story)


def test_a_port_in_use_leaves_the_previous_generation_in_force():
    async def story(lab):
        first = await lab.serve("one")
        taken = free_port()
        with socket.create_server(("127.0.0.1", taken)), pytest.raises(Failed) as caught:
            await lab.serve("two", port=taken)

        assert f"port {taken} is held by pid {os.getpid()} (" in str(caught.value)
        assert str(caught.value).endswith(f"generation {first.number} remains in force")
        seen = lab.nginx.observe()
        assert (seen.generation, seen.live, seen.refused) == (first.number, "one", "two")
        assert await lab.says() == "one"
        await lab.kill_master()
        await lab.nginx.start()
        assert await lab.says() == "one"

    in_lab(story)


def test_the_sockets_of_another_nginx_are_taken_once_and_not_after_that_was_taken_back():
    async def story(lab):
        folder = lab.home.path.parent / "other"
        folder.mkdir(mode=0o755)
        other = Lab(folder)
        await other.serve("other")
        try:
            await lab.serve("one")
            first = lab.nginx.observe().pid
            await lab.nginx.inherit(other.nginx.observe().pid)
            assert lab.nginx.inherited_ports == {other.port}
            await lab.nginx.inherit(None)
            await lab.serve("two")
            assert lab.nginx.observe().pid == first

            await lab.nginx.inherit(other.nginx.observe().pid)
            await lab.serve("three", port=other.port)
            second = lab.nginx.observe().pid
            assert second != first
            assert lab.nginx.inherited_ports == frozenset()
        finally:
            await other.nginx.stop(graceful=False)
        assert (await get(other.port))[1] == "three"
        await lab.serve("four", port=other.port)
        assert (await get(other.port))[1] == "four"
        assert lab.nginx.observe().pid == second

    in_lab(story)


def test_a_master_that_does_not_react_ends_up_with_the_previous_generation():
    async def story(lab):
        first = await lab.serve("one")
        impatient = NginxProgram(lab.home, PORTS, reload_timeout=0.3)
        tested = await impatient.install(lab.files("two"), "two")
        master = impatient.observe().pid
        os.kill(master, signal.SIGSTOP)

        with pytest.raises(Failed) as caught:
            await impatient.switch(tested)
        workers = {process.pid for process in lab.processes if process.is_worker}
        os.kill(master, signal.SIGCONT)

        assert "not replaced within 0.3 seconds" in str(caught.value)
        assert str(caught.value).endswith(f"generation {first.number} remains in force")
        await eventually(lambda: not workers & {p.pid for p in lab.processes})
        assert await lab.says() == "one"
        assert (impatient.observe().live, impatient.observe().refused) == ("one", "two")

    in_lab(story)


def test_reloads_under_load_lose_nothing():
    async def story(lab):
        await lab.serve("0")
        async with Load(lab.port) as load:
            for number in range(1, 6):
                await lab.serve(str(number))
                await eventually(lambda number=number: str(number) in load.answers[-50:])

        assert load.lost == []
        assert len(load.answers) > 300

    in_lab(story)


@pytest.mark.parametrize("reuseport", [True, False])
def test_a_killed_master_is_noticed_and_its_workers_are_replaced_at_once(reuseport):
    async def story(lab):
        deaths = []
        lab.nginx.watch(lambda: deaths.append(lab.nginx.observe().pid))
        await lab.serve("one", reuseport=reuseport)
        async with Load(lab.port, clients=4) as load:
            await lab.kill_master()
            await eventually(lambda: deaths)
            assert lab.nginx.observe().live == "one"

            await asyncio.wait_for(lab.nginx.start(), 60)
            await eventually(lambda: lab.masters == [lab.nginx.observe().pid])
            workers = [process for process in lab.processes if not process.is_shutting_down]
            assert len(load.answers) > 4

        assert deaths == [None]
        assert orphans(workers) == []
        await eventually(lambda: not orphans(lab.processes))
        assert not reuseport or load.lost == []
        # nginx tries every 500 ms: the workers were told to go at its first complaint.
        tries = (lab.home.path / "logs/nginx/error.log").read_text().count("bind() to")
        assert tries <= (0 if reuseport else 3)
        assert await lab.says() == "one"
        await lab.kill_master()
        await eventually(lambda: len(deaths) == 2)

    in_lab(story)


def test_sockets_that_a_killed_nginx_left_keep_no_other_from_starting():
    async def story(lab):
        folder = lab.home.path / "nginx" / "temp" / "alpn"
        left = [
            folder / "https",
            folder / digest("calls"),
            lab.home.path / "cluster/neighbours.sock",
        ]
        for each in left:
            each.parent.mkdir(parents=True, exist_ok=True)
        await lab.serve("one", "".join(f"listen unix:{each};" for each in left))
        for pid in [process.pid for process in lab.processes]:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not lab.processes)
        assert all(each.is_socket() for each in left)

        await NginxProgram(lab.home, PORTS).start()

        assert await lab.says() == "one"

    in_lab(story)


def test_a_master_without_its_pid_file_does_not_get_a_second_one_beside_it():
    async def story(lab):
        await lab.serve("one")
        pid = lab.nginx.observe().pid
        (lab.home.nginx / "nginx.pid").unlink()

        successor = NginxProgram(lab.home, PORTS)
        await successor.start()

        assert successor.observe().pid == pid
        await eventually(lambda: lab.masters == [pid])
        assert await lab.says() == "one"

    in_lab(story)


def test_a_home_behind_a_symbolic_link_is_the_same_home():
    async def story(lab):
        link = lab.home.path.with_name("link")
        link.symlink_to(lab.home.path)
        await lab.serve("one")

        assert NginxProgram(Home(link), PORTS).observe() == lab.nginx.observe()

    in_lab(story)


def test_the_next_daemon_finds_the_nginx_that_runs_and_watches_it():
    async def story(lab):
        await lab.serve("one")
        successor = NginxProgram(lab.home, PORTS)
        assert successor.observe() == lab.nginx.observe()
        deaths = []
        successor.watch(lambda: deaths.append(True))
        await successor.start()
        assert successor.observe().pid == lab.nginx.observe().pid

        await lab.kill_master()

        await eventually(lambda: deaths)
        assert successor.observe().pid is None

    in_lab(story)


def test_nginx_holds_nothing_of_the_process_that_started_it():
    async def story(lab):
        await lab.serve("one")
        pid = lab.nginx.observe().pid
        held = held_by(pid)

        assert os.getsid(pid) != os.getsid(0)
        assert not [name for name in held.values() if name.startswith("pipe:")]
        assert (held["0"], held["1"]) == ("/dev/null", "/dev/null")

    in_lab(story)


def test_a_daemon_that_died_before_the_reload_is_known_to_have_changed_nothing():
    async def story(lab):
        await lab.serve("one")
        tested = await lab.nginx.install(lab.files("two"), "two")
        files = Generations(lab.home.nginx)
        files.set_current(files.read(tested.number))

        successor = NginxProgram(lab.home, PORTS)
        assert successor.observe().live == "one"
        await successor.switch(tested)

        assert successor.observe().live == "two"
        assert await lab.says() == "two"

    in_lab(story)


def test_another_nginx_program_takes_over_without_a_lost_request(tmp_path):
    async def story(lab):
        await lab.serve("one")
        other = shutil.copy(BINARY, tmp_path / "other-nginx")
        async with Load(lab.port, clients=4) as load:
            await lab.nginx.build(str(other))
            await lab.serve("two")
            await eventually(lambda: load.answers[-1] == "two")

        assert load.lost == []
        assert program_of(lab.nginx.observe().pid) == str(other)
        await eventually(lambda: not orphans(lab.processes))

    in_lab(story)


def test_a_graceful_stop_lets_requests_finish():
    async def story(lab):
        backend = free_port()
        await lab.serve("one", more=f"location /slow {{ proxy_pass http://127.0.0.1:{backend}; }}")
        asked = asyncio.Event()

        async def slow(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await eventually(lambda: any(process.is_shutting_down for process in lab.processes))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            writer.close()

        async with await asyncio.start_server(slow, "127.0.0.1", backend):
            request = asyncio.create_task(get(lab.port, "/slow"))
            await asked.wait()
            await lab.nginx.stop(graceful=True)

            assert await request == (200, "done")
        seen = lab.nginx.observe()
        assert (seen.pid, seen.live) == (None, "")
        assert lab.processes == []

    in_lab(story)


def test_a_stop_also_ends_workers_whose_master_was_killed():
    async def story(lab):
        deaths = []
        lab.nginx.watch(lambda: deaths.append(True))
        await lab.serve("one")
        await lab.kill_master()
        assert await lab.says() == "one"

        await lab.nginx.stop(graceful=True)

        assert lab.processes == []

    in_lab(story)


def test_large_logs_are_numbered_and_every_worker_writes_to_the_new_file():
    async def story(lab):
        await lab.serve("one")
        log = lab.home.logs / "sites" / "test.access.log"
        for _ in range(3):
            for _ in range(20):
                await get(lab.port)
            troubles = await lab.nginx.rotate(max_size=10, keep=2)
            assert troubles[str(log)] is None
            await eventually(log.exists)

        for _ in range(40):
            await get(lab.port)

        await eventually(lambda: log.read_text().count("\n") == 40)
        assert sorted(path.name for path in log.parent.iterdir()) == [
            "test.access.log",
            "test.access.log.1",
            "test.access.log.2",
        ]
        assert "Permission denied" not in (lab.home.logs / "nginx" / "error.log").read_text()
        assert lab.home.logs.stat().st_mode & 0o007 == 0

    in_lab(story)


def test_the_last_generations_that_were_served_are_kept_whatever_is_only_tested():
    async def story(lab):
        served = [(await lab.serve(str(number))).number for number in range(7)]
        for number in range(7):
            await lab.nginx.install(lab.files(f"tested {number}"), f"tested {number}")

        kept = {int(name) for name in lab.generations}

        assert set(served) & kept == set(served[-5:])
        assert len(kept) == 10
        folders = lab.home.nginx / "generations"
        others = [f for f in folders.iterdir() if int(f.name) != served[-1]]
        assert {folder.stat().st_mode & 0o777 for folder in others} == {0o700}
        assert await lab.says() == "6"

    in_lab(story)


def test_files_may_not_lie_outside_their_generation():
    async def story(lab):
        with pytest.raises(ValueError, match="leads out"):
            await lab.nginx.install({"../../nginx.conf": ""}, "x")

    in_lab(story)
