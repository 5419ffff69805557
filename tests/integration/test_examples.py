"""What the README promises of the examples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack
from tests.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def hello() -> Iterator[Stack]:
    """Started once for the tests of the file, which only look at it."""
    with Stack() as stack:
        started(stack, "hello")
        yield stack


def started(stack: Stack, name: str) -> None:
    """With the address of its site in what `up` prints."""
    shutil.copytree(EXAMPLES / name, stack.folder, dirs_exist_ok=True)
    output = stack.up((EXAMPLES / name / "portico.toml").read_text()).stdout
    assert address(stack) in output


def address(stack: Stack) -> str:
    return stack.url("app.localhost").rstrip("/")


def test_the_example_of_a_python_program_is_an_https_page_answered_by_four_pids(hello):
    answers_from_four_pids(hello)


def test_the_example_of_a_node_program_is_an_https_page_answered_by_four_pids(stack):
    started(stack, "node")
    answers_from_four_pids(stack)


def answers_from_four_pids(stack: Stack) -> None:
    page = stack.get("app.localhost")
    assert page.status == 200
    assert b"Hello from instance" in page.body

    def pids() -> set[int]:
        with stack.client("app.localhost") as client:
            return {client.ask("GET", "/api").json["pid"] for _ in range(8)}

    running = {instance["pid"] for instance in stack.instances("web")}
    assert len(running) == 4
    assert eventually(lambda: pids() == running)


@pytest.mark.parametrize("word", ["status", "list", "ls"])
def test_status_names_the_urls(hello, word):
    assert address(hello) in hello.done(word).stdout


def test_the_logs_of_nginx_have_the_requests(hello):
    hello.get("app.localhost")
    assert eventually(lambda: "app.localhost access | " in hello.done("logs", "--nginx").stdout)
    [headings, *lines] = hello.done("logs", "web", "--nginx", "-n", "1").stdout.splitlines()
    assert headings.startswith("--- app.localhost access, last written ")
    assert json.loads(lines[0].partition("| ")[2])["host"] == "app.localhost"


def test_a_change_is_called_as_its_command_is(hello):
    assert hello.done("scale", "web", "4").stdout == "done: scale web 4\n"
    assert hello.done("scale", "web", "-1").stdout == "done: scale web 3\n"
    assert hello.done("scale", "web", "+1").stdout == "done: scale web 4\n"
    refused = hello.portico("scale", "web", "0")
    assert refused.returncode == 2
    assert "cannot scale web to 0 instances: it must have 1 to 1000" in refused.stderr
    [project] = hello.status()["projects"]
    assert project["source"].endswith("/portico.toml")  # not the command of the revision


def test_an_app_behind_a_site_is_not_deleted_without_it(hello):
    refused = hello.portico("delete", "web")
    assert refused.returncode == 2
    assert refused.stderr == (
        "cannot use the file without web: 1 problem; nothing was changed\n"
        '  sites."app.localhost".app: there is no app "web"\n'
    )


def test_a_table_of_another_name_is_named_and_not_the_lack_of_apps(hello, tmp_path):
    (tmp_path / "portico.toml").write_text('[app.web]\ncommand = "python3 app.py"\n')
    refused = hello.portico("check", str(tmp_path))
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[1:] == ['  app: unknown key (did you mean "apps"?)']
