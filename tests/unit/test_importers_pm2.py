from __future__ import annotations

import json

import pytest

from portico.core.model.document import Document
from portico.errors import ConfigError
from portico.importers.node_source import sends_ready
from portico.importers.pm2 import from_pm2
from portico.importers.pm2_attributes import (
    ATTRIBUTES_BY_WORD,
    MappedAttribute,
    MissingAttribute,
    PartialAttribute,
)
from portico.importers.pm2_context import Pm2Context
from portico.importers.pm2_reference import reference

ALL_ATTRIBUTES = """
script exec name name_prefix filter_env namespace install_url cwd args exec_interpreter
interpreter node_args interpreterArgs interpreter_args out_file out output out_log error_file
error err err_file err_log log_file log disable_logs log_type log_date_format time merge_logs
combine_logs pid_file pid env append_env_to_name instance_var increment_var port exec_mode
instances force execute_command autostart autorestart stop_exit_codes min_uptime max_restarts
restart_delay exp_backoff_restart_delay max_memory_restart cron_restart cron wait_ready
listen_timeout kill_timeout kill_retry_time shutdown_with_message treekill watch ignore_watch
watch_delay watch_options vizion post_update source_map_support disable_source_map_support uid
user gid username windowsHide pmx automation trace disable_trace v8 event_loop_inspector
deep_monitoring io write
"""


def texts(*names):
    return Pm2Context(lambda path: "text" if path in names else "missing", cores=4, home="/home/a")


def every():
    return Pm2Context(lambda _: "text")


def convert(exported, context=None):
    return from_pm2(exported, "/srv/ecosystem.config.js", context or texts("index.js"))


def one(**attributes):
    """The table of a lone app, and the notes about it."""
    found = convert({"apps": [{"script": "index.js", **attributes}]})
    (table,) = found.table["apps"].values()
    return table, found.notes


def problems(exported, context=None):
    with pytest.raises(ConfigError) as caught:
        convert(exported, context)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("exported", [{}, {"services": {"web": {"image": "x"}}}])
def test_a_file_that_is_none_of_pm2_says_what_is_missing(exported):
    assert problems(exported) == [
        "the file: describes no app (PM2's files export { apps: [{ script: … }] })"
    ]


@pytest.mark.parametrize("word", ALL_ATTRIBUTES.split())
def test_every_attribute_of_pm2_is_taken_over_or_its_absence_is_explained(word):
    attribute = ATTRIBUTES_BY_WORD[word]
    match attribute:
        case MappedAttribute(key=key):
            assert key in Document.model_fields["apps"].annotation.__args__[1].model_fields
        case PartialAttribute(how=how):
            assert how
        case MissingAttribute(why=why):
            value = False if word == "treekill" else [{"a": "b"}]
            _, notes = one(**{word: value})
            assert any(f"{word} is {why}" in note for note in notes)


def test_the_reference_has_every_attribute():
    text = reference()
    assert all(f"`{word}`" in text for word in ALL_ATTRIBUTES.split())


def test_what_asks_for_nothing_is_no_news():
    _, notes = one(watch=False, treekill=True, cron_restart=0, max_memory_restart="", force=False)
    assert notes == ()


def test_an_app_without_a_port_runs_as_under_pm2():
    table, notes = one(name="web")
    assert table == {
        "script": "index.js",
        "instances": 1,
        "port": False,
        "replace_order": "stop_first",
        "after_ready_timeout": "continue",
        "env": {"name": "web"},
        "pm_id": 0,
        "stdin": "open",
        "inherit_env": True,
        "stop_signal": "SIGINT",
    }
    assert notes == ()


