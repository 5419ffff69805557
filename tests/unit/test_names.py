"""Names in the code say what a thing is or does: `docs/words.md` has those that do not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/portico"
NOUNS_IN_ED = {"desired", "keepalived", "observed", "shared", "watched"}
MAX_LINES = 400
"""Of a file (CONTRIBUTING.md)."""


@cache
def retired() -> dict[str, re.Pattern[str]]:
    table = (ROOT / "docs/words.md").read_text().split("| kind of name |")[1]
    words: dict[str, set[str]] = {}
    for kind, names in re.findall(
        r"^\| (\w+) \| (.+?) \|", table.partition("\n\n")[0], re.MULTILINE
    ):
        words.setdefault(kind, set()).update(re.findall(r"`([^`]+)`", names))
    return {kind: re.compile("|".join(each)) for kind, each in words.items()}


def names(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield "class", name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield "function", name, node.lineno
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield "constant", name, node.lineno
            case ast.Assign(targets=[ast.Tuple(elts=several)]):
                constants = (each for each in several if isinstance(each, ast.Name))
                yield from (("constant", each.id, node.lineno) for each in constants)


@cache
def is_of_any_kind(name: str) -> bool:
    return any(words.fullmatch(name) for words in retired().values())


def bad_names(text: str) -> list[str]:
    words = retired()
    defined = re.findall(
        r"^ *(?:async )?(?:def |class )_*(\w+)|^_*(\w+) ?[:=]", text, re.MULTILINE
    )
    if not any(is_of_any_kind(name) for each in defined for name in each if name):
        return []  # to read all as code takes much longer
    return [
        f"{line}: {kind} {name}"
        for kind, name, line in names(ast.parse(text))
        if words[kind].fullmatch(name.lstrip("_"))
    ]


def test_the_table_of_names_is_read():
    code = "class _Told: ...\ndef sow(): ...\nOF_A: int = 3\nSOON = 1\nLATE, A = 1, 2\n"
    assert bad_names(code) == [
        "1: class _Told",
        "2: function sow",
        "3: constant OF_A",
        "4: constant SOON",
        "5: constant LATE",
    ]


def test_no_file_has_more_than_400_lines():
    lengths = {
        file.relative_to(SOURCE): file.read_text().count("\n") for file in SOURCE.rglob("*.py")
    }
    assert {file: length for file, length in lengths.items() if length > MAX_LINES} == {}


def test_nothing_has_a_retired_name():
    found = {
        file.relative_to(SOURCE): bad_names(file.read_text()) for file in SOURCE.rglob("*.py")
    }
    assert {file: bad for file, bad in found.items() if bad} == {}
    assert [file for file in found if retired()["module"].fullmatch(file.stem)] == []


def test_no_module_has_a_participle_for_a_name():
    names = {file.stem for file in SOURCE.rglob("*.py")}
    assert {name for name in names if re.search(r"(^|_)\w+ed$", name)} == NOUNS_IN_ED
