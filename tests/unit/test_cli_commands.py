from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

from portico.cli.commands.completion import SCRIPTS
from portico.cli.commands.run import command_line
from portico.cli.completing import candidates
from portico.cli.loading import load, parser_of
from portico.cli.main import run
from portico.cli.reference import reference
from portico.cli.table import COMMANDS, PM2_HINTS, SHORTHANDS, find
from portico.errors import ConfigError

BY_WORD = {word for each in COMMANDS for word in (each.name, *each.words)} | SHORTHANDS.keys()


def portico(*argv, **environ):
    out, err = io.StringIO(), io.StringIO()
    code = run(argv, {"PORTICO_HOME": "/nowhere/at/all", **environ}, out, err)
    return code, out.getvalue(), err.getvalue()


def completed(*words):
    return candidates(words, {"PORTICO_HOME": "/nowhere/at/all"}, root=True)


def test_a_command_that_sends_a_file_to_the_daemon_imports_none_of_its_models():
    """With them `portico up` took four times the processor time."""
    modules = ("main", *(f"commands.{name}" for name in ("check", "plan", "run", "start", "up")))
    look = (
        f"import sys, {', '.join(f'portico.cli.{name}' for name in modules)}; print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert "portico.importers.read" in ran.stdout.split()
    assert "pydantic" not in ran.stdout.split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_module_and_a_help(command):
    assert load(command).run
    code, out, _ = portico(command.name, "--help")
    assert code == 0
    assert f"usage: portico {command.name}" in out
    assert command.summary in out
    assert all(action.help for action in parser_of(command).declared)


@pytest.mark.parametrize(
    ("word", "name"),
    [("ls", "status"), ("list", "status"), ("ps", "status"), ("l", "status"), ("del", "delete"),
     ("describe", "show"), ("jlist", "status")],
)  # fmt: skip
def test_words_of_pm2_mean_the_same_here(word, name):
    command, given = find(word)
    assert command.name == name
    assert given == SHORTHANDS.get(word, (name,))[1:]


def test_no_word_means_two_things():
    words = [word for each in COMMANDS for word in (each.name, *each.words)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_has_every_command_and_every_exit_code(argv):
    code, out, _ = portico(*argv)
    assert code == 0
    assert all(f"\n  {command.name} " in out for command in COMMANDS)
    assert "\n  3     the daemon does not answer" in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["stauts"], "unknown command stauts; did you mean `portico status`?"),
        (["frobnicate"], "`portico --help` lists them"),
        (["scale", "web"], "the following arguments are required: N"),
        # https://github.com/Unitech/pm2/issues/5333: it started instances without end
        (["scale", "web", "+", "3"], "argument N: must be a whole number, not '+'"),
        (
            ["scale", "web", "many"],
            "argument N: must be a whole number, not 'many'; see portico scale --help",
        ),
        (["status", "--jsn"], "unrecognized arguments: --jsn; see portico status --help"),
        (["start", "x.js", "--env", "production"], "`portico up FILE --env NAME` applies a PM2"),
        (["restart", "web", "--update-env"], "with inherit_env, `portico up` reads this shell"),
        (["--hme", "/x", "status"], "unrecognized arguments: --hme"),
        (["logs", "-n", "-1"], "N must be 0 or more"),
        (["up", "/nowhere/portico.toml"], "cannot be read: No such file or directory"),
        (["save"], "not needed: what was applied last is stored"),
        (["resurrect"], "`portico startup` starts it at boot"),
        (["flush"], "not needed: logs are rotated"),
        (["monit"], "portico top needs a terminal; `portico status` prints the table once"),
        (["sysmonit"], "run `portico open`"),
        (["top", "--every", "0"], "--every has to be 0.2 seconds or more"),
        (["deploy", "production"], "then `portico reload APP`"),
        (["startOrReload", "x.config.js"], "run `portico up FILE`"),
        (["delete", "all"], "`portico down --all` stops and removes all of them, and nginx"),
        (["start", "app.js", "-i", "4"], "app.js: does not exist"),
        (["start", "npm", "-i", "many"], "must be a whole number, not 'many'"),
        (["start", "ecosystem.config.js"], "`portico up ecosystem.config.js` applies it"),
        (["certs", "list", "--force"], "`portico certs list` does not accept --force"),
        (["certs", "renew", "--dry-run", "--force"], "omit --force"),
        (["certs", "show"], "needs the NAME of a site"),
        (["certs", "account", "shop"], "`portico certs account` does not accept NAME"),
        (["certs", "rollover", "--force"], "`portico certs rollover` does not accept --force"),
        (["certs", "deactivate"], "needs the ISSUER, a known name or a directory URL"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
        (["status", "--home", "/" + "x" * 120], "choose a shorter folder"),
    ],
)
def test_a_wrong_line_ends_with_2_and_says_why(argv, says):
    code, out, err = portico(*argv)
    assert (code, out) == (2, "")
    assert says in err


