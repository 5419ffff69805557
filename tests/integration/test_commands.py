"""Commands against the API, with an engine that only remembers what it was asked."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from portico.cli.main import run
from portico.core.model.views import EventView
from tests.fakes.control import FakeControl, log_file, serving

TOML = '[apps.web]\ncommand = "node index.js"\n'
PORTICO = [sys.executable, "-m", "portico.cli.main"]


class Served:
    def __init__(self, control, home, folder):
        self.control, self.home, self.folder = control, home, folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        here = {"PORTICO_HOME": str(home.path), "TERM": "xterm", "PATH": path}
        self.environ = os.environ | here

    def portico(self, *argv):
        out, err = io.StringIO(), io.StringIO()
        code = run(list(map(str, argv)), self.environ, out, err)
        return code, out.getvalue(), err.getvalue()

    def read(self, *argv):
        code, out, _ = self.portico(*argv, "--json")
        assert code == 0
        return json.loads(out)


@pytest.fixture
def served(tmp_path):
    control = FakeControl(tmp_path / "home")
    (tmp_path / "portico.toml").write_text(TOML)
    with serving(control, tmp_path / "home") as home:
        yield Served(control, home, tmp_path)


def eventually(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_up_shows_urls_instances_and_what_to_type_next(served):
    served.control.draining = (3,)
    code, out, err = served.portico("up", served.folder)
    assert code == 0
    *lines, following = out.splitlines()
    assert lines == [
        "https://app.localhost:8443  app web",
        "web: ready, 2 of 2 answer",
        "  web.1.1  pid 4711  port 41001",
        "  web.2.2  pid 4712  port 41002",
    ]
    assert following == (
        "next: portico trust (makes browsers accept the local certificate), portico status, "
        "portico logs -f, portico reload web, portico down"
    )
    assert err == "  web.1 answers\n"
    kind, request = served.control.asked[0]
    assert (kind, request.folder) == ("up", str(served.folder))
    assert request.table == {"apps": {"web": {"command": "node index.js"}}}
    assert request.environ["TERM"] == "xterm"


def test_up_says_how_portico_becomes_a_command_where_it_is_none(served):
    served.environ["PATH"] = str(served.folder)
    code, _, err = served.portico("up", served.folder)
    assert code == 0
    told = re.search(r"note: portico is not in PATH; `(?:sudo )?ln -s (.*) /usr/local/bin/`", err)
    assert told
    assert Path(told[1]).name == "portico"
    assert os.access(told[1], os.X_OK)


def test_start_runs_a_program_as_under_pm2(served, monkeypatch):
    monkeypatch.chdir(served.folder)
    (served.folder / "app.js").touch()
    served.control.source = str(served.folder / "app.js")
    line = ["start", "app.js", "-i", "4", "--name", "My API", "--watch", "--", "-i", "7"]
    code, out, _ = served.portico(*line)
    assert (code, out.splitlines()[1]) == (0, "web: ready, 2 of 2 answer")
    kind, request = served.control.asked[-1]
    assert (kind, request.source) == ("up", served.control.source)
    assert request.table["project"] == "my-api"
    app = request.table["apps"]["my-api"]
    assert (app["script"], app["instances"], app["args"]) == ("app.js", 4, ["-i", "7"])
    assert app["watch"] is True


def test_start_of_a_program_replaces_no_other_file_in_force(served, monkeypatch):
    monkeypatch.chdir(served.folder)
    (served.folder / "app.js").touch()
    served.control.project = "app"
    code, _, err = served.portico("start", "app.js")
    assert code == 2
    assert err == (
        "/srv/portico.toml is in force as project app, and `start` would replace it; choose "
        "another --name\n"
    )
    assert served.control.asked == []
    assert served.portico("start", "web")[0] == 0
    assert served.control.asked == [("start", "web")]


def test_certs_names_others_who_renew(served):
    code, out, err = served.portico("certs")
    assert (code, out) == (0, "no site has a public name; all use local certificates\n")
    assert "another program also renews certificates: certbot renew in /etc/crontab:7" in err
    assert err.endswith("put a # there\n")


def test_certs_account_shows_every_account_and_asks_the_daemon_alone(served):
    code, out, err = served.portico("certs", "account")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "key with thumbprint dGh1bWI",
        "https://ca.test/dir",
        "  account: https://ca.test/acct/1",
        "  contact: ops@example.com",
        "https://old.test/dir",
        "  account: https://old.test/7, deactivated permanently",
        "  contact: -",
    ]
    view = served.read("certs", "account")
    assert (view["thumbprint"], view["halfway"]) == ("dGh1bWI", False)
    assert view["accounts"][0]["url"] == "https://ca.test/acct/1"


def test_an_account_gets_a_new_key_or_is_given_up_by_the_name_of_its_authority(served):
    assert served.portico("certs", "rollover")[0] == 0
    assert served.portico("certs", "deactivate", "letsencrypt-staging")[0] == 0
    staging = "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert served.control.asked == [("rollover", None), ("deactivate", staging)]
    code, _, err = served.portico("certs", "deactivate", "letsencrpt")
    assert code == 2
    assert "'letsencrpt' is neither a directory URL nor one of letsencrypt" in err


@pytest.mark.parametrize("argv", [("delete", "all"), ("scale", "all", "2")])
def test_what_is_for_one_app_does_not_take_all(served, argv):
    code, _, err = served.portico(*argv)
    assert code == 2
    assert err.startswith(f"portico {argv[0]} needs the name of one app")
    assert ("`portico down --all`" in err) == (argv[0] == "delete")
    assert served.control.asked == []


def test_a_variable_that_is_no_text_does_not_stop_an_up(served):
    served.environ["ODD"] = "\udcff"
    assert served.portico("up", served.folder)[0] == 0
    _, request = served.control.asked[0]
    assert "ODD" not in request.environ
    assert "PATH" in request.environ


def test_up_tells_what_it_does_not_take_over_from_a_pm2_file(served):
    path = served.folder / "eco.config.js"
    path.write_text(
        "exports.apps = [{script: 'i.js', disable_logs: true, env_production: {A: 1}}]"
    )
    code, _, err = served.portico("up", path, "--env", "production", "--site", "a.localhost")
    assert code == 0
    assert "note: i.js: disable_logs is not supported: output is kept" in err
    _, request = served.control.asked[0]
    assert request.table["sites"] == {"a.localhost": {"app": "i"}}
    assert request.table["apps"]["i"]["env"] == {"name": "i", "A": 1}


def test_a_wrong_file_ends_with_2_and_lists_every_problem(served):
    (served.folder / "portico.toml").write_text("x = 1")
    for command in ("up", "check", "plan"):
        code, out, err = served.portico(command, served.folder)
        assert (code, out) == (2, "")
        assert err.splitlines()[1:] == [
            '  apps: is missing (write "[apps.web]")',
            "  edge.http: must be a number",
        ]
    code, out, _ = served.portico("check", served.folder, "--json")
    assert code == 2
    assert json.loads(out)["problems"][0]["where"] == "apps"


def test_a_project_in_force_is_named_in_place_of_its_file(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    served.control.project = "shop"
    served.control.source = str(served.folder / "portico.toml")
    assert served.portico("check", "shop")[0] == 0
    code, _, err = served.portico("check", "another")
    assert (code, "another: cannot be read" in err) == (2, True)
    served.control.source = str(served.folder / "app.js")  # a program is not run as a file of PM2
    (served.folder / "app.js").write_text("throw new Error('it ran')")
    assert "shop: cannot be read" in served.portico("check", "shop")[2]
    (tmp_path / "shop").mkdir()
    assert "has no portico.toml" in served.portico("check", "shop")[2]


def test_a_change_that_fails_ends_with_its_exit_code(served):
    served.control.holding = True

    def fail():
        eventually(lambda: served.control.views)
        served.control.end("c1", error="web.1 exited with code 1\n  its words", exit_code=1)

    threading.Thread(target=fail).start()
    code, out, err = served.portico("up", served.folder)
    assert (code, out) == (1, "")
    assert err.endswith("web.1 exited with code 1\n  its words\n")


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["start", "web"], ("start", "web")),
        (["stop"], ("stop", None)),
        (["stop", "all"], ("stop", "all")),
        (["restart", "web"], ("restart", "web")),
        (["reload"], ("reload", None)),
        (["scale", "web", "3"], ("scale", 3)),
        (["scale", "web", "+2"], ("scale", "+2")),
        (["scale", "web", "-1"], ("scale", "-1")),
        (["del", "web"], ("delete", "web")),
        (["pause", "a.test"], ("pause", "a.test")),
        (["resume", "a.test"], ("resume", "a.test")),
        (["rollback", "2"], ("rollback", 2)),
        (["rollback"], ("rollback", None)),
        (["down", "--now"], ("down", (None, False, True))),
        (["down", "shop"], ("down", ("shop", False, False))),
        (["down", "--all"], ("down", (None, True, False))),
    ],
)
def test_commands_ask_for_what_they_say(served, argv, asked):
    code, out, _ = served.portico(*argv)
    assert code == 0
    assert out.startswith("done: ")
    assert served.control.asked == [asked]


def test_an_app_that_is_not_there_is_named(served):
    code, _, err = served.portico("reload", "wbe")
    assert (code, err) == (2, "there is no app wbe; known: web\n")
    assert served.portico("show", "wbe")[0] == 2


def test_everything_that_is_read_comes_as_json_too(served):
    assert served.read("status")["apps"][0]["instances"][0]["pid"] == 4711
    assert json.loads(served.portico("jlist")[1])["revision"] == 3
    assert served.read("check", served.folder)["notes"] == ["web: a note"]
    assert served.read("plan", served.folder)["steps"][0]["why"] == "3 are wanted, 2 run"
    assert served.read("render", served.folder)["files"]["nginx.conf"] == "events {}\n"
    assert served.read("show", "web")["balance"] == "round_robin"
    assert served.read("history")[0]["number"] == 2
    assert served.read("trust")["root"] == "/root.pem"
    assert served.read("version")["porticod"]["version"] == "0.1.0"
    assert served.read("up", served.folder)["state"] == "done"
    assert served.read("follow", "c1")["id"] == "c1"
    assert served.read("changes")[0]["kind"] == "up"
    assert served.read("events", "web", "-n", "3")["text"] == "its check failed"
    assert served.control.asked[-1] == ("events", "web", "3")
    assert served.portico("logs", "--json") == (0, "", "")


def test_everything_that_is_read_is_readable(served):
    assert "web.1.1" in served.portico("ls")[1]
    assert "nginx 1.31.3 (pid 81, generation 2)" in served.portico("status")[1]
    code, out, err = served.portico("check", served.folder)
    assert (code, err) == (0, "note: web: a note\n")
    assert out.endswith("portico.toml: 1 app, 1 site, nginx 1.31.3\n")
    assert (
        "  1. start web.3 on port 41003  (3 are wanted, 2 run)"
        in served.portico("plan", served.folder)[1]
    )
    assert served.portico("render", "--current")[1].startswith("# nginx.conf\nevents {}\n")
    assert "command  node index.js" in served.portico("describe", "web")[1]
    history = served.portico("history")[1]
    assert "p        2033-05-18 03:33:20 UTC  root (pid 2)  b               *" in history
    assert "skipped: Firefox: none" in served.portico("trust", "--remove")[1]
    assert served.portico("up", served.folder)[0] == 0
    assert "c1      up" in served.portico("changes")[1]
    assert (
        "2033-05-18 03:33:20 UTC  restart  web.1.1  its check failed"
        in served.portico("events")[1]
    )


def test_names_of_apps_and_sites_are_completed(served):
    assert served.portico("__complete", "reload", "")[1] == "web\n"
    assert served.portico("__complete", "pause", "app")[1] == "app.localhost\n"
    assert served.portico("__complete", "scale", "web", "")[1] == ""


def test_the_end_of_every_log_is_shown_with_its_instance(served):
    names = ("web.1.1", "web.2.12")
    for name in names:
        (served.folder / name).write_text("".join(f"line {n} of {name}\n" for n in range(99)))
    access = served.folder / "access.log"
    access.write_text("GET /\n")
    served.control.log_files = [
        *(log_file(served.folder / name, instance=name) for name in names),
        log_file(access, app="", instance="", stream="access", site="app.localhost"),
    ]
    code, out, _ = served.portico("logs", "-n", "2")
    assert code == 0
    assert [line for line in out.splitlines() if not line.startswith("---")] == [
        "web.1.1  | line 97 of web.1.1",
        "web.1.1  | line 98 of web.1.1",
        "web.2.12 | line 97 of web.2.12",
        "web.2.12 | line 98 of web.2.12",
    ]
    nginx = served.portico("logs", "--nginx")[1].splitlines()
    assert nginx[1:] == ["app.localhost access | GET /"]
    assert served.portico("logs", "other")[1:] == ("", "there is no output yet\n")


def test_a_log_file_that_was_removed_is_named_with_what_to_do(served):
    """https://github.com/Unitech/pm2/issues/2633: after `rm *.log` the app logs nothing."""
    removed = served.folder / "web.out.log"
    served.control.log_files = [log_file(removed, started=time.time())]
    assert served.portico("logs", "web") == (
        0,
        "",
        f"web.1.1 stdout: {removed} does not exist; `portico restart web` writes it again\n",
    )


