from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.names import InstanceId
from portico.core.planning.environment import (
    NoticePaths,
    environment,
    instance_variables,
    parse_env_file,
    with_preload,
)

SHELL = {
    "PATH": "/opt/node/bin:/usr/bin",
    "HOME": "/root",
    "LC_TIME": "de_DE.UTF-8",
    "NVM_BIN": "/root/.nvm/bin",
    "AWS_SECRET_ACCESS_KEY": "hush",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "PORT": "1",
    "PWD": "/somewhere",
}


def made(app, environ=SHELL, place=None, files=(), slot=2):
    spec = Spec("v1", "web", app, "/srv/web", environ)
    own = instance_variables(app, "web", InstanceId("web.2.7"), slot, 41003)
    return environment(spec, place or {"PWD": "/srv/web"}, files, own)


def test_who_is_to_say_that_it_is_ready_is_told_where_and_keeps_its_own_options_of_node():
    paths = NoticePaths("/home/notify", "/home/send", '/home/a "b"\\send.cjs')
    says = App(command="x", wait_ready=True)
    got = with_preload({"NODE_OPTIONS": "--no-warnings", "A": "1"}, paths, says)
    assert got == {
        "A": "1",
        "NOTIFY_SOCKET": "/home/notify",
        "PORTICO_SEND": "/home/send",
        "NODE_OPTIONS": r'--no-warnings --require "/home/a \"b\"\\send.cjs"',
    }
    assert with_preload({}, paths, says)["NODE_OPTIONS"].startswith("--require ")


def test_who_falls_back_to_its_own_port_is_told_in_which_variable_that_is():
    paths = NoticePaths("/home/notify", "/home/send", "/home/send.cjs")
    falls = App(command="x", port_fallback=True, port_env="port")
    assert with_preload({}, paths, falls) == {
        "NODE_OPTIONS": '--require "/home/send.cjs"',
        "PORTICO_PORT_FALLBACK": "port",
    }


def test_an_instance_inherits_how_programs_are_found_and_no_secrets():
    got = made(App(command="x"))
    assert got["PATH"] == "/opt/node/bin:/usr/bin"
    assert {"HOME", "LC_TIME", "NVM_BIN"} <= got.keys()
    assert "AWS_SECRET_ACCESS_KEY" not in got


def test_output_of_python_is_seen_at_once_unless_the_app_says_otherwise():
    assert made(App(command="x"))["PYTHONUNBUFFERED"] == "1"
    assert made(App(command="x", env={"PYTHONUNBUFFERED": ""}))["PYTHONUNBUFFERED"] == ""


def test_pm2s_number_goes_on_from_slot_to_slot():
    assert "pm_id" not in made(App(command="x"))
    assert made(App(command="x", pm_id=3), slot=2)["pm_id"] == "4"


def test_with_inherit_env_it_gets_all_but_what_is_meant_for_the_daemon():
    got = made(App(command="x", inherit_env=True))
    assert got["AWS_SECRET_ACCESS_KEY"] == "hush"
    assert "NOTIFY_SOCKET" not in got
    assert got["PWD"] == "/srv/web"


def test_it_is_told_its_port_its_number_and_its_name():
    got = made(App(command="x", port_env="port", instance_env="N"))
    assert (got["port"], got["N"]) == ("41003", "1")
    assert (got["PORTICO_APP"], got["PORTICO_INSTANCE"]) == ("web", "web.2.7")
    assert not {"PORT", "NODE_APP_INSTANCE"} & got.keys()


@pytest.mark.parametrize(
    ("app", "host"),
    [
        (App(command="x"), "127.0.0.1"),  # nginx is here, and nobody else is to reach it
        (
            App(command="x", inherit_env=True),
            "127.0.0.1",
        ),  # the name of the machine in some shells
        (App(command="x", env={"HOST": "0.0.0.0"}), "0.0.0.0"),
        (App(command="x", port=3000, inherit_env=True), "build-7"),  # others may know this port
        (App(command="x", port=3000), None),
        (App(command="x", port=False), None),
    ],
)
def test_a_program_on_a_port_of_ours_listens_on_loopback_unless_its_file_says_else(app, host):
    assert made(app, {**SHELL, "HOST": "build-7"}).get("HOST") == host


