"""What the README promises of the examples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.stack import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(stack, name: str) -> None:
    shutil.copytree(EXAMPLES / name, stack.folder, dirs_exist_ok=True)
    stack.up((EXAMPLES / name / "portico.toml").read_text())


@pytest.mark.parametrize("name", ["hello", "node"])
def test_an_example_shows_an_https_page_answered_by_four_pids(stack, name):
    example(stack, name)
    page = stack.get("app.localhost")
    assert page.status == 200
    assert b"Hello from instance" in page.body

    def pids() -> set[int]:
        with stack.client("app.localhost") as client:
            return {client.ask("GET", "/api").json["pid"] for _ in range(8)}

    running = {instance["pid"] for instance in stack.instances("web")}
    assert len(running) == 4
    assert eventually(lambda: pids() == running)


def test_up_and_status_name_the_urls_and_logs_have_the_requests(stack):
    shutil.copytree(EXAMPLES / "hello", stack.folder, dirs_exist_ok=True)
    url = stack.url("app.localhost").rstrip("/")
    assert url in stack.up((EXAMPLES / "hello/portico.toml").read_text()).stdout
    for word in ("status", "list", "ls"):
        assert url in stack.done(word).stdout

    stack.get("app.localhost")
    assert eventually(lambda: "app.localhost access | " in stack.done("logs", "--nginx").stdout)
    [headings, *lines] = stack.done("logs", "web", "--nginx", "-n", "1").stdout.splitlines()
    assert headings.startswith("--- app.localhost access, last written ")
    assert json.loads(lines[0].partition("| ")[2])["host"] == "app.localhost"
