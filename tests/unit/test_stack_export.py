"""Plain files for nginx, systemd and PM2 that do what a file says without Portico."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.importers.read import read_file
from portico.stack.export import nginx
from portico.stack.export.calendar import calendar_events
from portico.stack.export.ecosystem import ecosystem
from portico.stack.export.losses import losses
from portico.stack.export.processes import FIRST_PORT, ports_of, processes, with_servers
from portico.stack.export.units import lost_schedules, units

PATH = {"PATH": "/usr/bin:/bin"}
SHOP = """
[apps.web]
command = "python3 -m http.server $PORT"
instances = 2
env = { TITLE = 'a "b" $c %d \\ e' }
weight = 3
[apps.web.slots.2]
backup = true
[apps.api]
command = ["python3", "-c", "print('$HOME')"]
port = 4000
[apps.migrate]
command = "python3 -V"
port = false
autorestart = false
[apps.cleanup]
command = "python3 -V"
port = false
schedule = "*/30 3 * * 1-5"
tz = "Europe/Berlin"
[apps.worker]
command = "python3 -V"
port = false
after = ["migrate"]
[sites.localhost]
app = "web"
routes = { "/api/" = "api" }
https = false
"""


def read(text, folder="/srv/shop"):
    document = read_document(tomllib.loads(text), source="portico.toml")
    desired = desired_from(document, folder=folder, environ=PATH, cores=2, root=False)
    return document, desired


def exported(text, folder="/srv/shop"):
    _, desired = read(text, folder)
    return processes(desired, ports_of(desired), PATH)


def lines_of(unit, key):
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_every_process_that_listens_has_a_fixed_port_of_its_own():
    _, desired = read(SHOP)
    assert ports_of(desired) == {"web": (FIRST_PORT, FIRST_PORT + 1), "api": (4000,)}


def test_a_port_of_the_file_is_given_to_nobody_else():
    _, desired = read(f"{SHOP}\n[apps.other]\ncommand = 'x'\nport = {FIRST_PORT}\n")
    ports = [port for each in ports_of(desired).values() for port in each]
    assert len(set(ports)) == len(ports) == 4


def test_nginx_has_the_processes_of_an_app_with_their_weights_and_backups():
    _, desired = read(SHOP)
    servers = with_servers(desired, ports_of(desired)).upstreams["web"].servers
    assert [(each.address, each.weight, each.backup) for each in servers] == [
        (f"127.0.0.1:{FIRST_PORT}", 3, False),
        (f"127.0.0.1:{FIRST_PORT + 1}", 3, True),
    ]


def test_a_unit_holds_the_words_of_a_command_and_its_variables_as_they_are():
    by_name = units("shop", exported(SHOP), ())
    web = by_name["shop-web-2.service"]
    assert lines_of(web, "ExecStart") == [
        f'"/usr/bin/python3" "-m" "http.server" "{FIRST_PORT + 1}"'
    ]
    variables = [shlex.split(each)[0] for each in lines_of(web, "Environment")]
    assert 'TITLE=a "b" $c %%d \\ e' in variables  # %% is systemd's for %
    assert f"PORT={FIRST_PORT + 1}" in variables
    assert "NODE_APP_INSTANCE=1" in variables
    assert lines_of(by_name["shop-api.service"], "ExecStart") == [
        '"/usr/bin/python3" "-c" "print(\'$$HOME\')"'
    ]


def test_an_app_that_runs_once_is_waited_for_by_those_that_come_after_it():
    by_name = units("shop", exported(SHOP), ())
    assert lines_of(by_name["shop-migrate.service"], "Type") == ["oneshot"]
    assert lines_of(by_name["shop-migrate.service"], "RemainAfterExit") == ["yes"]
    assert lines_of(by_name["shop-worker.service"], "Requires") == ["shop-migrate.service"]


def test_a_schedule_is_a_timer():
    by_name = units("shop", exported(SHOP), ())
    assert lines_of(by_name["shop-cleanup.timer"], "OnCalendar") == [
        "Mon,Tue,Wed,Thu,Fri *-*-* 03:00,30:00 Europe/Berlin"
    ]
    assert lines_of(by_name["shop-cleanup.service"], "WantedBy") == []


@pytest.mark.parametrize(
    ("cron", "events"),
    [
        ("* * * * *", ["*-*-* *:*:00"]),
        ("0 4 * * *", ["*-*-* 04:00:00"]),
        ("15 0-6/3 1 jan,jul *", ["*-01,07-01 00,03,06:15:00"]),
        ("0 0 * * sun", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * 7", ["Sun *-*-* 00:00:00"]),
        ("0 0 13 * 5", ["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
        ("0 0 L * *", None),
        ("0 0 * * 1#2", None),
    ],
)
def test_cron_expressions_as_calendar_events(cron, events):
    assert calendar_events(cron, None) == events


def test_what_no_timer_can_say_is_said():
    text = SHOP.replace("*/30 3 * * 1-5", "0 0 L * *")
    assert lost_schedules(exported(text)) == {"cleanup": "0 0 L * *"}


def test_what_is_written_for_pm2_is_read_as_the_same_programs(tmp_path):
    text = ecosystem("shop", exported(SHOP, str(tmp_path)))
    (tmp_path / "ecosystem.config.json").write_text(text)
    apps = read_file(tmp_path, {**PATH, "HOME": "/root"}).table["apps"]
    assert set(apps) == {
        "shop-web-1",
        "shop-web-2",
        "shop-api",
        "shop-migrate",
        "shop-cleanup",
        "shop-worker",
    }
    assert apps["shop-web-2"]["port"] == FIRST_PORT + 1
    assert apps["shop-web-2"]["env"]["TITLE"] == 'a "b" $c %d \\ e'
    entry = json.loads(text)["apps"][1]
    assert (entry["script"], entry["args"][-1]) == ("/usr/bin/python3", str(FIRST_PORT + 1))


def test_an_env_file_stays_a_file_for_systemd_and_is_filled_in_for_pm2(tmp_path):
    (tmp_path / "secrets").write_text("KEY='a b'\nPORT=1\nMODE=file\n")
    text = '[apps.web]\ncommand = "true"\nenv_file = "secrets"\nenv = { MODE = "table" }\n'
    found = exported(text, str(tmp_path))
    unit = units("shop", found, ())["shop-web.service"]
    assert lines_of(unit, "EnvironmentFile") == [f"{tmp_path}/secrets"]
    assert "KEY" not in unit
    env = json.loads(ecosystem("shop", found))["apps"][0]["env"]
    assert (env["KEY"], env["MODE"], env["PORT"]) == ("a b", "table", str(FIRST_PORT))


@pytest.mark.parametrize(
    ("output", "can", "cannot"),
    [
        (
            "nginx version: nginx/1.22.1\nconfigure arguments: --with-http_v2_module",
            "grpc",
            "http2",
        ),
        (
            "nginx version: nginx/1.25.1\nconfigure arguments: --with-http_v2_module",
            "http2",
            "sticky",
        ),
        ("nginx version: nginx/1.31.3\nconfigure arguments:", "sticky", "grpc"),
    ],
)
def test_what_an_nginx_can_do_is_known_by_its_version_and_modules(output, can, cannot):
    build = nginx.with_abilities(nginx.build_of("/usr/sbin/nginx", output))
    assert can in build.can
    assert cannot not in build.can


def test_what_the_nginx_cannot_do_is_said_and_an_app_needs_no_discovery():
    document, desired = read(SHOP.replace("weight = 3", "sticky = true").replace("backup", "down"))
    servers = with_servers(desired, ports_of(desired))
    [said] = nginx.unable(document, servers, nginx.with_abilities(nginx.USUAL_BUILD))
    assert said == ("upstreams.web.sticky: sticky needs nginx 1.29.6 or later; nginx is 1.22.1")


def test_what_is_lost_is_said_for_what_the_file_uses():
    document, _ = read(SHOP.replace("weight = 3", "health = '/up'\nmax_memory = '1 GB'"))
    lost = {target: list(losses(document, target)) for target in ("nginx", "systemd", "pm2")}
    assert "web: health is not checked" in lost["nginx"]
    assert (
        "web: max_memory ends the process (MemoryMax=) where Portico starts its successor "
        "first" in lost["systemd"]
    )
    assert not any("max_memory" in each for each in lost["pm2"])
    assert "cleanup: schedule runs once more at every start of PM2" in lost["pm2"]


def test_files_of_nginx_name_nothing_of_portico(tmp_path):
    _, desired = read(SHOP)
    servers = with_servers(desired, ports_of(desired))
    machine = nginx.Machine(root=False, cores=2)
    text = nginx.nginx_files(
        servers, nginx.with_abilities(nginx.USUAL_BUILD), Path("/srv/out"), machine
    )
    assert "resolve" not in text["nginx.conf"]
    assert "internal" not in text["nginx.conf"]
