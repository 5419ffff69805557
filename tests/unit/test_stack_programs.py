"""Programs of systemd and of Procfiles, as apps."""

from __future__ import annotations

import pytest

from portico.core.config.document import read_document
from portico.errors import Failed
from portico.stack.reading.listening import command_text, listen_command
from portico.stack.reading.read import read_stack
from portico.stack.reading.unit_words import unit_words


def read(folder, name, text):
    """The stack of one file, which `portico check` would accept."""
    (folder / name).write_text(text)
    stack = read_stack([folder / name], {})
    read_document({"apps": {each.name: each.table for each in stack.programs}}, source=name)
    return stack


def whys(stack):
    return {gap.what.partition("=")[0]: gap.why for gap in stack.gaps}


UNIT = """\
[Unit]
Description=Shop
After=network.target postgresql.service

[Service]
Type=notify
User=shop
Group=www-data
WorkingDirectory=/srv/shop
EnvironmentFile=-/nowhere/default/shop
EnvironmentFile=/etc/default/shop
Environment="NODE_ENV=production" PORT=3000 'GREETING=hello world'
ExecStartPre=/usr/bin/node migrate.js
ExecStartPre=-/bin/mkdir -p /run/shop
ExecStart=/usr/bin/node --max-old-space-size=512 server.js \\
    --name "my shop" ${EXTRA}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
KillSignal=SIGINT
TimeoutStopSec=1min 30s
LimitNOFILE=65536
MemoryMax=1G
NoNewPrivileges=true
StandardOutput=append:/var/log/shop.log

[Install]
WantedBy=multi-user.target
"""


def test_a_unit_is_an_app_with_what_has_to_run_before_it(tmp_path):
    stack = read(tmp_path, "shop.service", UNIT)
    before, shop = stack.programs
    assert (before.name, before.table["command"]) == ("shop-pre", "/usr/bin/node migrate.js")
    assert before.table["autorestart"] is False
    assert dict(shop.table) == {
        "command": "/usr/bin/node --max-old-space-size=512 server.js --name 'my shop' ${EXTRA}",
        "wait_ready": True,
        "user": "shop",
        "group": "www-data",
        "cwd": "/srv/shop",
        "env_file": "/etc/default/shop",
        "env": {"NODE_ENV": "production", "GREETING": "hello world"},
        "port": 3000,
        "stop_exit_codes": [0],
        "backoff": 5.0,
        "backoff_limit": 5.0,
        "stop_signal": "SIGINT",
        "stop_timeout": 90.0,
        "max_memory": 1 << 30,
        "logs": {"stdout": "/var/log/shop.log"},
        "after": ["shop-pre"],
    }
    assert (shop.ports, shop.place.line, shop.manager) == ((3000,), 15, "systemd")


def test_what_a_unit_has_and_an_app_has_not_is_listed_with_its_line(tmp_path):
    stack = read(tmp_path, "shop.service", UNIT)
    assert [(gap.place.line, gap.what.partition("=")[0]) for gap in stack.gaps] == [
        (3, "After"),
        (10, "EnvironmentFile"),
        (14, "ExecStartPre"),
        (17, "ExecReload"),
        (22, "LimitNOFILE"),
        (24, "NoNewPrivileges"),
    ]
    assert "`portico reload` replaces the instances" in whys(stack)["ExecReload"]


def test_instances_of_a_template_on_consecutive_ports_are_one_app(tmp_path):
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    for port in (3000, 3001, 3002):
        (wants / f"web@{port}.service").symlink_to("../web@.service")
    text = "[Service]\nEnvironment=PORT=%i\nExecStart=/bin/%p --port %i\nRestart=always\n"
    [app] = read(tmp_path, "web@.service", text).programs
    assert dict(app.table) == {
        "command": "/bin/web --port $PORT",
        "cwd": "/",
        "port": 3000,
        "instances": 3,
    }
    assert app.ports == (3000, 3001, 3002)


def test_an_instance_of_a_template_alone_is_an_app_and_a_template_without_any_a_gap(tmp_path):
    text = "[Service]\nExecStart=/bin/web %i\nRestart=always\n"
    [app] = read(tmp_path, "web@blue.service", text).programs
    assert (app.name, app.table["command"]) == ("web-blue", "/bin/web blue")
    [gap] = read(tmp_path, "api@.service", text).gaps
    assert "no enabled instance" in gap.why


def test_a_unit_that_renews_certificates_is_no_program(tmp_path):
    stack = read(tmp_path, "certbot.service", "[Service]\nExecStart=/usr/bin/certbot renew\n")
    assert stack.programs == ()
    assert [each.command for each in stack.renewals] == ["/usr/bin/certbot renew"]


def test_a_unit_without_restart_is_not_restarted_and_a_port_nobody_names_is_asked_for(tmp_path):
    stack = read(tmp_path, "bot.service", "[Service]\nExecStart=/bin/bot\n")
    [bot] = stack.programs
    assert dict(bot.table) == {
        "command": "/bin/bot",
        "cwd": "/",
        "port": False,
        "autorestart": False,
    }
    assert "set port or find_port" in whys(stack)["ExecStart"]


def test_a_unix_socket_of_a_unit_becomes_a_port_and_is_remembered(tmp_path):
    start = "ExecStart=/venv/bin/gunicorn --bind unix:/run/shop.sock shop.wsgi"
    [app] = read(tmp_path, "shop.service", f"[Service]\n{start}\nRestart=always\n").programs
    assert app.table["command"] == "/venv/bin/gunicorn --bind 127.0.0.1:$PORT shop.wsgi"
    assert (app.ports, app.sockets) == ((), ("/run/shop.sock",))


