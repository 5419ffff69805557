"""What cannot be started, and what is said of it before and when it is tried."""

from __future__ import annotations

import asyncio
import os

import pytest

from portico.core.model.app import App
from portico.core.planning.command_line import command_line
from portico.errors import Failed
from tests.instances import Exits, launch, python, supervised


def problems(folder, **app):
    """What is said without starting it; a start must fail for the same reasons."""

    async def scenario():
        asked = launch(folder, environ={"PATH": "/usr/bin:/bin"}, **app)
        async with supervised(folder) as processes:
            said = await processes.problems(asked)
            if said:
                with pytest.raises(Failed) as caught:
                    await processes.spawn(asked, Exits())
                assert str(caught.value) == f"could not be started: {'; '.join(said)}"
                assert processes.started == []
            return said

    return asyncio.run(scenario())


def test_a_program_that_is_nowhere(tmp_path):
    assert problems(tmp_path, command="nod index.js") == [
        'there is no program "nod" in PATH (/usr/bin:/bin)'
    ]
    assert problems(tmp_path, command="./serve") == [f"file {tmp_path}/serve does not exist"]
    assert problems(tmp_path, script="nod") == [f"file {tmp_path}/nod does not exist"]


def test_a_script_that_is_nowhere_or_that_nothing_runs(tmp_path):
    assert problems(tmp_path, script="app.py") == [f"file {tmp_path}/app.py does not exist"]
    (tmp_path / "server.ts").touch()
    assert problems(tmp_path, script="server.ts") == [
        'there is no program "bun" or "tsx" or "ts-node" in PATH (/usr/bin:/bin): '
        + command_line(App(script="server.ts"), {}, {}).hint
    ]


def test_a_file_that_may_not_be_executed(tmp_path):
    (tmp_path / "serve").write_text("#!/bin/sh\n")
    assert problems(tmp_path, script="serve") == [
        f"{tmp_path}/serve is not executable; chmod +x it, or set interpreter"
    ]


def test_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "current").symlink_to("release-7")
    assert problems(tmp_path, command="true", cwd="gone") == [
        f"folder {tmp_path}/gone does not exist"
    ]
    assert problems(tmp_path, command="true", cwd="current") == [
        f"folder {tmp_path}/current does not exist"
    ]
    assert problems(tmp_path, command="true", cwd="file") == [f"{tmp_path}/file is not a folder"]
    links = {f"{tmp_path}/current": f"{tmp_path}/release-7"}
    assert problems(tmp_path, command="true", cwd="current", links=links) == [
        (
            f"folder {tmp_path}/release-7, to which {tmp_path}/current led, does not exist; "
            "`portico reload web` follows the link again"
        )
    ]


def test_env_files_that_cannot_be_used(tmp_path):
    (tmp_path / "bad").write_text("A=1\nB\n")
    (tmp_path / "latin").write_bytes(b"A=1\n\nB=\xe4\n")
    (tmp_path / "huge").write_text("A=1\n" * 300_000)
    assert problems(tmp_path, command="true", env_file=("gone",)) == [
        f"env_file {tmp_path}/gone does not exist"
    ]
    assert problems(tmp_path, command="true", env_file="bad") == [
        f"{tmp_path}/bad line 2: 'B' has no =; write NAME=value"
    ]
    assert problems(tmp_path, command="true", env_file="latin") == [
        f"{tmp_path}/latin line 3: not UTF-8 text"
    ]
    assert problems(tmp_path, command="true", env_file="huge") == [
        f"env_file {tmp_path}/huge is larger than 1 MiB"
    ]


def test_log_files_that_cannot_be_written(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "file").touch()
    said = {
        "link": f"log file {tmp_path}/link is a symbolic link; use the path of the file itself",
        ".": f"log file {tmp_path} is a folder",
        "file/log": f"cannot create log file {tmp_path}/file/log: {tmp_path}/file is not a folder",
    }
    for name, problem in said.items():
        assert problems(tmp_path, command="true", logs={"stdout": name}) == [problem]


def test_users_and_groups_that_do_not_exist(tmp_path):
    assert problems(tmp_path, command="true", user="nobodyatall") == [
        'there is no user "nobodyatall"'
    ]
    assert problems(tmp_path, command="true", group="nogroupatall") == [
        'there is no group "nogroupatall"'
    ]


def test_all_problems_are_told_at_once(tmp_path):
    said = problems(tmp_path, command="nod", cwd="gone", env_file="gone", user="nobodyatall")
    assert len(said) == 3
    said = problems(tmp_path, command="cd x && nod")
    assert len(said) == 1
    assert "not run by a shell" in said[0]


def test_what_can_be_started_has_no_problems_and_is_not_started(tmp_path):
    assert problems(tmp_path, command=python("show.py")) == []
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"#!/no/such/program\n", "the #! line of {} names a program that does not exist"),
        (b"echo no first line\n", "{} is not an executable for this machine and has no #! line"),
        (b"\x7fELF nonsense", "{} is not an executable for this machine and has no #! line"),
    ],
)
def test_what_only_the_kernel_refuses_is_a_failure_in_words(tmp_path, content, reason):
    file = tmp_path / "serve"
    file.write_bytes(content)
    file.chmod(0o755)

    async def scenario():
        async with supervised(tmp_path) as processes:
            with pytest.raises(Failed) as caught:
                await processes.spawn(launch(tmp_path, script="serve"), Exits())
            return str(caught.value)

    assert asyncio.run(scenario()) == f"could not be started: {reason.format(file)}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_program_that_its_user_may_not_execute(tmp_path):
    file = tmp_path / "serve"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o700)

    async def scenario():
        async with supervised(tmp_path) as processes:
            with pytest.raises(Failed, match=f"nobody may not execute {file}"):
                await processes.spawn(launch(tmp_path, script="serve", user="nobody"), Exits())

    asyncio.run(scenario())


def test_a_log_that_is_a_pipe_nobody_reads_does_not_hold_up_the_daemon(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    async def scenario():
        asked = launch(tmp_path, command="true", logs={"stdout": "pipe"})
        async with supervised(tmp_path) as processes, asyncio.timeout(60):
            with pytest.raises(Failed, match="pipe: No such device or address"):
                await processes.spawn(asked, Exits())

    asyncio.run(scenario())
