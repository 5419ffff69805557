from __future__ import annotations

import pytest

from portico.core.model.app import App
from portico.core.planning.command_line import command_line

ENVIRONMENT = {"PATH": "/usr/bin", "PORT": "41003", "MODE": "fast"}
TOLD = {"PORT": "41003"}


def made(**app):
    return command_line(App(**app), ENVIRONMENT, TOLD)


def test_a_command_is_a_program_and_its_arguments():
    line = made(command="node index.js --port $PORT", args="--mode '$MODE' $MODE")
    assert line.programs[0] == "node"
    assert line.arguments == ("index.js", "--port", "41003", "--mode", "$MODE", "fast")
    assert line.environment == ENVIRONMENT


def test_a_list_is_taken_word_for_word():
    line = made(command=("sh", "-c", "exec node index.js | cat $X"), args=("$PORT",))
    assert line.programs[0] == "sh"
    assert line.arguments == ("-c", "exec node index.js | cat $X", "$PORT")


def test_a_program_that_path_lacks_may_be_one_that_the_project_brings():
    assert made(command="next start").programs == (
        "next",
        "node_modules/.bin/next",
        ".venv/bin/next",
        "venv/bin/next",
    )
    assert made(command="./bin/serve").programs == ("./bin/serve",)


def test_leading_assignments_are_environment_but_never_the_port():
    line = made(command="NODE_ENV=production MODE=slow PORT=3000 node index.js")
    assert line.programs[0] == "node"
    assert line.environment["NODE_ENV"] == "production"
    assert line.environment["MODE"] == "slow"
    assert line.environment["PORT"] == "41003"


TYPESCRIPT = ("node_modules/.bin/tsx", "bun", "tsx", "node_modules/.bin/ts-node", "ts-node")


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ("index.js", ("node",)),
        ("index.cjs", ("node",)),
        ("dist/index.mjs", ("node",)),
        ("app.py", (".venv/bin/python", "venv/bin/python", "python3")),
        ("run.sh", ("bash",)),
        ("app.rb", ("ruby",)),
        ("index.php", ("php",)),
        ("app.PL", ("perl",)),
        ("server.ts", TYPESCRIPT),
        ("server.tsx", TYPESCRIPT),
    ],
)
def test_the_ending_of_a_script_names_its_interpreter(script, programs):
    line = made(script=script, args="-v")
    assert line.programs == programs
    assert line.arguments == (script, "-v")
    assert line.script == script


def test_where_nothing_runs_typescript_it_is_said_what_would():
    assert 'interpreter = "node"' in made(script="server.ts").hint
    assert made(script="index.js").hint == ""


def test_a_script_without_an_interpreter_is_executed_itself():
    assert made(script="bin/serve").programs == ("bin/serve",)
    assert made(script="npm", args="start").programs == ("./npm", "npm")
    assert made(script="app.py", interpreter="none").programs == ("./app.py", "app.py")
    assert made(script="npm", args="start").arguments == ("start",)


def test_a_named_interpreter_gets_its_own_arguments_first():
    line = made(script="app.py", interpreter="/opt/python", interpreter_args="-X dev", args="-v")
    assert line.programs == ("/opt/python",)
    assert line.arguments == ("-X", "dev", "app.py", "-v")


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ({}, "no command or script"),
        ({"command": "  "}, "names no program"),
        ({"command": ()}, "names no program"),
        ({"command": "A=1"}, "names no program"),
        ({"command": "cd app && node index.js"}, 'write ["sh", "-c", "cd app && node index.js"]'),
        ({"script": "run", "interpreter_args": "-x"}, "interpreter_args needs an interpreter"),
    ],
)
def test_what_cannot_be_run_is_said(app, problem):
    with pytest.raises(ValueError) as caught:
        made(**app)
    assert problem in str(caught.value)