def test_values_become_ours_under_any_of_their_words():
    table, _ = one(
        args="start --name 'a b' --port $PORT",
        interpreterArgs="--max-old-space-size=200",
        user=1000,
        gid="staff",
        instance_var="NUMBER",
        autorestart="false",
        stop_exit_codes=[0, 3],
        min_uptime="1h",
        maxRestarts="7",
        kill_timeout=5000,
        max_memory_restart="1500M",
        listen_timeout=60000,
        restart_delay=4000,
        out="logs/out.log",
        err="~/err.log",
        cwd="app",
    )
    expected = {
        "args": ["start", "--name", "a b", "--port", "$PORT"],
        "interpreter_args": ["--max-old-space-size=200"],
        "user": "1000",
        "group": "staff",
        "instance_env": "NUMBER",
        "autorestart": False,
        "stop_exit_codes": [0, 3],
        "min_uptime": 3600.0,
        "max_restarts": 7,
        "stop_timeout": 5.0,
        "max_memory": 1500 << 20,
        "ready_timeout": 60.0,
        "backoff": 4.0,
        "backoff_limit": 4.0,
        "logs": {"stdout": "app/logs/out.log", "stderr": "/home/a/err.log"},
        "cwd": "app",
    }
    assert table == table | expected


def test_an_app_that_says_when_it_is_ready_goes_on_doing_so():
    table, notes = one(wait_ready=True, listen_timeout=60000)
    assert (table["wait_ready"], table["ready_timeout"]) == (True, 60.0)
    assert "wait_ready" not in one(wait_ready=False)[0]
    assert not any("wait_ready" in str(note) for note in notes)


def test_a_script_that_never_reports_that_it_is_ready_is_noted():
    for sends in (True, False):
        context = Pm2Context(lambda _: "text", sends=lambda _, it=sends: it)
        notes = convert([{"script": "index.js", "wait_ready": True}], context).notes
        assert any("no process.send('ready')" in note for note in notes) == (not sends)


@pytest.mark.parametrize(
    ("files", "sends"),
    [
        ({"index.js": "process.send('ready')"}, True),
        ({"index.js": "process.send?.('ready')"}, True),
        ({"index.js": "const { send } = process; send('ready')"}, True),
        ({"index.js": "require('./lib/app')", "lib/app.js": "process.send('ready')"}, True),
        ({"index.js": "import './app.mjs'", "app.mjs": "import '.'", "index.mjs": ""}, False),
        ({"index.js": "require('express')().listen(3000)"}, False),
        ({"index.js": "require('./a')", "a/index.js": "require('..')"}, False),
        ({"index.js": "x" * (1 << 20) + "x"}, True),
    ],
)
def test_what_a_script_loads_by_a_relative_path_is_looked_through(tmp_path, files, sends):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert sends_ready(tmp_path / "index.js") is sends


def test_a_log_file_beside_those_of_both_streams_is_noted():
    table, notes = one(log_file="a.log", out="o.log", err="e.log")
    assert table["logs"] == {"stdout": "o.log", "stderr": "e.log"}
    [note] = notes
    assert note == (
        "index.js: log_file is not written, because out_file and error_file are set; "
        "`portico logs` merges them"
    )


@pytest.mark.parametrize(
    ("attributes", "sends", "limit"),
    [
        ({}, True, None),
        ({"listen_timeout": 8000}, True, 8.0),
        ({"listen_timeout": 0}, True, 0.1),
        ({"wait_ready": True}, True, None),
        ({"wait_ready": True}, False, 3.0),
        ({"wait_ready": True, "listen_timeout": 8000}, False, 8.0),
        ({"instances": 2}, True, 3.0),
        ({"instances": 2, "env": {"PORT": 3000}}, True, None),
        ({"instances": 2, "exec_mode": "fork"}, True, None),
        ({"min_uptime": "24h"}, True, 3.0),
        ({"min_uptime": "24h", "env": {"PORT": 3000}}, True, None),
    ],
)
def test_what_is_not_ready_in_time_continues_as_under_pm2(attributes, sends, limit):
    context = Pm2Context(lambda _: "text", sends=lambda _: sends)
    table = convert([{"script": "index.js", **attributes}], context).table["apps"]["index"]
    assert table["after_ready_timeout"] == "continue"
    assert table.get("ready_timeout") == limit


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [("restart_delay", "backoff", 0.01), ("exp_backoff_restart_delay", "backoff", 0.01)],
)
def test_times_that_are_shorter_than_ours_become_the_shortest(word, key, value):
    assert one(**{word: 1})[0][key] == value
    assert key not in one(**{word: 0})[0]


