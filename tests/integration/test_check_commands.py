"""Checks that are a command, run as the instance is run, by the real adapter."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from portico.core.model.check import Check
from tests.instances import launch, supervised
from tests.waiting import eventually, is_gone

NO_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs as another user")


def check(folder: Path, asked, timeout=60.0, **app):
    async def scenario():
        async with supervised(folder) as processes:
            instance = launch(folder, **({"command": "node"} | app))
            return await processes.run_check(instance, Check(command=asked, timeout=timeout))

    return asyncio.run(scenario())


def test_exit_code_0_is_good(tmp_path):
    assert check(tmp_path, "true") is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "its check exited with code 1"),
        (("sh", "-c", "echo one; echo two >&2; exit 3"), "its check exited with code 3: two"),
        (("sh", "-c", "kill -9 $$"), "its check was killed by signal 9"),
    ],
)
def test_how_it_ended_is_said_with_its_last_line(tmp_path, command, said):
    assert check(tmp_path, command) == said


def test_a_program_that_is_not_there_is_named(tmp_path):
    said = check(tmp_path, "no-such-program -x")
    assert said.startswith('its check cannot run: there is no program "no-such-program" in PATH')


def test_it_has_the_environment_and_the_folder_of_the_instance(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / ".env").write_text("SECRET=s3\n")
    script = (
        'test "$PORT $COLOUR $SECRET $PORTICO_INSTANCE $PWD" = "$0" || { echo "$PWD"; exit 1; }'
    )
    wanted = f"41003 blue s3 web.1.7 {tmp_path / 'site'}"
    app = {"cwd": "site", "env": {"COLOUR": "blue"}, "env_file": ".env"}
    assert check(tmp_path, ("sh", "-c", script, wanted), **app) is None


def test_words_are_filled_in_as_those_of_the_app_are(tmp_path):
    assert check(tmp_path, "test $PORT -eq 41003") is None


@NO_ROOT
def test_it_runs_as_the_user_of_the_instance(tmp_path):
    tmp_path.chmod(0o777)
    command = ("sh", "-c", "test $(id -un) = nobody")
    assert check(tmp_path, command, user="nobody") is None


def test_at_its_timeout_it_is_killed_with_what_it_started(tmp_path):
    pid = tmp_path / "pid"
    command = ("sh", "-c", f"sleep 600 & echo $! > {pid}; wait")
    begun = time.monotonic()
    assert check(tmp_path, command, timeout=2) == "its check timed out after 2s"
    assert time.monotonic() - begun < 60
    left = int(pid.read_text())
    eventually(lambda: is_gone(left))


def test_endless_output_is_not_kept(tmp_path):
    before = psutil.Process().memory_info().rss
    said = check(tmp_path, ("sh", "-c", "yes"), timeout=0.5)
    assert said == "its check timed out after 0.5s"
    assert psutil.Process().memory_info().rss - before < 50 << 20
