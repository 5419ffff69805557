"""The files of a stack, read into one."""

from __future__ import annotations

import json
import os
import time

import pytest

from portico.errors import ConfigError, Failed, Refused
from portico.stack.reading.kinds import kind_of
from portico.stack.reading.nginx import MAX_FILES
from portico.stack.reading.read import read_stack


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("nginx.conf", "events {}\nhttp {}\n", "nginx"),
        ("default", "server {\n listen 80;\n}\n", "nginx"),
        ("upstream.conf", "# nothing yet\n", "nginx"),
        ("ecosystem.config.js", "", "pm2"),
        ("apps.js", "module.exports = {apps: []}", "pm2"),
        ("dump.pm2", "[]", "pm2"),
        ("crontab", "", "crontab"),
        ("root", "0 3 * * * certbot renew\n", "crontab"),
        ("root", "@daily certbot renew", "crontab"),
        ("example.com.conf", "version = 2.1.0\n[renewalparams]\n", "certbot"),
        ("web.service", "", "unit"),
        ("certbot.timer", "", "timer"),
        ("Procfile", "", "procfile"),
        ("compose.yaml", "", "compose"),
        ("Caddyfile", "", "caddyfile"),
        ("notes.txt", "nothing of this kind", None),
    ],
)
def test_a_file_is_known_by_its_name_or_by_what_is_in_it(tmp_path, name, text, kind):
    assert kind_of(tmp_path / name, text) == kind


def test_what_nginx_includes_stands_in_its_place_with_its_own_file_and_line(tmp_path):
    main, sites = tmp_path / "nginx.conf", tmp_path / "sites"
    sites.mkdir()
    (sites / "b.conf").write_text("# b\nserver { server_name b; }\n")
    (sites / "a.conf").write_text("server { server_name a; }\n")
    main.write_text("events {}\nhttp {\n  include sites/*.conf;\n  gzip on;\n}\n")
    stack = read_stack([main], {})
    _, http = stack.nginx
    assert [(each.name, each.where) for each in http.block] == [
        ("server", f"{sites}/a.conf:1"),
        ("server", f"{sites}/b.conf:2"),
        ("gzip", f"{main}:4"),
    ]
    assert stack.files == (str(main), f"{sites}/a.conf", f"{sites}/b.conf")
    assert stack.gaps == ()


def test_an_include_that_cannot_be_read_is_a_gap_and_the_rest_is_read(tmp_path):
    main = tmp_path / "nginx.conf"
    main.write_text("server {\n  include missing.conf;\n  include nginx.conf;\n  listen 80;\n}\n")
    stack = read_stack([main], {})
    [server] = stack.nginx
    assert [each.name for each in server.block] == ["include", "include", "listen"]
    assert [(each.place.line, each.why) for each in stack.gaps] == [
        (2, f"cannot read {tmp_path}/missing.conf: No such file or directory"),
        (3, f"cannot read {main}: it includes itself"),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"server {\n", "line 1: unexpected end of file"),
        (b"server {\0}", "it is not a text file"),
    ],
)
def test_a_file_that_is_no_nginx_configuration_is_refused_in_words(tmp_path, content, why):
    path = tmp_path / "site.conf"
    path.write_bytes(content)
    with pytest.raises(Failed, match=why):
        read_stack([path], {})


def test_a_file_that_is_of_no_kind_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing of this kind")
    with pytest.raises(Refused, match="is not of a kind that Portico reads"):
        read_stack([path], {})


def test_programs_of_pm2_are_apps_with_the_ports_on_which_they_listen(tmp_path):
    path = tmp_path / "ecosystem.config.json"
    path.write_text('{"apps": [{"name": "web", "script": "a.js", "env": {"port": "3000"}}]}')
    [program] = read_stack([path], {}).programs
    assert (program.name, program.manager, program.ports) == ("web", "pm2", (3000,))
    assert program.place.file == str(path)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "ecosystem.config.json",
            '{"apps": [\n{"name": "b", "script": "a.js"},\n{"name": "a", "script": "a.js"}]}',
            [2, 3],
        ),
        (
            "ecosystem.config.yaml",
            "apps:\n  - script: ./x/one.js\n  - script: two.js\n    name: My API\n",
            [2, 4],
        ),
        (
            "ecosystem.config.js",
            "// 'b'\nmodule.exports = [{\nname: `a`, script: 'x'}, {\n\nname: 'b', script: 'x'}]",
            [3, 5],
        ),
    ],
)
def test_programs_of_pm2_have_the_lines_on_which_their_names_or_scripts_stand(
    tmp_path, name, text, lines
):
    path = tmp_path / name
    path.write_text(text)
    programs = read_stack([path], dict(os.environ)).programs
    assert [each.place.line for each in programs] == lines


