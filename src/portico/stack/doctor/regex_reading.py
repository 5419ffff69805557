"""Regular expressions of nginx (PCRE), as far as Python's parser reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

from portico.core.model.nginx_lines import Line
from portico.stack.doctor.tree import Block

_REPEAT_OPERATORS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT"})
MIN_EXPLOSIVE_REPEATS: Final = 10
"""From how many repetitions on the ways to match are too many to try."""


def parse_regex(regex: str) -> Any | None:
    """Its tree; None where Python has no such syntax."""
    try:
        return parser.parse(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", regex))
    except (re.error, RecursionError, OverflowError):
        return None


def location_regex(block: Block) -> str:
    """Of a `location ~`; empty for others."""
    args = block.line.args
    return (
        args[1] if block.name == "location" and args[:1] in {("~",), ("~*",)} and args[1:] else ""
    )


def groups(tree: Any) -> int:
    return int(tree.state.groups) - 1


def group_names(tree: Any) -> dict[str, int]:
    return dict(tree.state.groupdict)


def has_nested_repetition(tree: Any) -> bool:
    """Whether a repetition of a repetition can match the same text in very many ways."""
    return any(
        _is_many(each[1]) and _has_open_repeat(each[1][2])
        for each in _nodes(tree)
        if str(each[0]) in _REPEAT_OPERATORS
    )


def _is_many(repeat: Any) -> bool:
    return bool(int(repeat[1]) > MIN_EXPLOSIVE_REPEATS)


def _has_open_repeat(body: Any) -> bool:
    """Whether it is nothing but a repetition, or ends and begins with what it repeats."""
    items = [each for each in body if str(each[0]) != "AT"]
    if len(items) == 1 and str(items[0][0]) == "SUBPATTERN":
        return _has_open_repeat(items[0][1][3])
    if len(items) == 1 and str(items[0][0]) == "BRANCH":
        return any(_has_open_repeat(each) for each in items[0][1][1])
    return len(items) == 1 and str(items[0][0]) in _REPEAT_OPERATORS and _is_many(items[0][1])


def has_nested_capture(tree: Any) -> bool:
    """Whether a capture is in another."""
    for name, value in _nodes(tree):
        if str(name) == "SUBPATTERN" and value[0] is not None and groups_in(value[3]):
            return True
    return False


def groups_in(tree: Any) -> bool:
    return any(str(name) == "SUBPATTERN" and value[0] is not None for name, value in _nodes(tree))


def may_hold_line_break(tree: Any, group: int) -> bool:
    for name, value in _nodes(tree):
        if str(name) == "SUBPATTERN" and value[0] == group:
            return any(_is_line_break(*each) for each in _nodes(value[3]))
    return False


def _is_line_break(name: Any, value: Any) -> bool:
    if str(name) == "NOT_LITERAL":
        return bool(value != ord("\n"))
    if str(name) == "CATEGORY":
        return str(value) in {"CATEGORY_NOT_DIGIT", "CATEGORY_NOT_WORD", "CATEGORY_SPACE"}
    if str(name) != "IN":
        return False
    kinds = [str(each[0]) for each in value]
    if kinds[:1] != ["NEGATE"]:
        return False
    refused = {each[1] for each in value if str(each[0]) == "LITERAL"}
    spaces = any(str(each[1]) == "CATEGORY_SPACE" for each in value)
    return ord("\n") not in refused and not spaces


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """All of it, from outside to inside; what is in a set is not taken apart."""
    for name, value in tree:
        yield name, value
        kind = str(name)
        if kind in _REPEAT_OPERATORS or kind == "POSSESSIVE_REPEAT":
            yield from _nodes(value[2])
        elif kind == "SUBPATTERN":
            yield from _nodes(value[3])
        elif kind == "BRANCH":
            for each in value[1]:
                yield from _nodes(each)
        elif kind in {"ASSERT", "ASSERT_NOT"}:
            yield from _nodes(value[1])
        elif kind == "ATOMIC_GROUP":
            yield from _nodes(value)


def regexes(block: Block) -> Iterator[tuple[Line, str]]:
    """All that a block has itself, with the line of each."""
    if of_location := location_regex(block):
        yield block.line, of_location
    if block.name == "if" and len(block.line.args) >= 3 and "~" in block.line.args[1]:  # noqa: PLR2004
        yield block.line, block.line.args[2]
    for line in block.all("rewrite", "server_name"):
        given = line.args[:1] if line.name == "rewrite" else line.args
        for each in given:
            if line.name == "rewrite" or each.startswith("~"):
                yield line, each.removeprefix("~")
    if block.name == "map":
        for line in block.lines:
            if line.name.startswith("~"):
                yield line, line.name.removeprefix("~").removeprefix("*")