@pytest.mark.parametrize("word", sorted({*ALL_ATTRIBUTES.split()} - {"script", "exec"}))
def test_an_empty_text_is_as_good_as_nothing(word):
    assert one(**{word: ""})[0] == one()[0]


@pytest.mark.parametrize(
    ("attributes", "timestamp"),
    [
        ({"time": True}, "%Y-%m-%dT%H:%M:%S"),
        ({"time": "true"}, "%Y-%m-%dT%H:%M:%S"),
        ({"time": False}, None),
        ({"log_date_format": "YYYY-MM-DD HH:mm:ss Z", "time": True}, "%Y-%m-%d %H:%M:%S %:z"),
        ({"log_date_format": "DD/MM/YY hh:mm:ss.SSS A"}, "%d/%m/%y %I:%M:%S.%L %p"),
        ({"log_date_format": "MMM Do [at 5%] H:m"}, "%b %-d at 5%% %-H:%-M"),
        ({"log_date_format": ""}, None),
    ],
)
def test_lines_begin_with_the_time_in_the_format_of_the_file(attributes, timestamp):
    assert one(**attributes)[0].get("logs", {}).get("timestamp") == timestamp


def test_the_streams_of_a_container_are_no_log_files():
    table, notes = one(out_file="/dev/stdout", error_file="/proc/1/fd/2")
    assert "logs" not in table
    assert any("/dev/stdout is a stream of PM2" in note for note in notes)
    assert one(out="/dev/null")[0]["logs"] == {"stdout": "/dev/null"}


def test_exponential_backoff_goes_on_to_fifteen_seconds():
    table, _ = one(exp_backoff_restart_delay=100)
    assert (table["backoff"], table["backoff_limit"]) == (0.1, 15.0)


@pytest.mark.parametrize(
    ("attributes", "key", "value"),
    [
        ({"cron_restart": "0 4 * * *"}, "restart_schedule", "0 4 * * *"),
        ({"cron": "30 0 4 * * *"}, "restart_schedule", "0 4 * * *"),
        ({"cron_restart": "0 4 * * ?"}, "restart_schedule", "0 4 * * *"),
        ({"cron_restart": "@daily", "autorestart": False}, "schedule", "0 0 * * *"),
        (
            {"cron_restart": "@daily", "autorestart": False, "env": {"PORT": 3000}},
            "restart_schedule",
            "0 0 * * *",
        ),
    ],
)
def test_a_cron_expression_restarts_what_stays_and_runs_what_ends(attributes, key, value):
    table, _ = one(**attributes)
    assert table[key] == value
    assert not {"schedule", "restart_schedule"} - {key} & table.keys()


def test_what_runs_at_its_times_has_nothing_that_is_for_programs_that_stay():
    table, notes = one(
        cron="@daily", autorestart=False, max_memory_restart="1G", wait_ready=True, watch=True
    )
    assert not table.keys() & {"max_memory", "wait_ready", "watch"}
    assert "index.js: max_memory_restart is not needed: each run exits by itself" in notes
    Document.model_validate_json(json.dumps({"apps": {"a": table}}))


def test_a_wrong_cron_expression_is_a_problem_of_the_file():
    (problem,) = problems({"apps": [{"script": "index.js", "cron_restart": "now and then"}]})
    assert problem.startswith("apps[0].cron_restart: must be a cron expression")


def test_one_log_file_serves_both_streams():
    assert one(log_file="a.log")[0]["logs"] == {"stdout": "a.log", "stderr": "a.log"}
    assert one(log_file="a.log", err="NULL")[0]["logs"] == {
        "stdout": "a.log",
        "stderr": "/dev/null",
    }
    assert "logs" not in one(log_file=True)[0]


