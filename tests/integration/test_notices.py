"""What real programs say of themselves, by sd_notify and process.send, and who is believed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from contextlib import asynccontextmanager

import psutil
import pytest

from portico.adapters.processes.notices import UnixNotices
from portico.core.planning.environment import NoticePaths
from tests.instances import launch, node, python, supervised, until

SHELL = ("sh", "-c")


class Lab:
    """A place for programs, and a daemon that hears them or not."""

    def __init__(self, folder) -> None:
        self.folder, self.go = folder, folder / "go"
        self.paths = NoticePaths(
            str(folder / "notify"), str(folder / "send"), str(folder / 'a "b" send.cjs')
        )
        self.heard, self.woken = [], asyncio.Event()
        self.notices: UnixNotices | None = None

    async def listen(self) -> None:
        self.notices = UnixNotices()
        await self.notices.open(self.paths, lambda _: self.woken.set())

    def stop_listening(self) -> None:
        self.notices.close()
        self.notices = None

    def look(self):
        self.heard += self.notices.take_notices()
        return self.heard

    async def of(self, process, *, ready=True, within=60):
        """The first notice of this process, and of nobody else."""

        def first():
            return [n for n in self.look() if process.pid in n.sessions and n.ready is ready]

        return (await until(first, within))[0]


@asynccontextmanager
async def lab(folder):
    its = Lab(folder)
    await its.listen()
    async with supervised(folder, its.paths) as processes:
        try:
            yield its, processes
        finally:
            if its.notices:
                its.stop_listening()


def asked(folder, command, **app):
    """They need not listen: nobody tells them a `PORT`."""
    return launch(folder, command=command, wait_ready=True, port_env="NONE", **app)


@pytest.mark.parametrize("program", [python("ready.py"), node("ready.js")])
def test_a_program_is_heard_when_it_says_that_it_is_ready_and_not_before(tmp_path, program):
    async def scenario():
        async with lab(tmp_path) as (its, processes):
            started = asked(
                tmp_path, (*program, str(its.go)), env={"NODE_OPTIONS": "--no-warnings"}
            )
            process = await processes.spawn(started, lambda _: None)
            if program[0] == sys.executable:
                assert (await its.of(process, ready=False)).status == "warms up"
            await asyncio.sleep(0.2)
            assert not any(notice.ready for notice in its.look())
            its.go.touch()
            await its.of(process)
            assert its.woken.is_set()

    asyncio.run(scenario())


@pytest.mark.parametrize("program", [python("ready.py"), node("ready.js")])
def test_what_is_said_to_the_next_daemon_is_heard_by_it(tmp_path, program):
    async def scenario():
        async with lab(tmp_path) as (its, processes):
            process = await processes.spawn(
                asked(tmp_path, (*program, str(its.go))), lambda _: None
            )
            its.stop_listening()
            await its.listen()
            its.go.touch()
            await its.of(process)

    asyncio.run(scenario())


def test_a_node_program_that_speaks_while_no_daemon_runs_is_heard_by_the_next_and_lives_on(
    tmp_path,
):
    async def scenario():
        async with lab(tmp_path) as (its, processes):
            started = asked(tmp_path, (*node("ready.js"), str(its.go)))
            process = await processes.spawn(started, lambda _: None)
            its.stop_listening()
            its.go.touch()
            (tmp_path / "go.more").touch()
            await until(lambda: processes.output(started).count("sent null") > 2)
            await its.listen()
            await its.of(process)

    asyncio.run(scenario())


def test_what_was_not_put_on_record_is_said_again(tmp_path):
    """The daemon is lost between hearing it and writing it down."""

    async def scenario():
        async with lab(tmp_path) as (its, processes):
            its.go.touch()
            started = asked(tmp_path, (*node("ready.js"), str(its.go)))
            process = await processes.spawn(started, lambda _: None)
            await asyncio.wait_for(its.woken.wait(), 60)
            its.stop_listening()
            await its.listen()
            await its.of(process)

    asyncio.run(scenario())


@pytest.mark.skipif(not shutil.which("systemd-notify"), reason="belongs to systemd")
def test_a_shell_script_may_let_systemd_notify_speak_for_it(tmp_path):
    async def scenario():
        async with lab(tmp_path) as (its, processes):
            started = asked(tmp_path, (*SHELL, "systemd-notify --ready --status=well; sleep 60"))
            process = await processes.spawn(started, lambda _: None)
            assert (await its.of(process)).status == "well"

    asyncio.run(scenario())


def test_a_child_in_a_session_of_its_own_speaks_for_the_instance_and_a_stranger_for_nobody(
    tmp_path,
):
    async def scenario():
        async with lab(tmp_path) as (its, processes):
            its.go.touch()
            child = " ".join((*python("ready.py"), str(its.go)))
            started = asked(tmp_path, (*SHELL, f"setsid --wait {child} & wait"))
            process = await processes.spawn(started, lambda _: None)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.sendto(b"READY=1", its.paths.notify)
            await its.of(process)
            (stranger,) = [n for n in its.heard if process.pid not in n.sessions]
            assert stranger.ready
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()  # nobody else ends what is in another session
                child.wait(60)

    asyncio.run(scenario())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start programs as another user")
def test_a_user_who_may_not_enter_the_folder_is_an_error_before_anything_starts(tmp_path):
    async def scenario():
        async with lab(tmp_path) as (_, processes):
            tmp_path.chmod(0o700)
            (why,) = await processes.problems(asked(tmp_path, (*SHELL, "env"), user="nobody"))
            assert why.startswith(f"wait_ready needs {tmp_path}, and nobody may not enter /")

    asyncio.run(scenario())


def test_files_that_come_with_a_message_are_closed(tmp_path):
    async def scenario():
        async with lab(tmp_path) as (its, _):
            left, right = socket.socketpair()
            with left, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(its.paths.notify)
                socket.send_fds(sender, [b"FDSTORE=1"], [right.fileno()])
                right.close()
                left.settimeout(0)
                await until(lambda: _is_closed(left))

    asyncio.run(scenario())


def test_programs_of_apps_that_do_not_wait_are_told_nothing(tmp_path):
    async def scenario():
        async with lab(tmp_path) as (_, processes):
            started = launch(tmp_path, command=(*SHELL, "env"))
            exits = []
            await processes.spawn(started, exits.append)
            await until(lambda: exits)
            output = processes.output(started)
            assert "NOTIFY_SOCKET" not in output
            assert "NODE_OPTIONS" not in output

    asyncio.run(scenario())


def _is_closed(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except BlockingIOError:
        return False
