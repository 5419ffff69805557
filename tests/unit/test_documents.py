"""What the pages name is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.documents import problems_of

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda page: page.as_posix()
)
PLACES = (ROOT, ROOT / "src/portico")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_to_a_file(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_anchor_of_a_link_is_a_heading():
    links = [
        (page, *link)
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:)([^)#\s]*\.md|)#([^)\s]+)\)", page.read_text())
    ]
    assert links
    missing = [
        f"{name(page)}: {file}#{anchor}"
        for page, file, anchor in links
        if anchor not in _anchors(page.parent / file if file else page)
    ]
    assert missing == []


@cache
def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"```.*?```", "", page.resolve().read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_of_the_project_that_a_page_names_exists(page):
    text = page.read_text()
    paths = re.findall(r"`((?:\./)?[\w-]+(?:/[\w.-]+)*(?:/|\.py))`", text)
    paths += re.findall(r"`?(\./(?:portico|scripts/\w+))\b", text)
    assert [path for path in paths if _is_ours(path) and not _exists(path)] == []


def _is_ours(path: str) -> bool:
    """Its first part is there; the folders of other programs are named too. NAME is to be made."""
    return "/" in path and "NAME" not in path and _exists(path.removeprefix("./").split("/")[0])


def _exists(path: str) -> bool:
    return any((place / path).exists() for place in PLACES)


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "docs/server.md"])
def test_every_file_that_the_first_pages_show_is_accepted(page):
    files = re.findall(
        r"^ *```toml\n(.*?)^ *```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    assert files
    assert [problems_of(file) for file in files] == [[] for _ in files]


def test_every_decision_is_in_the_list_of_decisions():
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {page.name for page in folder.glob("[0-9]*.md")}
