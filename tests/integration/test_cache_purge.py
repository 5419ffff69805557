"""`portico cache purge`, and where stored answers are on the disk: a whole Portico."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

SITE = """
[sites."{name}.localhost"]
app = "web"
cache = {{valid = "1h", x_cache = true}}
"""
FILE = f"""
[apps.web]
command = "python3 {PROGRAMS / "echo.py"}"
health = "/healthz"
{SITE.format(name="one")}
routes."/more" = {{cache = {{valid = "1h", x_cache = true}}}}

{SITE.format(name="two")}
{SITE.format(name="unpurged")}
[sites."bare.localhost"]
app = "web"
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Stack]:
    with Stack() as stack:
        stack.up(FILE)
        yield stack


def store(stack: Stack, *paths: str, site: str = "one.localhost") -> None:
    for path in paths:
        eventually(lambda path=path: came_from(stack, path, site) == "HIT")


def came_from(stack: Stack, path: str, site: str = "one.localhost") -> str | None:
    return stack.get(site, path).headers["X-Cache"]


def purge(stack: Stack, *words: str) -> str:
    return stack.done("cache", "purge", *words).stdout.strip()


def test_a_purge_removes_what_it_names_and_nothing_else(served):
    paths = "/a", "/a?x=1", "/a/b", "/ab", "/c%20d", "/more/a"
    store(served, *paths)
    store(served, "/a", site="two.localhost")
    assert purge(served, "one.localhost", "/a") == "removed 2 stored answers"
    assert [came_from(served, path) for path in ("/ab", "/a/b", "/more/a")] == ["HIT"] * 3
    assert purge(served, "one.localhost", "/c d") == "removed 1 stored answer"
    assert purge(served, "one.localhost", "/a*") == "removed 2 stored answers"
    assert purge(served, "one.localhost", "/none") == "removed 0 stored answers"
    assert purge(served, "one.localhost") == "removed 1 stored answer"
    assert {came_from(served, path) for path in paths} == {"MISS"}
    assert came_from(served, "/a", "two.localhost") == "HIT"


def test_what_was_under_way_at_a_purge_does_not_stay(served):
    file = served.root / "go"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.get, "one.localhost", f"/slow?until={file}")
        eventually(lambda: served.get("bare.localhost").json["open"] > 1)
        purge(served, "one.localhost", "/slow*")
        file.touch()
        assert answer.result(60).status == 200
    store(served, f"/slow?until={file}")
    eventually(lambda: came_from(served, f"/slow?until={file}") == "MISS")


def test_a_purge_under_load_costs_no_request(served):
    with served.load("one.localhost", rate=200, connections=8) as load:
        for _ in range(10):
            store(served, "/")
            purge(served, "one.localhost")
    report = load.stop()
    assert report.failed == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["purge", "bare.localhost"], "bare.localhost has no cache in its file"),
        (["purge", "none.localhost"], "there is no site 'none.localhost'"),
    ],
)
def test_what_cannot_be_purged_is_said(served, words, says):
    done = served.portico("cache", *words)
    assert done.returncode
    assert says in done.stderr


def test_only_nginxs_workers_read_what_is_stored_and_it_goes_with_its_site(served):
    store(served, "/a", site="two.localhost")
    folders = {each.name.partition("@")[0]: each for each in caches(served)}
    assert len(folders) == 4
    assert {folder.stat().st_mode & 0o777 for folder in folders.values()} == {0o700}
    if os.geteuid() == 0:
        assert {folder.owner() for folder in folders.values()} == {"portico-nginx"}
    store(served, "/a", site="unpurged.localhost")  # what was purged is purged once more, later
    served.up(FILE.replace(SITE.format(name="two"), ""))
    eventually(lambda: folders["two.localhost"] not in caches(served) and len(caches(served)) == 3)
    assert came_from(served, "/a", "unpurged.localhost") == "HIT"


def caches(stack: Stack) -> list[Path]:
    return list((stack.home / "nginx" / "cache").iterdir())