@pytest.mark.parametrize(
    ("env", "port", "port_env", "rest"),
    [
        ({"PORT": "3000", "A": "b"}, 3000, "PORT", {"A": "b"}),
        ({"port": 3000}, 3000, "port", {}),
        ({"port": 3001, "PORT": 3000}, 3000, "PORT", {"port": 3001}),
        ({"PORT": "/tmp/pipe"}, False, None, {"PORT": "/tmp/pipe"}),
        ({"PORT": 0}, False, None, {"PORT": 0}),
        ({"DB_PORT": 5432}, False, None, {"DB_PORT": 5432}),
    ],
)
def test_the_variable_that_carries_the_port_keeps_its_name(env, port, port_env, rest):
    table, _ = one(env=env)
    assert table["port"] == port
    assert table.get("port_env") == port_env
    assert table["env"] == {"name": "index", **rest}


def test_the_attribute_port_sets_the_variable():
    assert one(port="8000", env={"PORT": 1})[0]["port"] == 8000


def test_variables_are_written_as_node_writes_them():
    table, notes = one(env={"N": 1, "B": True, "O": {"a": [1]}, "Z": None, "my.name": "x"})
    assert table["env"] == {"name": "index", "N": 1, "B": True, "O": '{"a": [1]}', "Z": "null"}
    assert notes == ("index.js: env: 'my.name' is not a valid variable name and is ignored",)


def test_env_name_is_over_env_and_over_what_deploy_has():
    exported = {
        "apps": [
            {
                "script": "index.js",
                "env": {"A": 1, "B": 1},
                "env_production": {"B": 2},
                "append_env_to_name": True,
            },
            {"name": "plain", "script": "index.js", "env": {"A": 1}},
        ],
        "deploy": {"production": {"env": {"A": 0, "C": 0}}},
    }
    context = Pm2Context(lambda _: "text", environment="production")
    found = convert(exported, context)
    name = "index-production"
    assert found.table["apps"][name]["env"] == {"name": name, "A": 1, "B": 2, "C": 0}
    assert "plain: env_production does not exist; only env is used" in found.notes
    assert any(note.startswith("deploy is not supported") for note in found.notes)
    assert "env_production" not in json.dumps(convert(exported).notes)


@pytest.mark.parametrize(
    ("instances", "expected"),
    [(3, 3), ("2", 2), ("max", "max"), (0, "max"), (-1, 3), (-9, 1), (2.5, 2), (0.5, 1)],
)
def test_instances_are_counted_as_pm2_counts_them(instances, expected):
    assert one(instances=instances)[0]["instances"] == expected


def test_a_cluster_is_told_that_each_instance_has_a_port_of_its_own():
    table, notes = one(name="web", exec_mode="cluster", instances=4, env={"PORT": 3000})
    assert table["port"] == 3000
    assert "web: each instance listens on its own port, from 3000 on" in notes[0]
    assert "port" not in one(instances="max")[0]


@pytest.mark.parametrize(
    ("attributes", "port"),
    [
        ({"exec_mode": "fork"}, False),
        ({"exec_mode": "fork_mode"}, False),
        ({"exec_mode": "cluster"}, None),
        ({}, None),
        ({"exec_mode": "fork", "env": {"PORT": 3000}}, 3000),
    ],
)
def test_several_in_fork_mode_without_a_port_are_workers(attributes, port):
    table, notes = one(instances=3, **attributes)
    assert table.get("port") == port
    assert bool(notes) == (port is not False)


@pytest.mark.parametrize(
    ("attributes", "falls_back"),
    [
        ({"instances": 2}, True),
        ({"instances": "max", "exec_mode": "cluster", "env": {"PORT": 3000}}, True),
        ({"instances": 2, "exec_mode": "fork", "env": {"PORT": 3000}}, False),
        ({"exec_mode": "cluster"}, False),
    ],
)
def test_what_shares_a_fixed_port_in_a_cluster_falls_back_to_its_own(attributes, falls_back):
    assert one(**attributes)[0].get("port_fallback", False) is falls_back