def test_logs_are_in_the_order_of_their_last_line_and_show_how_old_it_is(served):
    now = time.time()
    ages = {"web.1.1": 7300, "web.2.2": 65, "web.3.3": 3}
    for name, age in ages.items():
        (served.folder / name).write_text(f"old\nof {name}\n")
        os.utime(served.folder / name, (now - age, now - age))
    first, second, third = (
        log_file(served.folder / name, instance=name, started=now - 60, offset=offset)
        for name, offset in zip(ages, (0, 0, 4), strict=True)
    )
    served.control.log_files = [third, first, second]
    lines = re.sub(r"(6[0-9]|[0-9])s ago", "Ns ago", served.portico("logs")[1]).splitlines()
    assert [line for line in lines if line.startswith("---")] == [
        "--- web.1.1 stdout, last written 2h 1m ago, before the start 1m ago ---",
        "--- web.2.2 stdout, last written 1m Ns ago, before the start 1m ago ---",
        "--- web.3.3 stdout, before the start 1m ago ---",
        "--- web.3.3 stdout, last written Ns ago ---",
    ]
    assert lines[-3:] == [
        "web.3.3 | old",
        "--- web.3.3 stdout, last written Ns ago ---",
        "web.3.3 | of web.3.3",
    ]


def test_logs_are_merged_by_the_time_of_their_lines_with_events_between(served):
    for slot, seconds in ((1, (10, 30)), (2, (20, 40))):
        log = served.folder / f"web.{slot}"
        log.write_text("".join(f"2033-05-18T03:33:{n}Z at {n}\n" for n in seconds))
        served.control.log_files.append(log_file(log, instance=f"web.{slot}"))
    merged = [
        "web.1 | 2033-05-18T03:33:10Z at 10",
        "web.2 | 2033-05-18T03:33:20Z at 20",
        "web.1 | 2033-05-18T03:33:30Z at 30",
        "web.2 | 2033-05-18T03:33:40Z at 40",
    ]
    assert served.portico("logs")[1].splitlines() == merged
    assert served.portico("logs", "--grep", "at [23]")[1].splitlines() == merged[1:3]
    assert served.portico("logs", "--until", "2033-05-18T03:33:20")[1].splitlines() == merged[:1]
    timed = served.portico("logs", "--timestamps", "-n", "1")[1].splitlines()
    assert timed[0] == "web.1 | 2033-05-18 03:33:30 UTC  2033-05-18T03:33:30Z at 30"
    with_events = served.portico("logs", "--events")[1].splitlines()
    assert with_events[1:3] == [
        "web.2   | 2033-05-18T03:33:20Z at 20",
        "portico | web.1.1: restart: its check failed",
    ]
    lines = served.portico("logs", "--events", "--json")[1].splitlines()
    assert [json.loads(line)["stream"] for line in lines] == [
        "stdout",
        "stdout",
        "event",
        "stdout",
        "stdout",
    ]
    assert json.loads(lines[0]) == {
        "time": "2033-05-18 03:33:10 UTC",
        "at": 2e9 - 10,
        "app": "web",
        "instance": "web.1",
        "stream": "stdout",
        "site": "",
        "line": "2033-05-18T03:33:10Z at 10",
    }
    code, _, said = served.portico("logs", "--grep", "(")
    assert (code, "'(' is not a regular expression: missing )" in said) == (2, True)


