"""What the README promises of the examples."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.stack import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(stack, name: str) -> None:
    shutil.copytree(EXAMPLES / name, stack.folder, dirs_exist_ok=True)
    stack.up((EXAMPLES / name / "portico.toml").read_text())


def test_hello_shows_an_https_page_answered_by_four_pids(stack):
    example(stack, "hello")
    page = stack.get("app.localhost")
    assert page.status == 200
    assert b"Hello from instance" in page.body

    def pids() -> set[int]:
        with stack.client("app.localhost") as client:
            return {client.ask("GET", "/api").json["pid"] for _ in range(8)}

    running = {instance["pid"] for instance in stack.instances("web")}
    assert len(running) == 4
    assert eventually(lambda: pids() == running, within=3)


@pytest.mark.parametrize("word", ["status", "list", "ls"])
def test_up_and_status_name_the_urls(stack, word):
    example(stack, "python")
    url = stack.url("clock.localhost").rstrip("/")
    assert url in stack.up().stdout
    assert url in stack.done(word).stdout
    assert b"says instance" in stack.get("clock.localhost").body
