"""What operators read has none of the words that `docs/words.md` retires."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/portico"
PAGES = [
    *(
        page
        for page in sorted((ROOT / "docs").glob("*.md"))
        if page.stem not in {"ARCHITECTURE", "words"}
    ),
    *sorted((ROOT / "docs/reference").glob("*.md")),
    *sorted((ROOT / "docs/guides").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
]
SCRIPTS = sorted((SOURCE / "api/dashboard/static").glob("*.js"))


def retired() -> re.Pattern[str]:
    table = (ROOT / "docs/words.md").read_text().split("| instead of | write |")[1]
    rows = re.findall(r"^\| (`.+`) \|[^|]*\|$", table.partition("\n\n")[0], re.MULTILINE)
    words = [word.replace(r"\|", "|") for row in rows for word in re.findall(r"`([^`]+)`", row)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)


def sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Literals of three words or more that are no docstring, with their lines."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as docstring):
                skipped.add(docstring)
            case ast.JoinedStr(values=parts):
                skipped.update(parts)
                constants = (p.value if isinstance(p, ast.Constant) else "{}" for p in parts)
                yield node.lineno, "".join(map(str, constants))
            case ast.Constant(value=str(text)) if node not in skipped:
                yield node.lineno, text


def is_prose(text: str) -> bool:
    return len(re.findall(r"\b[a-z]+\b", text)) > 2


def found(text: str, words: re.Pattern[str]) -> list[str]:
    return sorted({match[0].strip().lower() for match in words.finditer(text)})


def test_the_table_of_retired_words_is_read():
    words = retired()
    assert found("nginx serves on, and the lineage is no file", words) == [
        "is no",
        "lineage",
        "serves on",
    ]
    assert found("there is no app; it is no longer used by user nobody", words) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_has_no_retired_word(page):
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page.read_text(), flags=re.DOTALL)
    lines = re.sub(r"\s+", " ", text)
    assert found(lines, retired()) == []


def test_no_message_has_a_retired_word():
    words = retired()
    bad = []
    for file in sorted(SOURCE.rglob("*.py")):
        for line, text in sentences(ast.parse(file.read_text())):
            if is_prose(text) and not re.match(r"\s*(?:[A-Z]{4,}|const) ", text):
                plain = re.sub(r"`[^`]*`", "", text)
                bad += [f"{file.relative_to(SOURCE)}:{line}: {w}" for w in found(plain, words)]
    assert bad == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_no_text_of_the_dashboard_has_a_retired_word(script):
    code = re.sub(r"\$\{[^}]*\}|^\s*//.*$", "", script.read_text(), flags=re.MULTILINE)
    texts = [double or back for double, back in re.findall(r'"([^"\n]*)"|`([^`\n]*)`', code)]
    assert texts
    assert [bad for text in texts if is_prose(text) for bad in found(text, retired())] == []