def test_what_may_have_a_fixed_port_never_runs_beside_its_successor():
    assert one(watch=True)[0]["replace_order"] == "stop_first"
    assert "replace_order" not in one(env={"PORT": 3000})[0]
    assert "replace_order" not in one(cron="@daily", autorestart=False)[0]


@pytest.mark.parametrize(
    ("instances", "only", "owner"),
    [
        ((1, 1, 1), (), None),
        ((1, 2, 1), (), "b"),
        ((2, 1, 2), (), "a"),
        ((1, 1, 1), ("c",), "c"),
        ((2, 1, 1), ("b", "c"), None),
    ],
)
def test_a_port_that_several_entries_name_is_that_of_a_cluster_or_of_the_only_one_that_starts(
    instances, only, owner
):
    entries = [
        {"name": name, "script": f"{name}.js", "instances": number, "env": {"PORT": 3000}}
        for name, number in zip("abc", instances, strict=True)
    ]
    found = convert(entries, Pm2Context(lambda _: "text", only=only))
    for name, app in found.table["apps"].items():
        other = False if app["instances"] == 1 else None
        assert app.get("port") == (3000 if name == owner else other)
        assert app["env"].get("PORT") == (3000 if app.get("port") is False else None)
    assert any("port 3000 is in several entries" in note for note in found.notes)


SERVED = {"PM2_SERVE_PATH": "./dist", "PM2_SERVE_PORT": 3000, "PM2_SERVE_SPA": "true"}


@pytest.mark.parametrize(
    ("entry", "port", "env", "shown"),
    [
        (
            {"env": SERVED},
            3000,
            {"PM2_SERVE_PATH": "./dist", "PM2_SERVE_SPA": "true"},
            {"path": "./dist", "spa": True, "index": "index.html"},
        ),
        (
            {"env": SERVED, "cwd": "/srv", "instances": 2, "exec_mode": "cluster"},
            3000,
            {"PM2_SERVE_PATH": "./dist", "PM2_SERVE_SPA": "true"},
            {"path": "/srv/./dist", "spa": True, "index": "index.html"},
        ),
        ({}, 8080, {}, {"path": ".", "spa": False, "index": "index.html"}),
        (
            {"args": "-s build -l 8101 --cors"},
            8101,
            {"PM2_SERVE_PATH": "build", "PM2_SERVE_SPA": "true"},
            {"path": "build", "spa": True, "index": "index.html"},
        ),
        (
            {"args": "--spa", "env": {"PM2_SERVE_PORT": "8089", "PORT": 1}},
            8089,
            {"PORT": 1, "PM2_SERVE_SPA": "true"},
            {"path": ".", "spa": True, "index": "index.html"},
        ),
        ({"env": {**SERVED, "PM2_SERVE_BASIC_AUTH": "true"}}, 3000, {}, None),
    ],
)
def test_the_script_serve_is_a_folder(entry, port, env, shown):
    found = convert([{"name": "front", "script": "serve", **entry}])
    app = found.table["apps"]["front"]
    assert app["command"] == ["python3", "-P", "-m", "portico.system.folder_server"]
    assert (app["port"], app["port_env"], app["instances"]) == (port, "PM2_SERVE_PORT", 1)
    assert app["env"].items() >= env.items()
    assert found.folders == ({} if shown is None else {"front": shown})
    Document.model_validate_json(json.dumps(found.table))


def test_the_program_serve_runs_where_it_is_installed_and_nothing_says_pm2_serve():
    found = convert(
        [{"script": "serve", "args": "-s build"}],
        Pm2Context(lambda _: "missing", "/bin/{}".format),
    )
    assert found.table["apps"]["serve"]["script"] == "serve"
    assert found.folders == {}


