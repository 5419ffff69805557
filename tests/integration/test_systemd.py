"""Where systemd looks after the daemon, commands start and replace it through systemd."""

from __future__ import annotations

from functools import partial

import pytest

from portico.client.connect import connect
from portico.client.systemd import installed_unit, unit_of
from portico.client.upgrading import replace_daemon
from portico.core.model import verbs
from portico.system.home import Home
from tests import newer
from tests.waiting import eventually

SYSTEMCTL = """#!/bin/sh
# What systemd does with the unit of a home, as far as one command sees it.
echo "$@" >>{told}
unit="$XDG_CONFIG_HOME/systemd/user/$3"
case "$2" in
    start)
        env $(sed -n 's/^Environment="\\(.*\\)"$/\\1/p' "$unit") NOTIFY_SOCKET={told}.nobody \\
            setsid sh -c "exec $(sed -n 's/^ExecStart=//p' "$unit")" >/dev/null 2>&1 & ;;
    restart) kill $(cat {home}/daemon.lock); "$0" --user start "$3" ;;
esac
"""


@pytest.fixture
def systemd(stack):
    """A machine whose init is systemd, with a unit for the home of the stack."""
    bin_folder, told = stack.root / "bin", stack.root / "told"
    bin_folder.mkdir()
    stack.environ |= {
        "PATH": f"{bin_folder}:{stack.environ['PATH']}",
        "XDG_CONFIG_HOME": str(stack.root / "config"),
    }
    newer.placed(
        bin_folder / "systemctl",
        SYSTEMCTL.format(told=told, home=stack.home).encode(),
    )
    newer.placed(bin_folder / "systemd-analyze", b"#!/bin/sh\n")
    home = Home(stack.home)
    unit_of(home, stack.environ, root=False).install()
    told.unlink()
    find = partial(installed_unit, booted=stack.root, root=False)
    return home, find, told


def test_where_systemd_looks_after_the_daemon_it_is_asked_to_start_it(stack, systemd):
    home, find, told = systemd
    client = connect(home, stack.environ, start=True, find_unit=find)
    unit = unit_of(home, stack.environ, root=False).name
    assert told.read_text() == f"--user start {unit}\n"
    assert client.ask(verbs.STATUS).daemon.mode == "unit"


def test_where_systemd_looks_after_the_daemon_it_is_asked_to_replace_it(stack, systemd):
    home, find, told = systemd
    client = connect(home, stack.environ, start=True, find_unit=find)
    before = client.ask(verbs.VERSION).pid
    told.unlink()
    replace_daemon(home, stack.environ, client, find_unit=find)
    assert told.read_text().splitlines()[0].startswith("--user restart portico@")
    eventually(lambda: client.answers() and client.ask(verbs.VERSION).pid != before)


def test_a_unit_that_names_another_program_is_written_anew_first(stack, systemd):
    home, find, told = systemd
    unit = unit_of(home, stack.environ, root=False)
    client = connect(home, stack.environ, start=True, find_unit=find)
    unit.path.write_text(unit.text.replace("Restart=always", "Restart=no"))
    told.unlink()
    replace_daemon(home, stack.environ, client, find_unit=find)
    assert told.read_text().splitlines()[0] == "--user daemon-reload"
    assert unit.path.read_text() == unit.text