@contextmanager
def started(served, *argv):
    """A command in a process of its own, with its output; ended at the end."""
    process = subprocess.Popen(
        [*PORTICO, *argv],
        env={**served.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=served.folder,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_logs_are_followed_over_a_rotation_until_an_interrupt(served):
    log = served.folder / "web.log"
    log.write_text("old\n")
    served.control.log_files = [log_file(log)]
    with started(served, "logs", "-f", "web") as process:
        assert process.stdout.readline().startswith("--- web.1.1 stdout, last written ")
        assert process.stdout.readline() == "web.1.1 | old\n"
        log.rename(served.folder / "web.log.1")
        log.write_text("new\n")
        assert process.stdout.readline() == "web.1.1 | new\n"
        second = served.folder / "second.log"
        second.write_text("begun later\n")
        served.control.log_files.append(log_file(second, instance="web.2.2"))
        assert process.stdout.readline() == "web.2.2 | begun later\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""


def test_events_between_the_list_and_the_following_are_not_lost(served):
    numbers = iter(range(7, 100))

    def events(app, count):
        """One more has happened each time, which is listed only without a limit of 0."""
        happened = EventView(number=next(numbers), at=2e9, kind="scale", subject="web", text="")
        return [happened] if count == "1" else []

    served.control.events = events
    with started(served, "events", "-f", "-n", "0") as process:
        assert "exited" in process.stdout.readline()
    assert ("follow_events", "7") in served.control.asked


def test_an_interrupt_leaves_the_change_to_go_on_and_names_it(served):
    served.control.holding = True
    with started(served, "up") as process:
        eventually(lambda: served.control.views)
        served.control.say("c1", "started web.1")
        assert process.stderr.readline() == "  started web.1\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == (
            "up continues in the background; `portico follow c1` shows it\n"
        )
    served.control.end("c1")
    assert served.portico("follow")[1].startswith("done: up ")


def test_a_reader_that_has_enough_is_no_failure(served):
    command = f"{' '.join(PORTICO)} status; echo $? >&2"
    found = subprocess.run(
        ["bash", "-c", f"({command}) | true"],
        env=served.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr in {"0\n", ""}


def test_a_terminal_gets_colour_and_a_spinner(served):
    served.control.holding = True
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*PORTICO, "reload"], env=served.environ, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        shown = b""
        while not re.search(rb"reload every app \d+s", shown):
            shown += os.read(master, 4096)
        served.control.end("c1")
        while b"\x1b[32mdone\x1b[0m: reload every app" not in shown:
            shown += os.read(master, 4096)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_status_imports_nothing_that_it_does_not_need(served):
    code = (
        "import sys; from portico.cli.main import main; sys.argv[1:] = ['status']; main(); "
        "print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=served.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "web.1.1" in found.stdout
    heavy = "asyncio pydantic h11 psutil http subprocess typing_extensions logging yaml"
    assert set(found.stderr.split()).isdisjoint(
        [
            *heavy.split(),
            *("portico.importers", "portico.cli.commands.up"),
            *("portico.core.config", "portico.core.model.views", "portico.core.planning"),
        ]
    )