SHELL = {"PATH": "/bin", "HOME": "/root", "SECRET_OF_SHELL": "x", "SSH_TTY": "/dev/pts/0"}


def dumped(name, number, **more):
    """A process as PM2 7 saves it."""
    env = {**SHELL, "PM2_USAGE": "CLI", name: {}, "NODE_APP_INSTANCE": number, "unique_id": "u"}
    return {
        "name": name,
        "namespace": "default",
        "exec_interpreter": "node",
        "pm_id": number,
        "pm_exec_path": "/srv/shop/index.js",
        "pm_cwd": "/srv/shop",
        "status": "online",
        "exec_mode": "cluster_mode",
        "username": "root",
        "axm_options": {},
        "treekill": True,
        "pm_out_log_path": "/root/.pm2/logs/web-out-0.log",
        "restart_time": 3,
        "vizion": True,
        "env": {**env, "PORT": "3000", "NODE_ENV": "production"},
        "watch": False,
        **more,
        **SHELL,
    }


def test_a_dump_of_pm2_is_read_without_the_variables_of_its_shell(tmp_path):
    worker = dumped("jobs", 2, exec_mode="fork_mode", status="stopped", max_memory_restart=1 << 28)
    worker["env"] = {"QUEUE": "mail"}
    path = tmp_path / "dump.pm2"
    path.write_text(json.dumps([dumped("web", 0), dumped("web", 1), worker], indent=1))
    stack = read_stack([path], {"SECRET_OF_SHELL": "x"})
    web, jobs = stack.programs
    assert (web.table["instances"], web.ports, web.table["cwd"]) == (2, (3000, 3001), "/srv/shop")
    assert web.table["env"] == {"name": "web", "NODE_ENV": "production"}
    assert jobs.table["env"] == {"name": "jobs", "QUEUE": "mail"}
    assert (jobs.table["autostart"], jobs.table["max_memory"]) == (False, 1 << 28)
    assert 0 < web.place.line < jobs.place.line
    assert [gap.what for gap in stack.gaps if gap.what] == ["env: NODE_ENV", "env: QUEUE"]


@pytest.mark.parametrize("text", ["{", "[3]", "3", "[" * 100_000, '[{"name": {}}]'])
def test_a_dump_that_pm2_did_not_write_is_refused(tmp_path, text):
    path = tmp_path / "dump.pm2"
    path.write_text(text)
    with pytest.raises(ConfigError, match="cannot use"):
        read_stack([path], {})


def test_comments_in_another_encoding_are_read_and_arguments_in_one_are_listed(tmp_path):
    path = tmp_path / "site.conf"
    path.write_bytes("# Stra\xdfe\nserver { # f\xfcr\n root /srv/b\xfccher;\n}".encode("latin-1"))
    stack = read_stack([path], {})
    [server] = stack.nginx
    assert [each.name for each in server.block] == ["root"]
    [gap] = stack.gaps
    assert (gap.place.line, gap.why) == (3, "it is not UTF-8 text; save the file as UTF-8")


def test_files_that_include_each_other_are_read_to_an_end(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.conf").write_text("include *.conf;\n")
    stack = read_stack([tmp_path / "a.conf"], {})
    assert len(stack.files) < MAX_FILES
    assert all("it includes itself" in gap.why for gap in stack.gaps)


@pytest.mark.parametrize("depth", [60, 2000, 100_000])
def test_blocks_without_an_end_of_nesting_are_refused_in_words(tmp_path, depth):
    path = tmp_path / "site.conf"
    path.write_text("location / {" * depth + "}" * depth)
    with pytest.raises(Failed, match="it is nested too deeply"):
        read_stack([path], {})


@pytest.mark.slow
def test_a_file_of_20000_lines_is_read_in_seconds(tmp_path):
    path = tmp_path / "site.conf"
    path.write_text("server { listen 80;\n server_name a.test;\n root /srv;\n}\n" * 5000)
    before = time.process_time()
    stack = read_stack([path], {})
    assert len(stack.nginx) == 5000
    assert time.process_time() - before < 8