def test_static_entries_are_folders():
    auth = {"username": "a", "password": "b"}
    found = convert(
        {
            "apps": [{"script": "index.js"}],
            "static": [
                {"path": "dist", "port": 3001, "spa": True},
                {"name": "x", "basic_auth": auth},
            ],
        }
    )
    apps = found.table["apps"]
    assert list(apps) == ["index", "static-page-server-3001", "x"]
    assert (apps["static-page-server-3001"]["port"], apps["x"]["port"]) == (3001, 8080)
    assert (
        apps["x"]["env"].items()
        >= {
            "PM2_SERVE_BASIC_AUTH": "true",
            "PM2_SERVE_BASIC_AUTH_USERNAME": "a",
            "PM2_SERVE_BASIC_AUTH_PASSWORD": "b",
        }.items()
    )
    assert list(found.folders) == ["static-page-server-3001"]


@pytest.mark.parametrize(
    ("attributes", "port", "args"),
    [
        ({"args": "start -p 3000"}, 3000, "start -p $PORT"),
        ({"args": "start --port=3000 -H 'a b'"}, 3000, "start --port=$PORT -H 'a b'"),
        ({"args": ["-p3000"], "env": {"port": 3000}}, 3000, "-p$port"),
        ({"args": "start -p 4000", "env": {"PORT": 3000}}, 3000, ["start", "-p", "4000"]),
        ({"args": "-p 3000", "exec_mode": "fork"}, False, ["-p", "3000"]),
        ({"args": "-p 3000", "exec_mode": "fork", "env": {"PORT": 3000}}, 3000, "-p $PORT"),
        ({"args": "-p 3000", "instances": 1}, False, ["-p", "3000"]),
        ({"args": "-p $X --port all"}, None, ["-p", "$X", "--port", "all"]),
    ],
)
def test_a_port_in_the_arguments_of_a_cluster_is_filled_in_for_each_instance(
    attributes, port, args
):
    table, _ = one(**{"instances": 2, "exec_mode": "cluster"} | attributes)
    assert (table.get("port"), table["args"]) == (port, args)


def test_pm2s_variables_name_and_number_the_instances():
    found = convert(
        [
            {"name": "My API", "script": "index.js", "instances": 3},
            {"name": "mail", "script": "index.js", "env": {"name": "own"}},
        ]
    ).table["apps"]
    assert [(app["pm_id"], app["env"]["name"]) for app in found.values()] == [
        (0, "My API"),
        (3, "own"),
    ]


def test_an_env_file_is_read_where_it_exists():
    context = texts("index.js", "app/.env", "/etc/a.env")
    found = convert(
        [{"script": "index.js", "cwd": "app", "env_file": [".env", "/etc/a.env", "no.env"]}],
        context,
    )
    (table,) = found.table["apps"].values()
    assert table["env_file"] == ["app/.env", "/etc/a.env"]
    assert found.notes == ("index.js: env_file no.env does not exist and is ignored",)
    assert convert([{"script": "index.js", "env_file": "x"}]).table["apps"]["index"].keys() >= {
        "script"
    }


def test_only_the_apps_that_are_named_start_and_the_others_are_left_as_they_are():
    entries = [{"name": name, "script": "index.js"} for name in ("My API", "mail", "jobs")]
    context = Pm2Context(lambda _: "text", only=("My API", "jobs"))
    found = convert(entries, context)
    assert {name: app.get("autostart", True) for name, app in found.table["apps"].items()} == {
        "my-api": True,
        "mail": False,
        "jobs": True,
    }
    assert "mail: not started, because --only does not name them" in found.notes
    (problem,) = problems(entries, Pm2Context(lambda _: "text", only=("male",)))
    assert problem == "--only: there is no app male; known: my-api, mail, jobs"


def test_ports_that_would_run_into_another_apps_become_automatic():
    found = convert(
        [
            {"name": "web", "script": "index.js", "instances": "max", "env": {"port": 3000}},
            {"name": "api", "script": "api.js", "env": {"PORT": 3003}},
        ]
    )
    assert "port" not in found.table["apps"]["web"]
    assert found.table["apps"]["web"]["port_env"] == "port"
    assert found.table["apps"]["api"]["port"] == 3003