def test_a_file_of_variables_says_where_to_listen():
    assert made(App(command="x"), files=[{"HOST": "::1"}])["HOST"] == "::1"


def test_a_worker_that_listens_nowhere_is_told_no_port():
    assert "PORT" not in made(App(command="x", port=False))


def test_later_sources_win_and_nothing_wins_over_the_port():
    app = App(command="x", env={"A": "env", "B": "env", "PORT": "3000"})
    got = made(app, files=[{"A": "1", "C": "1", "HOME": "/x"}, {"C": "2"}])
    assert (got["A"], got["B"], got["C"], got["HOME"]) == ("env", "env", "2", "/x")
    assert got["PORT"] == "41003"


def test_another_user_is_at_home_in_his_own_folder():
    got = made(App(command="x"), place={"PWD": "/srv", "HOME": "/home/www", "USER": "www"})
    assert (got["HOME"], got["USER"]) == ("/home/www", "www")


def test_values_of_toml_become_text():
    got = made(App(command="x", env={"A": True, "B": False, "C": 5, "D": 1.5, "E": ""}))
    assert [got[name] for name in "ABCDE"] == ["true", "false", "5", "1.5", ""]


def test_a_path_is_there_whatever_the_shell_had():
    assert "/usr/bin" in made(App(command="x"), environ={})["PATH"].split(":")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("# no\n\n  export A = 1 \n\t# no\n", {"A": "1"}),
        ("A=a b  # why\nB=a#b\nC=#fff", {"A": "a b", "B": "a#b", "C": "#fff"}),
        ("A= # nothing\nB=", {"A": "", "B": ""}),
        ('A=\'x # $Y \\n\' # z\nB="x\\n\\"y\\" $Z"', {"A": "x # $Y \\n", "B": 'x\n"y" $Z'}),
        ('KEY="-----BEGIN\nabc\n-----END"\nB=1', {"KEY": "-----BEGIN\nabc\n-----END", "B": "1"}),
        ("URL=postgres://u:p=q@h/db?x='1'", {"URL": "postgres://u:p=q@h/db?x='1'"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=$B ${C} `d`", {"A": "$B ${C} `d`"}),
        ("", {}),
    ],
)
def test_an_env_file_is_read_as_dotenv_files_are(text, found):
    assert parse_env_file(text, ".env") == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nB", ".env line 2: 'B' has no =; write NAME=value"),
        ("A=1\n\n# x\n1B=2", ".env line 4: '1B' is not a valid variable name"),
        ("A='1\nB=2", ".env line 1: the quote of A is not closed, or something follows it"),
        ("A='1' 2", ".env line 1: the quote of A is not closed, or something follows it"),
        ('A="1\n2"\nB=\0', ".env line 3: the value of B holds a NUL character"),
        ("=1", ".env line 1: '' is not a valid variable name"),
    ],
)
def test_a_bad_line_of_an_env_file_is_named(text, problem):
    with pytest.raises(ValueError) as caught:
        parse_env_file(text, ".env")
    assert str(caught.value) == problem


@given(st.dictionaries(st.from_regex(r"\A[A-Z_]{1,8}\Z"), st.text(max_size=20)))
def test_quoted_values_come_back_as_they_were(values):
    values = {k: v.replace("\0", "").replace("\r", "") for k, v in values.items()}
    quoted = {k: v.replace("\\", "\\\\").replace('"', '\\"') for k, v in values.items()}
    text = "".join(f'{name}="{value}"\n' for name, value in quoted.items())
    assert parse_env_file(text, ".env") == values


@given(st.text(st.sampled_from("AB= '\"#\\\n\0export"), max_size=40))
def test_any_env_file_is_read_or_refused_with_its_line(text):
    try:
        assert all(name for name in parse_env_file(text, ".env"))
    except ValueError as error:
        assert str(error).startswith(".env line ")  # noqa: PT017 - both ends are fine
