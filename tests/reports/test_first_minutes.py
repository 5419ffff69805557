"""The first minutes: logs, where a program listens, homes, ports, programs that leave."""

from __future__ import annotations

import asyncio
import io
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from portico.adapters.nginx.error_lines import explain as explain_nginx
from portico.cli.main import run
from portico.core.config.notes import open_to_all
from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.instance import Exit
from portico.core.model.names import InstanceId
from portico.core.planning.environment import environment, instance_variables
from portico.core.planning.reasons import explain
from portico.errors import Refused
from portico.system.home import Home
from tests.fakes.control import FakeControl, log_file, serving


@pytest.fixture
def logs(tmp_path):
    """`portico logs` of files that are so many seconds old; each begins with an `offset`."""

    def shown(files: dict[str, tuple[str, float]], **view: object) -> list[str]:
        control = FakeControl(tmp_path / "home")
        for name, (text, age) in files.items():
            (tmp_path / name).write_text(text)
            os.utime(tmp_path / name, (time.time() - age, time.time() - age))
            control.log_files.append(log_file(tmp_path / name, stream=name, **view))
        out = io.StringIO()
        with serving(control, tmp_path / "home") as home:
            assert run(["logs"], {"PORTICO_HOME": str(home.path)}, out, io.StringIO()) == 0
        return out.getvalue().splitlines()

    return shown


def test_an_old_error_is_not_below_the_output_of_now(logs):
    """https://github.com/Unitech/pm2/issues/1109, https://github.com/Unitech/pm2/pull/1187: errors
    were always at the end, however old they were.
    """
    lines = logs({"stdout": ("serving\n", 1), "stderr": ("Error: of yesterday\n", 90000)})
    assert lines[-1] == "web.1.1 | serving"
    assert "web.1.1 | Error: of yesterday" in lines[:-1]


def test_the_time_of_a_line_is_not_that_of_the_command(logs):
    """https://github.com/Unitech/pm2/issues/484, https://github.com/Unitech/pm2/issues/738: lines
    of hours ago had the time at which `logs` was typed.
    """
    [heading, _] = logs({"stdout": ("done\n", 7300)})
    assert heading == "--- web.1.1 stdout, last written 2h 1m ago ---"


def test_what_an_earlier_program_of_the_name_has_written_is_apart(logs):
    """https://github.com/Unitech/pm2/pull/1187: logs of other apps that had the same name."""
    lines = logs({"stdout": ("of an older app\nours\n", 2)}, offset=16, started=time.time() - 60)
    assert [line for line in lines if "|" in line] == [
        "web.1.1 | of an older app",
        "web.1.1 | ours",
    ]
    assert lines[0] == "--- web.1.1 stdout, before the start 1m ago ---"


def test_a_program_behind_nginx_is_offered_loopback_and_named_if_it_is_open():
    """https://github.com/frankbria/auto-author/pull/268: programs under PM2 on a shared server
    listened on 0.0.0.0 and went past nginx.
    """
    own = instance_variables(App(command="x"), "web", InstanceId("web.1.1"), 1, 8000)
    spec = Spec("v1", "web", App(command="x"), "/srv", {"HOST": "build-7"})
    assert environment(spec, {}, (), own)["HOST"] == "127.0.0.1"
    [note] = open_to_all(["web"])
    assert "apps.web: listens on all addresses, so clients can bypass nginx" in note


def test_a_program_that_puts_itself_in_the_background_is_said_to_stay_in_front():
    """https://github.com/Supervisor/supervisor/issues/891, https://github.com/Unitech/pm2/issues/5074:
    "exited too quickly" and restarts, for a program that daemonizes itself.
    """
    reason = explain(Exit(code=0), [], port=8000, uptime=0.4)
    assert "if it continues in the background, start it in the foreground" in reason


@pytest.mark.parametrize("environ", [{}, {"HOME": "/nonexistent"}])
def test_a_home_of_its_own_needs_no_other(environ, tmp_path):
    """https://github.com/Unitech/pm2/issues/2580, https://github.com/Unitech/pm2/issues/980: a
    user without a home folder, and PM2_HOME that only half of the programs looked at.
    """
    home = Home.find({**environ, "PORTICO_HOME": str(tmp_path)}, root=False)
    assert home.path == tmp_path


def test_a_home_that_is_a_file_is_named(tmp_path):
    """https://github.com/Unitech/pm2/issues/5092: `Could not read …/pm2.pid`, and no reason."""
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=f"{tmp_path}/file is a file; choose a folder"):
        Home.find({"PORTICO_HOME": str(tmp_path / "file")}, root=False).make()


def test_port_80_without_root_is_said_how_to_get_it():
    """https://github.com/cachix/devenv/issues/553, https://github.com/caddyserver/caddy/issues/353:
    `listen tcp :80: bind: permission denied`, and nothing about what to do.
    """
    said = "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)\n"
    told = asyncio.run(explain_nginx(said, Path("/h/nginx"), SimpleNamespace()))
    assert "`sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80`" in told
