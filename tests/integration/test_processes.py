"""Starting real programs, what they find when they start, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from portico.adapters.processes.start import links_of
from portico.core.model.instance import Exit
from portico.system.proc import stat
from tests.instances import Exits, is_dead, launch, node, python, supervised, until


def shown(folder, **app):
    """What show.py, started as an instance, says it was started with."""

    async def scenario():
        asked = launch(folder, **{"command": python("show.py", "exit", 0)} | app)
        async with supervised(folder) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            await exits.first()
            return json.loads(processes.output(asked).splitlines()[-1])

    return asyncio.run(scenario())


def test_an_instance_is_told_its_port_and_starts_in_a_clean_state(tmp_path):
    got = shown(tmp_path, env={"DEBUG": True}, slot=2)
    assert got["env"]["PORT"] == "41003"
    assert got["env"]["NODE_APP_INSTANCE"] == "1"
    assert got["env"]["PORTICO_INSTANCE"] == "web.2.7"
    assert got["env"]["DEBUG"] == "true"
    assert got["cwd"] == got["env"]["PWD"] == str(tmp_path)
    assert got["session"] == got["pid"]
    assert got["umask"] == 0o022
    assert (got["ignored"], got["blocked"]) == (1 << 12 | 1 << 24, 0)  # Python ignores two itself
    assert got["stdin"] == "/dev/null"
    assert got["files"] == [0, 1, 2]


def test_a_script_gets_the_python_of_its_project(tmp_path):
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" own\n')
    own.chmod(0o755)
    got = shown(tmp_path, command=None, script=python("show.py")[1], args="exit 0")
    assert got["argv"] == ["exit", "0", "own"]


def test_signals_that_the_daemon_was_started_to_ignore_are_not_ignored_by_programs(tmp_path):
    asking = (
        "import asyncio, sys; sys.path[:0] = sys.argv[1:2]\n"
        "from pathlib import Path\n"
        "from tests.integration.test_processes import shown\n"
        "assert not shown(Path(sys.argv[2]))['ignored'] & 0b11\n"
    )
    root = str(Path(__file__).parents[2])
    command = ("sh", "-c", 'trap "" HUP INT CHLD; exec "$@"', "-", sys.executable, "-c", asking)
    subprocess.run((*command, root, str(tmp_path)), check=True, timeout=60)


def test_every_start_of_a_version_reads_env_file_where_links_led_when_it_was_made(tmp_path):
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / ".env").write_text(f"RELEASE={release}\n")
    link, secrets = tmp_path / "current", tmp_path / ".env"
    app = {"cwd": "current", "env_file": (".env", "current/.env")}

    link.symlink_to("one")
    secrets.write_text("KEY=1\n")
    links = links_of(launch(tmp_path, command="true", **app).spec)
    link.unlink()
    link.symlink_to("two")
    secrets.write_text("KEY='2'\n")
    same, fresh = (shown(tmp_path, links=each, **app) for each in (links, {}))

    assert links == {str(link): str(tmp_path / "one")}
    assert [
        (each["cwd"], each["env"]["KEY"], each["env"]["RELEASE"]) for each in (same, fresh)
    ] == [
        (str(tmp_path / "one"), "2", "one"),
        (str(tmp_path / "two"), "2", "two"),
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("node", "-e", "process.exit(7)"), Exit(code=7)),
        (("sh", "-c", "exit 0"), Exit(code=0)),
        (("sh", "-c", "kill -SEGV $$"), Exit(signal=signal.SIGSEGV)),
    ],
)
def test_an_exit_is_told_once_with_its_code_or_signal(tmp_path, command, expected):
    async def scenario():
        async with supervised(tmp_path) as processes:
            exits = Exits()
            process = await processes.spawn(launch(tmp_path, command=command), exits)
            assert await exits.first() == expected
            await asyncio.sleep(0.1)
            assert exits.all == [expected]
            assert stat(process.pid) is None  # no zombie

    asyncio.run(scenario())


def test_a_program_goes_on_whose_first_thread_has_ended(tmp_path):
    text = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )

    def first_thread_has_ended(pid: int) -> bool:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()

    async def scenario():
        async with supervised(tmp_path) as processes:
            exits = Exits()
            asked = launch(tmp_path, command=(sys.executable, "-c", text))
            process = await processes.spawn(asked, exits)
            await until(lambda: first_thread_has_ended(process.pid))
            seen = stat(process.pid)
            assert seen
            assert not seen.ended
            assert not exits.all
            os.kill(process.pid, signal.SIGKILL)
            assert await exits.first() == Exit(signal=signal.SIGKILL)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (node("listen.js", 0), Exit(code=0)),
        (python("listen.py", 0), Exit(signal=signal.SIGTERM)),
    ],
)
def test_a_stop_signal_lets_a_program_end_as_it_likes(tmp_path, program, expected):
    async def scenario():
        asked = launch(tmp_path, command=program)
        async with supervised(tmp_path) as processes:
            exits = Exits()
            process = await processes.spawn(asked, exits)
            await until(lambda: "listens" in processes.output(asked))
            processes.signal(process, "SIGTERM")
            assert await exits.first() == expected

    asyncio.run(scenario())


def killed_child():
    """One that a signal ended; another test's, which ended by itself, is passed over."""
    with suppress(ChildProcessError):  # there is none yet
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
        return found if found and found.si_code == os.CLD_KILLED else None
    return None