@pytest.mark.parametrize(
    ("script", "kind", "attributes", "expected"),
    [
        ("bin/www", "text", {}, {"script": "bin/www", "interpreter": "node"}),
        ("bin/server", "program", {}, {"script": "bin/server"}),
        ("npm", "missing", {"args": "start"}, {"script": "npm", "args": ["start"]}),
        ("npm run x", "missing", {"args": "y"}, {"command": ["bash", "-c", "npm run x"]}),
        ("my app.js", "text", {}, {"script": "my app.js"}),
        ("a.coffee", "text", {}, {"script": "a.coffee", "interpreter": "coffee"}),
        ("a.js", "text", {"interpreter": "none"}, {"script": "a.js", "interpreter": "none"}),
        ("a.js", "text", {"interpreter": "node@18.1.0"}, {"interpreter": "node"}),
        (".", "folder", {}, {"script": ".", "interpreter": "node"}),
        ("./dist", "folder", {}, {"script": "./dist", "interpreter": "node"}),
        ("npm", "missing", {"node_args": "-i"}, {"script": "/bin/npm", "interpreter": "node"}),
        ("npm", "missing", {"interpreter": "bun"}, {"script": "/bin/npm", "interpreter": "bun"}),
        ("npm", "missing", {"interpreter": "none"}, {"script": "npm", "interpreter": "none"}),
        (
            "a.js",
            "text",
            {"interpreter": "~/.bun/bin/bun"},
            {"interpreter": "/home/a/.bun/bin/bun"},
        ),
        ("npm run x", "missing", {"node_args": "-i"}, {"interpreter_args": []}),
        ("bin/server", "program", {"node_args": "-i"}, {"interpreter_args": []}),
        ("~/a.js", "text", {}, {"script": "/home/a/a.js"}),
    ],
)
def test_a_script_is_run_by_what_pm2_would_run_it_with(script, kind, attributes, expected):
    context = Pm2Context(lambda _: kind, "/bin/{}".format, home="/home/a")
    found = convert({"apps": [{"name": "x", "script": script, **attributes}]}, context)
    table = found.table["apps"]["x"]
    assert table == table | expected
    assert ("interpreter" in table) == ("interpreter" in expected)


def test_a_program_of_the_project_is_found_where_path_has_none():
    context = texts("app/venv/bin/gunicorn")
    entry = {"script": "gunicorn", "cwd": "app", "interpreter": "./venv/bin/python"}
    table = convert([entry], context).table["apps"]["gunicorn"]
    assert (table["script"], table["interpreter"]) == ("venv/bin/gunicorn", "./venv/bin/python")


def test_names_are_made_ours_and_unlike_each_other():
    found = convert(
        [
            {"name": "My API", "script": "index.js"},
            {"name": "my-api", "script": "index.js"},
            {"script": "./src/Main.js"},
            {"name": "x" * 60, "script": "index.js"},
            {"name": "w", "name_prefix": "blue", "script": "index.js"},
        ]
    )
    assert list(found.table["apps"]) == ["my-api", "my-api-2", "main", "x" * 50, "blue-w"]
    assert "My API: 'My API' is called my-api here" in found.notes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["server-1", "server-2", "server-3"], "server"),
        (["api_10", "api_11"], "api"),
        (["blue", "green"], "index"),
        (["server", "server-2"], "index"),
        (["index", "index2"], "index-all"),
    ],
)
def test_entries_that_run_one_program_become_one_upstream(names, expected):
    found = convert(
        {
            "apps": [
                {"name": name, "script": "index.js", "env": {"port": str(3000 + n)}}
                for n, name in enumerate(names)
            ]
        }
    )
    assert found.table["upstreams"] == {expected: {"apps": names}}
    assert list(found.table["apps"]) == names


