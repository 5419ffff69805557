"""Public bug reports of PM2: what was wrong there, and what is right here."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from portico.adapters.processes import line_stamper
from portico.core.config.rules import machine_problems
from portico.core.model.document import Document
from portico.core.model.instance import InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.watched import WatchSettings
from portico.core.planning.command_line import command_line
from portico.core.planning.environment import instance_variables
from portico.core.planning.watching import is_ignored
from portico.importers.pm2 import from_pm2
from portico.importers.pm2_context import Pm2Context
from tests.unit.test_file_watches import LOOP_ROLLOUTS, Told
from tests.unit.test_readiness import SAID, Known
from tests.unit.worlds import NOW, app, one, planned

S = InstanceState


def taken(entry, *, sends=True, missing=(), **more):
    """The table of a lone entry, and the notes."""

    def look(path):
        return "missing" if path in missing else "text"

    context = Pm2Context(look, sends=lambda _: sends, cores=4, **more)
    found = from_pm2([entry], "ecosystem.config.js", context)
    (table,) = found.table["apps"].values()
    return table, found.notes


def program(table, **variables):
    """The words that an instance is started with."""
    its = Document.model_validate({"apps": {"web": table}}, strict=False).apps["web"]
    line = command_line(its, variables, {})
    return [line.programs[0], *line.arguments]


def ports(table, count):
    its = Document.model_validate({"apps": {"web": table}}, strict=False).apps["web"]
    return [
        instance_variables(
            its, "web", InstanceId(f"web.{slot}.{slot}"), slot, its.pinned_port(slot)
        )
        for slot in range(1, count + 1)
    ]


# When a program is ready


@pytest.mark.parametrize(("limit", "seconds"), [({}, 3.0), ({"listen_timeout": 60000}, 60.0)])
def test_wait_ready_without_a_message_continues_after_its_time_and_that_is_said(limit, seconds):
    # https://github.com/Unitech/pm2/issues/4472
    # https://github.com/Unitech/pm2/issues/5716
    table, notes = taken({"script": "a.js", "wait_ready": True, **limit}, sends=False)
    assert (table["ready_timeout"], table["after_ready_timeout"]) == (seconds, "continue")
    assert any(f"it counts as ready after {seconds:g}s" in note for note in notes)


def test_one_ready_message_is_enough():
    # https://github.com/Unitech/pm2/issues/4271
    assert Known(one(S.STARTING)).after(SAID, passed=True) is S.READY


def test_the_old_instance_serves_until_a_slow_new_one_is_ready():
    # https://github.com/Unitech/pm2/issues/3078
    # https://github.com/Unitech/pm2/issues/5632
    its = app(version="v2", wait_ready=True, ready_timeout=3, after_ready_timeout="continue")
    slow = one(S.STARTING, version="v2", since=NOW - 15)
    assert planned(its, one(), slow) == []
    ready = replace(slow, state=S.READY, said_ready=True)
    assert "drain web.1.1" in planned(its, one(), ready)


def test_a_program_over_its_memory_ends_its_requests_before_it_is_stopped():
    # https://github.com/Unitech/pm2/issues/5562
    its = app(max_memory="300M")
    full = one(worn="it uses 312 MiB of memory")
    assert planned(its, full) == ["start web.1 on a free port"]
    assert planned(its, full, one(serial=2))[-1] == "drain web.1.1"


# Ports


def test_a_program_on_a_fixed_port_is_never_started_beside_itself():
    # https://github.com/Unitech/pm2/issues/2279
    # https://github.com/Unitech/pm2/issues/1653
    table, _ = taken({"script": "dummy.js", "watch": True, "instances": 1, "min_uptime": "24h"})
    assert (table["port"], table["replace_order"]) == (False, "stop_first")
    its = app(version="v2", port=False, replace_order="stop_first")
    assert planned(its, one(port=0)) == ["drain web.1.1"]
    assert planned(its, one(S.STOPPING, port=0)) == []


def test_several_in_fork_mode_have_ports_of_their_own_and_are_replaced_one_by_one():
    # https://github.com/Unitech/pm2/issues/5580
    entry = {
        "script": "www.js",
        "instances": 4,
        "exec_mode": "fork_mode",
        "instance_var": "PORT",
        "env": {"PORT": 3002},
    }
    found = ports(taken(entry)[0], 4)
    assert [each["PORT"] for each in found] == ["3002", "3003", "3004", "3005"]


def test_a_cluster_shares_no_port_that_could_still_be_in_use():
    # https://github.com/Unitech/pm2/issues/3943
    # https://github.com/Unitech/pm2/issues/3987
    table, _ = taken({"script": "a.js", "instances": 2, "exec_mode": "cluster", "port": 8080})
    assert [each["PORT"] for each in ports(table, 2)] == ["8080", "8081"]


def test_a_cluster_on_a_fixed_port_uses_it_once_and_falls_back_to_ports_of_its_own():
    # https://github.com/Unitech/pm2/issues/4225
    # https://github.com/Unitech/pm2/issues/3336
    table, _ = taken({"script": "bin/www.js", "instances": 5, "exec_mode": "cluster"})
    assert table["port_fallback"] is True
    assert "port" not in table


def test_a_port_in_the_arguments_of_a_cluster_is_that_of_each_instance():
    # https://github.com/Unitech/pm2/issues/5889
    entry = {
        "script": "gatsby.js",
        "args": "serve -p 9000",
        "instances": 2,
        "exec_mode": "cluster",
    }
    table, _ = taken(entry)
    for each in ports(table, 2):
        assert program(table, **each) == ["node", "gatsby.js", "serve", "-p", each["PORT"]]


def test_port_80_is_the_programs_while_no_site_needs_it():
    # https://github.com/kriasoft/react-starter-kit/issues/805
    entry = {
        "script": "tools/run.js",
        "args": ["start", "--release"],
        "exec_interpreter": "babel-node",
        "env": {"PORT": 80},
    }
    document = Document.model_validate({"apps": {"web": taken(entry)[0]}}, strict=False)
    assert document.apps["web"].port == 80
    assert machine_problems(document, root=True, cores=1) == []


# What runs


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"script": "npm run compile && npm start"},
            ["bash", "-c", "npm run compile && npm start"],
        ),
        ({"script": "node __sapper__/build"}, ["bash", "-c", "node __sapper__/build"]),
        ({"script": "./start.sh", "interpreter": "/bin/bash"}, ["/bin/bash", "./start.sh"]),
        ({"script": "app", "exec_interpreter": "none"}, ["./app"]),
        (
            {"script": "app.js", "exec_interpreter": "./node_modules/.bin/babel-node"},
            ["./node_modules/.bin/babel-node", "app.js"],
        ),
    ],
)
def test_a_cluster_runs_whatever_one_process_would_run(entry, words):
    # https://github.com/Unitech/pm2/issues/4722
    # https://github.com/Unitech/pm2/issues/4775
    # https://github.com/Unitech/pm2/issues/3298
    # https://github.com/Unitech/pm2/issues/4082
    # https://github.com/Unitech/pm2/issues/2614
    lines = {each["script"] for each in (entry,) if " " in each["script"]}
    cluster = {**entry, "exec_mode": "cluster", "instances": 2}
    assert program(taken(cluster, missing=lines)[0]) == words


def test_an_interpreter_of_a_version_is_the_one_in_path_and_that_is_said():
    # https://github.com/Unitech/pm2/issues/5621
    entry = {"script": "npm", "interpreter": "node@16.16.0", "args": "run start"}
    table, notes = taken(entry, missing=("npm",), which="/usr/bin/{}".format)
    assert program(table) == ["node", "/usr/bin/npm", "run", "start"]
    assert any("node@16.16.0 is not chosen" in note for note in notes)


def test_npx_runs_by_itself():
    # https://github.com/chartbrew/chartbrew/issues/13
    entry = {"script": "npx", "interpreter": "none", "args": "serve -s . -p 5100"}
    assert program(taken(entry, missing=("npx",))[0])[1:] == ["serve", "-s", ".", "-p", "5100"]


# The environment


def test_a_variable_with_the_name_of_its_app_keeps_its_value():
    # https://github.com/Unitech/pm2/issues/4894
    table, _ = taken({"name": "test", "script": "test.js", "env": {"TEST": "aaa"}})
    assert table["env"] == {"name": "test", "TEST": "aaa"}


def test_variables_may_be_in_a_file():
    # https://github.com/Unitech/pm2/issues/3388
    # https://github.com/Unitech/pm2/issues/5974
    assert taken({"script": "a.js", "env_file": ".env"})[0]["env_file"] == [".env"]


# Folders


@pytest.mark.parametrize(
    "entry",
    [
        {"args": "--spa", "env": {"PM2_SERVE_PATH": "build", "PM2_SERVE_PORT": 8089}},
        {"env": {"PM2_SERVE_PATH": "build", "PM2_SERVE_PORT": 8089, "PM2_SERVE_SPA": True}},
    ],
)
def test_a_folder_may_be_a_single_page_app(entry):
    # https://github.com/Unitech/pm2/issues/4438
    # https://github.com/Unitech/pm2/issues/3081
    table, _ = taken({"script": "serve", **entry}, missing=("serve",))
    assert table["port"] == 8089
    assert str(table["env"]["PM2_SERVE_SPA"]).lower() == "true"


def test_a_folder_whose_settings_are_those_of_one_environment_has_them_with_env():
    # https://github.com/Unitech/pm2/issues/5497
    settings = {"PM2_SERVE_PATH": "./dist", "PM2_SERVE_PORT": 7000}
    entry = {"script": "serve", "exec_mode": "fork", "env_production": settings}
    assert taken(entry, missing=("serve",), environment="production")[0]["port"] == 7000


def test_static_folders_stand_beside_the_apps():
    # https://github.com/Unitech/pm2/issues/4210
    static = [{"name": "spa", "path": "dist", "port": 8081, "spa": True}]
    exported = {"apps": [{"script": "a.js"}], "static": static}
    context = Pm2Context(lambda path: "text" if path == "a.js" else "missing")
    found = from_pm2(exported, "ecosystem.config.js", context)
    assert found.table["apps"]["spa"]["port"] == 8081
    assert found.folders["spa"]["spa"] is True


# Times in logs


@pytest.mark.parametrize(
    ("entry", "form"),
    [
        ({"log_date_format": "YYYY-MM-DD HH:mm Z", "time": True}, "%Y-%m-%d %H:%M %:z"),
        ({"log_date_format": "YYYY-MM-DDTHH:mm:ssZ"}, "%Y-%m-%dT%H:%M:%S%:z"),
    ],
)
def test_the_format_of_the_file_is_the_format_of_the_lines(entry, form):
    # https://github.com/Unitech/pm2/issues/5466
    # https://github.com/Unitech/pm2/issues/4348
    assert taken({"script": "a.js", **entry})[0]["logs"] == {"timestamp": form}


def test_every_line_of_both_streams_has_the_time_also_of_those_written_at_once():
    # https://github.com/Unitech/pm2/issues/3385
    # https://github.com/Unitech/pm2/issues/2792
    # https://github.com/Unitech/pm2/issues/1505
    says = ("/bin/sh", "sh", "-c", "printf 'a\\nb\\nc\\n'; echo e >&2")
    command = (sys.executable, "-I", "-S", line_stamper.__file__, "at %Y", *says)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for text, lines in ((done.stdout, "abc"), (done.stderr, "e")):
        found = [line.split(": ") for line in text.splitlines()]
        assert [word for _, word in found] == list(lines)
        assert all(stamp.startswith("at 2") for stamp, _ in found)


# Watching


def test_an_app_that_restarts_itself_by_what_it_writes_is_shown_with_the_file():
    # https://github.com/Unitech/pm2/issues/1547
    # https://github.com/Unitech/pm2/issues/1755
    # https://github.com/Unitech/pm2/issues/1243
    told = Told()
    for _ in range(LOOP_ROLLOUTS):
        told.passes(2, "/srv/data/state.json")
    (trouble,) = told.troubles.sentences()
    assert "the last time /srv/data/state.json" in trouble


@pytest.mark.parametrize("path", ["logs/coact_test.log", "coact.log", ".git/index.lock"])
def test_logs_and_what_git_writes_start_nothing(path):
    # https://github.com/Unitech/pm2/issues/1759
    # https://github.com/nwithan8/tauticord/pull/153
    assert is_ignored(f"/srv/{path}", WatchSettings("/srv", ("/srv",)))


def test_nothing_is_watched_where_the_file_says_so():
    # https://github.com/Unitech/pm2/issues/3194
    entry = {"script": "app.js", "watch": False, "ignore_watch": [r"[\/\\]\./", ".git/index.lock"]}
    assert not taken(entry)[0].keys() & {"watch", "ignore_watch"}


def test_a_folder_of_node_modules_is_watched_where_it_is_named():
    # https://github.com/Unitech/pm2/issues/2180
    modules = "/srv/sub-proj1/node_modules"
    assert not is_ignored(f"{modules}/x/index.js", WatchSettings("/srv", (modules,)))