def test_a_start_that_nobody_waits_for_any_more_leaves_nothing_running(tmp_path):
    async def scenario():
        async with supervised(tmp_path) as processes:
            asked = launch(tmp_path, command=python("show.py"))
            start = asyncio.get_running_loop().create_task(processes.spawn(asked, Exits()))
            await asyncio.sleep(0)
            start.cancel()
            with pytest.raises(asyncio.CancelledError):
                await start
            return await until(killed_child)

    # show.py never ends by itself
    assert asyncio.run(scenario()).si_status == signal.SIGKILL


def pids_of(told):
    pairs = [line.split() for line in told.read_text().splitlines() if " " in line]
    return {name: int(pid) for name, pid in pairs}


def a_family(folder, manner, act):
    """family.py as an instance, and what `act` does to it; its pids and its exit."""
    told = folder / "told"
    told.touch()

    async def scenario():
        async with supervised(folder) as processes:
            exits = Exits()
            command = python("family.py", told, manner)
            process = await processes.spawn(launch(folder, command=command), exits)
            await until(lambda: "leader" in told.read_text())
            await act(processes, process)
            ending = await exits.first()
            return pids_of(told), ending

    return asyncio.run(scenario())


def test_a_kill_reaches_grandchildren(tmp_path):
    async def act(processes, process):
        processes.signal(process, "SIGKILL")

    pids, ending = a_family(tmp_path, "stays", act)
    assert ending == Exit(signal=signal.SIGKILL)
    assert all(map(is_dead, pids.values()))


def test_what_a_crashed_program_leaves_behind_is_ended_before_its_exit_is_told(tmp_path):
    async def act(processes, process):
        pass

    pids, ending = a_family(tmp_path, "dies", act)
    assert ending == Exit(code=3)
    assert all(map(is_dead, pids.values()))


def test_children_of_a_program_that_was_told_to_stop_may_finish_their_work(tmp_path):
    async def act(processes, process):
        processes.signal(process, "SIGTERM")

    pids, ending = a_family(tmp_path, "leaves", act)
    assert ending == Exit(code=0)
    assert "finished" in (tmp_path / "told").read_text()
    assert all(map(is_dead, pids.values()))


def test_a_child_that_outlives_its_parent_holds_up_the_exit_until_it_is_killed(tmp_path):
    async def act(processes, process):
        processes.signal(process, "SIGTERM")  # which the child ignores
        await until(lambda: is_dead(process.pid))
        child = pids_of(tmp_path / "told")["child"]
        await asyncio.sleep(0.3)
        assert not is_dead(child)
        processes.signal(process, "SIGKILL")

    pids, ending = a_family(tmp_path, "stays", act)
    assert ending == Exit(code=0)
    assert all(map(is_dead, pids.values()))


async def measured(processes, holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        await processes.measure()
        await asyncio.sleep(0.1)


def test_usage_counts_the_children_too(tmp_path):
    told = tmp_path / "told"
    told.touch()

    async def scenario():
        async with supervised(tmp_path) as processes:
            busy = ("sh", "-c", "while :; do :; done & wait")
            hot = await processes.spawn(launch(tmp_path, command=busy), Exits())
            family = python("family.py", told, "stays")
            cold = await processes.spawn(launch(tmp_path, slot=2, command=family), Exits())
            await until(lambda: "leader" in told.read_text())
            alone = stat(cold.pid).resident
            await measured(processes, lambda: processes.usage(hot)[1] > 5)  # of a busy machine
            await measured(processes, lambda: processes.usage(cold)[1] < 2)
            assert alone * 1.5 < processes.usage(cold)[0] < alone * 4

    asyncio.run(scenario())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_an_app_runs_as_its_user_who_owns_its_logs(tmp_path):
    nobody = pwd.getpwnam("nobody")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 1:
            folder.chmod(0o711)
    asked = launch(
        tmp_path,
        command=("/usr/bin/env", "python3", python("show.py")[1], "exit", "0"),
        user="nobody",
        logs={"stdout": "own/web.log"},
    )

    async def scenario():
        async with supervised(tmp_path) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            await exits.first()

    asyncio.run(scenario())
    got = json.loads((tmp_path / "own" / "web.log").read_text())
    assert (got["uid"], got["gid"]) == (nobody.pw_uid, nobody.pw_gid)
    assert 0 not in got["groups"]
    assert (got["env"]["USER"], got["env"]["HOME"]) == ("nobody", nobody.pw_dir)
    assert (tmp_path / "own").stat().st_uid == nobody.pw_uid
    assert (tmp_path / "own" / "web.log").stat().st_uid == nobody.pw_uid
    assert (tmp_path / "logs" / "apps").stat().st_uid == 0