def test_a_value_that_no_key_accepts_is_a_gap_and_the_rest_is_taken(tmp_path):
    lines = "KillSignal=SIGRTMIN+3\nRestartSec=soon\nMemoryMax=50%\nUser=%u\nRestart=always\n"
    stack = read(tmp_path, "a.service", f"[Service]\nExecStart=/bin/a -p 80\n{lines}")
    [app] = stack.programs
    assert dict(app.table) == {"command": "/bin/a -p $PORT", "cwd": "/", "port": 80}
    assert {gap.what.split("=")[0].strip() for gap in stack.gaps} == {
        "stop_signal",
        "RestartSec",
        "MemoryMax",
        "User",
    }


def test_a_socket_of_systemd_is_a_gap_with_or_without_its_service(tmp_path):
    (tmp_path / "web.socket").write_text("[Socket]\nListenStream=3000\nAccept=no\n")
    stack = read(tmp_path, "web.service", "[Service]\nExecStart=/bin/web\n")
    assert whys(stack)["ListenStream"] == whys(read_stack([tmp_path / "web.socket"], {})).get(
        "ListenStream"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("'a b' \"c'd\" e", ["a b", "c'd", "e"]),
        (r"a\x20b \"c\" 'd\n'", ["a b", '"c"', "d\n"]),
        ("'' a", ["", "a"]),
        (r"\101 \s", ["A", " "]),
    ],
)
def test_words_of_a_unit_are_split_as_systemd_does(text, words):
    assert unit_words(text) == words


@pytest.mark.parametrize("text", ["'a", 'a "', "a\\"])
def test_words_that_systemd_refuses_are_refused(text):
    with pytest.raises(ValueError, match=r"quote|backslash"):
        unit_words(text)


def test_web_of_a_procfile_gets_a_port_and_others_are_workers(tmp_path):
    (tmp_path / ".env").write_text("A=1\n")
    lines = [
        "# of the shop",
        "web: bundle exec puma -p $PORT",
        "",
        "api: node api.js --port ${PORT:-3000}",
        "worker: FOO=1 node worker.js && true",
        "release: ./migrate",
    ]
    stack = read(tmp_path, "Procfile", "\n".join(lines))
    tables = {each.name: dict(each.table) for each in stack.programs}
    assert all(table.pop("env_file") == ".env" for table in tables.values())
    assert tables == {
        "web": {"command": "bundle exec puma -p $PORT", "after": ["release"]},
        "api": {"command": "node api.js --port ${PORT:-3000}", "after": ["release"]},
        "worker": {
            "command": ["/bin/sh", "-c", "FOO=1 node worker.js && true"],
            "port": False,
            "after": ["release"],
        },
        "release": {"command": "./migrate", "port": False, "autorestart": False},
    }
    assert [each.place.line for each in stack.programs] == [2, 4, 5, 6]


def test_lines_that_no_procfile_has_are_gaps_and_names_are_unlike(tmp_path):
    stack = read(tmp_path, "Procfile", 'clock node\nWeb: a\nweb: b\nx: c "\n')
    assert [each.name for each in stack.programs] == ["web", "web-2"]
    assert [each.place.line for each in stack.gaps] == [1, 4]


@pytest.mark.parametrize(
    ("words", "env", "changed", "table"),
    [
        (["node", "a.js"], {"PORT": "3000"}, "node a.js", {"port": 3000}),
        (["node", "a"], {"port": 3001}, "node a", {"port": 3001, "port_env": "port"}),
        (["next", "start", "-p", "3000"], {}, "next start -p $PORT", {"port": 3000}),
        (["a", "-p3000"], {}, "a -p$PORT", {"port": 3000}),
        (["a", "--port=3000"], {}, "a --port=$PORT", {"port": 3000}),
        (["a", "--port", "3000"], {"PORT": "3000"}, "a --port $PORT", {"port": 3000}),
        (["g", "-b", "0.0.0.0:8000"], {}, "g -b 0.0.0.0:$PORT", {"port": 8000}),
        (["g", "--bind=[::]:80"], {}, "g '--bind=[::]:$PORT'", {"port": 80}),
        (["m.py", "runserver", "8000"], {}, "m.py runserver $PORT", {"port": 8000}),
        (["puma", "-b", "tcp://0.0.0.0:9"], {}, "puma -b tcp://0.0.0.0:9", {"port": False}),
        (["java", "-Dserver.port=8080"], {}, "java -Dserver.port=$PORT", {"port": 8080}),
        (["a", "--size", "3000"], {}, "a --size 3000", {"port": False}),
        (["a", "-p", "99999"], {}, "a -p 99999", {"port": False}),
        (["a", "$PORT"], {}, "a $PORT", {}),
    ],
)
def test_a_port_is_found_in_variables_and_arguments(words, env, changed, table):
    found = listen_command(words, env)
    assert (command_text(found.words).replace('"', "'"), found.table) == (changed, table)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.service", "ExecStart=/bin/a\n", "line 1 is not a line of a systemd unit"),
        ("a.service", "[Service]\0", "it is not a text file"),
        ("Procfile", "web: a\0", "it is not a text file"),
    ],
)
def test_a_file_that_is_none_of_its_kind_is_refused_in_words(tmp_path, name, text, why):
    with pytest.raises(Failed, match=why):
        read(tmp_path, name, text)