NO_SUGGESTIONS = {"down", "kill", "stop", "restart", "delete", "del", "scale", "rollback", "pause"}


@pytest.mark.parametrize("word", [*sorted(NO_SUGGESTIONS), "unstartup", "deploy", "save", "top"])
def test_a_slip_of_the_pen_is_never_answered_with_what_ends_something(word):
    for slip in {word[1:], word[:-1], word + "s", word[1] + word[0] + word[2:]}:
        code, _, err = portico(slip) if slip not in BY_WORD else (2, "", "")
        assert code == 2
        suggested = re.findall(r"did you mean `portico (\w+)`", err)
        assert not NO_SUGGESTIONS & set(suggested)


def test_words_of_pm2_with_a_hint_are_no_commands():
    assert not PM2_HINTS.keys() & BY_WORD


@pytest.mark.parametrize("argv", [["status"], ["down"], ["logs"], ["reload"], ["history"]])
def test_without_a_daemon_and_without_state_the_exit_code_is_3(argv):
    code, out, err = portico(*argv)
    assert (code, out) == (3, "")
    assert "no daemon is running in /nowhere/at/all" in err
    assert "start with `portico up`" in err


def test_an_error_is_json_where_json_was_asked_for():
    code, out, err = portico("check", "/nowhere/portico.toml", "--json")
    assert (code, err) == (2, "")
    assert '"where": "portico.toml"' in out


def test_the_version_needs_no_daemon():
    assert portico("--version")[1] == "portico 0.1.0\n"
    code, out, _ = portico("version")
    assert (code, out) == (0, "portico  0.1.0\nporticod is not running in /nowhere/at/all\n")


def test_run_becomes_the_daemon_in_the_foreground(tmp_path, monkeypatch):
    (tmp_path / "portico.toml").touch()
    assert command_line(str(tmp_path), {})[-3:] == [
        "--foreground",
        "--up",
        str(tmp_path / "portico.toml"),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError):
        command_line(str(tmp_path / "empty"), {})
    monkeypatch.chdir(tmp_path / "empty")
    assert command_line(None, {})[-2:] == ["portico.daemon.main", "--foreground"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("sta",), ["status", "start", "startup"]),
        (("status", "--j"), ["--json"]),
        (("up", ""), []),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("completion", "zsh", ""), []),
        (("logs", "--lines", ""), []),
        (("nonsense", ""), []),
        (("reload", ""), []),
        (("help", "roll"), ["rollback"]),
    ],
)
def test_words_that_may_come_next_are_offered(words, found):
    assert completed(*words) == found


def test_completion_is_written_where_the_shell_looks(tmp_path):
    code, out, _ = portico("completion", "--install", SHELL="/bin/bash", HOME=str(tmp_path))
    assert code == 0
    written = tmp_path / ".local/share/bash-completion/completions/portico"
    assert written.read_text() == SCRIPTS["bash"]
    assert str(written) in out
    assert portico("completion", "fish")[1].strip() == SCRIPTS["fish"].strip()
    assert portico("completion")[0] == 2


def test_bash_takes_the_completion_as_it_is_written(tmp_path):
    shim = tmp_path / "portico"
    shim.write_text('#!/bin/sh\necho "asked $#: $*" >&2\necho one\necho "two words"\n')
    shim.chmod(0o755)
    line = 'COMP_WORDS=(portico logs ""); COMP_CWORD=2; _portico; printf "%s|" "${COMPREPLY[@]}"'
    script = f"{SCRIPTS['bash']}\n{line}"
    found = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "one|two words|"


def test_the_reference_has_every_command_with_its_words_and_arguments():
    text = reference()
    for command in COMMANDS:
        assert f"### portico {command.name}" in text
        assert all(f"`{word}`" in text for word in command.words)
    assert "### portico logs [APP] [--follow] [--lines N] [--since TIME]" in text
    assert "`jlist` (with --json)" in text