@pytest.mark.parametrize(
    ("difference", "joined"),
    [
        ({}, True),
        ({"out_file": "b.log", "error_file": "b.err"}, True),
        ({"env": {"NODE_ENV": "staging", "PORT": 3001}}, False),
        ({"env_file": ".env"}, False),
        ({"node_args": "--inspect"}, False),
        ({"max_memory_restart": "1G"}, False),
        ({"cwd": "/srv/staging"}, False),
        ({"user": "staging"}, False),
    ],
)
def test_only_entries_that_differ_in_nothing_but_the_port_are_peers(difference, joined):
    both = {"script": "index.js", "env": {"NODE_ENV": "production"}}
    first = {**both, "name": "shop-prod", "port": 3000}
    found = convert([first, {**both, "name": "shop-staging", "port": 3001, **difference}], every())
    assert ("upstreams" in found.table) == joined
    assert all(app["port"] for app in found.table["apps"].values())
    separate = any("are separate apps; --site NAME=shop-prod" in note for note in found.notes)
    assert separate == (not joined and "cwd" not in difference and "node_args" not in difference)


def test_different_programs_are_not_joined():
    entry = {"script": "index.js"}
    found = convert(
        [
            {**entry, "name": "a-1", "env": {"PORT": 1}},
            {**entry, "name": "a-2", "env": {"PORT": 2}, "args": "--other"},
            {**entry, "name": "a-3", "env": {"PORT": 2}, "cwd": "/elsewhere"},
            {**entry, "name": "a-4"},
            {**entry, "name": "a-5"},
        ]
    )
    assert "upstreams" not in found.table


@pytest.mark.parametrize(
    "exported",
    [
        {"apps": [{"script": "index.js"}]},
        {"apps": {"script": "index.js"}},
        [{"script": "index.js"}],
        {"script": "index.js"},
        {"name": "a-package", "version": "1.0.0", "pm2": [{"script": "index.js"}]},
    ],
)
def test_apps_are_found_where_pm2_finds_them(exported):
    found = convert(exported)
    assert list(found.table["apps"]) == ["index"]
    assert found.notes == ()


def test_what_is_misspelt_is_told_with_what_was_meant():
    found = convert({"apps": [{"script": "index.js", "instanses": 2}], "deplpy": {}})
    assert found.notes == (
        'deplpy is not a key of a PM2 file; did you mean "deploy"?',
        'index.js: instanses is not an attribute of PM2; did you mean "instances"?',
    )


def test_apps_with_the_same_note_share_it():
    found = convert([{"name": name, "script": "index.js", "vizion": True} for name in "ab"])
    assert found.notes == ("a, b: vizion is not supported: Portico does not use version control",)


def test_everything_that_is_wrong_is_told_at_once():
    assert problems(
        {"apps": [{"name": "x", "max_restarts": "ten", "min_uptime": []}, 7, {"script": 5.5}]}
    ) == [
        "apps[0].max_restarts: must be a whole number, not 'ten'",
        'apps[0].min_uptime: must be a number of milliseconds or text like "10s", not []',
        "apps[0].script: is missing: the file to run",
        "apps[1]: must be an object that describes an app, not 7",
        "apps[2].script: must be text, not 5.5",
        "apps[2].script: is missing: the file to run",
    ]
    assert problems([{"script": "a", "instances": "many", "port": 70000, "env": "A=b"}])
    assert problems(None) == ["the file[0]: must be an object that describes an app, not None"]


def test_what_is_made_of_a_file_is_a_usable_document():
    found = convert(
        {
            "apps": [
                {
                    "name": f"web-{n}",
                    "script": "index.js",
                    "env": {"port": n, "A": None, "F": 1.5},
                    "args": ["a"],
                    "node_args": "--inspect",
                    "log": "x.log",
                    "stop_exit_codes": 0,
                    "exp_backoff_restart_delay": 100,
                }
                for n in (3000, 3001)
            ]
        }
    )
    document = Document.model_validate_json(json.dumps(found.table))
    assert document.upstreams["web"].apps == ("web-3000", "web-3001")
    assert document.apps["web-3001"].pinned_port(1) == 3001
